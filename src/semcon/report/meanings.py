"""What every figure means, and when it misleads: the words beside the numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Meaning:
    """One quantity: its definition for x, its copy x' and the representation z; and how it can mislead."""

    quantity: str
    definition: str
    misleads: str


MEANINGS = (
    Meaning(
        "change",
        "The distance between the representation of an image and that of its perturbed copy: c(x) = D(z(x), z(x′)).",
        "It has the scale of the representation: doubling all logits doubles it. Never compare it between models.",
    ),
    Meaning(
        "relative_change",
        "The sum of all changes over the sum of the mean distances between different images of all classes: 0 means "
        "the copy looks identical, 1 that it lies as far away as any other image. Needs no labels.",
        "A model that says nothing does not move: an untrained network scores near 0. Read it beside accuracy. Where "
        "the distance is on probabilities, confidence matters by design and the figure is not free of scale.",
    ),
    Meaning(
        "within_class_change",
        "The same, divided by the distance between different images of the same class: 1 means that the copy lies as "
        "far away as another image of its class.",
        "Good classifiers pull a class together, so it rises with training even where the change stays the same.",
    ),
    Meaning(
        "discontinuity",
        "The share of the other images of the same class that lie nearer to the image than its own perturbed copy "
        "does: the paper's Figure 1 as a number from 0 to 1.",
        "Also 0 for a network that ignores its input. A triple is evidence only where the copy is nearer in pixels; "
        "the gallery shows both distances.",
    ),
    Meaning(
        "any_nearer_20",
        "The exact chance that at least one of 20 random images of the same class is nearer than the copy.",
        "It saturates: one nearer image in twenty already gives 0.64. Undefined for classes of fewer than 20 others.",
    ),
    Meaning(
        "flip",
        "The share of copies whose predicted label differs from the prediction on the untouched image. Needs no "
        "labels.",
        "Counts flips away from wrong predictions too, and does not see how far the output moved short of a flip.",
    ),
    Meaning(
        "accuracy",
        "The share of images, or copies, whose prediction is the label: the control beside every other figure.",
        "Accuracy can stay while predictions flip in both directions.",
    ),
    Meaning(
        "accuracy_kept",
        "Accuracy under a perturbation over accuracy on the same untouched images. In the evaluations of frequency and "
        "of shortcuts, where it says how far a model gets with a part of the information.",
        "What guessing earns is in it: of ten classes a model of accuracy 0.9 keeps 0.11 without looking. Copies are "
        "unlike anything in training: a loss says that the model cannot do without, not that it uses nothing else.",
    ),
    Meaning(
        "confidence_drop",
        "How much probability the class predicted on the image loses on the copy.",
        "Depends on calibration: scaling the logits changes it.",
    ),
    Meaning(
        "critical_severity",
        "The severity at which the prediction first changes, the smallest over the draws; of an attack the smallest at "
        "which it found a wrong copy, 0 where the untouched image is wrong. The median over images, where images "
        "without one on the ladder count as censored (Kaplan-Meier).",
        "Only the ladder's rungs are looked at first: a prediction that changes between two of them and changes back "
        "before the next is missed. Where most are censored the median lies beyond the ladder and is not known.",
    ),
    Meaning(
        "gradient_norm",
        "The L2 norm of the gradient of the margin on the canvas, divided by the margin; the median over images. "
        "Inverse first-order distance to the decision boundary.",
        "Local: a flat gradient may hide a cliff nearby.",
    ),
    Meaning(
        "local_lipschitz",
        "The change divided by how far the copy moved in pixels, and by the spread of the representation.",
        "Grows without bound as the pixels move less; compare it at one severity only.",
    ),
    Meaning(
        "input_curvature",
        "How much the gradient of the margin turns and grows a step of 2/255 down its own sign, over the length of "
        "that step and over the margin; the median over images. 0 where the margin is linear.",
        "One direction out of thousands. Steep models are curved by it even where their bends have the same shape: "
        "read it beside the gradient norm.",
    ),
    Meaning(
        "lipschitz",
        "The steepest chord found in an L2 ball: the change of the logits over how far the copy moved in pixels, "
        "divided by the margin; the median over images. A certificate that divides the margin by the Lipschitz "
        "constant of the logits there cannot reach farther than 1 / (√2 times this).",
        "A lower bound on the true constant, found by a search: few steps find less, above all in steep models. All "
        "its chords begin at the image.",
    ),
    Meaning(
        "straightness",
        "While a severity grows from 0 in eight equal steps: the distance between the ends of the output's way over "
        "its length, 1 where it goes straight. The same of the pixels says how straight the image itself went.",
        "A way that leads back (a rotation to a mirror image) is not straight in any model: read it beside the "
        "pixels'. Images whose output hardly moves have none.",
    ),
    Meaning(
        "path_curvature",
        "On the same way: the mean second difference of the output over its mean first one, times the number of steps; "
        "0 at an even pace along a line, 2 for even acceleration from rest, more for bends and jumps.",
        "Depends on the number of steps where the output jumps, and on where the path ends. The pixels' own is the "
        "control.",
    ),
    Meaning(
        "rank_correlation",
        "Spearman's correlation of the values of two maps, pixel by pixel: that of the copy, and that of the image, "
        "carried along where the perturbation moves pixels. Both explain the class predicted on the image, with the "
        "same random numbers. 1: the same order of importance.",
        "Under geometry a fine-grained map loses likeness by being resampled alone; GradCAM's hardly do. Maps that "
        "always look at the middle are alike whatever the image: read it beside the faithfulness.",
    ),
    Meaning(
        "ssim",
        "Structural similarity of the same two maps, each over its largest absolute value; Gaussian windows of 11 "
        "pixels.",
        "One outlying pixel scales the whole map down, and flat maps are alike.",
    ),
    Meaning(
        "top_overlap",
        "The share of the most important tenth of the pixels that two maps have in common; 0.1 by chance.",
        "Says nothing of the other nine tenths.",
    ),
    Meaning(
        "cosine",
        "The cosine between two maps as vectors.",
        "Maps without negative values have a high one whatever they show.",
    ),
    Meaning(
        "moved",
        "Among copies that keep their prediction, the share whose map shares less than half of the most important "
        "tenth of the pixels with the image's: the explanation moved though the prediction did not.",
        "Images whose copies all flip drop out, so two models are compared on different images where they flip on "
        "different ones. What stands under the rank correlation holds here too.",
    ),
    Meaning(
        "insertion_blur",
        "The mean probability of the class while pixels are put into a blurred image, the most important ones first: "
        "the area under the insertion curve. Likewise from a grey, black or noisy canvas.",
        "The baseline decides: every one is unlike anything in training in its own way. Compare methods where several "
        "baselines agree. Confident models have higher curves, so it ranks methods rather than models.",
    ),
    Meaning(
        "deletion_blur",
        "The same while pixels are blurred, the most important ones first: low where the map found what the model "
        "goes by. Likewise with the image's mean colour, black, noise, or (ROAD) values imputed from the surroundings.",
        "Scattered single pixels break a network whatever they show: adversarial maps score well. ROAD's imputation "
        "hides the shape of what was taken away.",
    ),
    Meaning(
        "infidelity",
        "Squares of a quarter of the height are replaced by the image's mean colour, and the sum of the map in each "
        "is held against how much the class's logit falls: the share of the mean squared fall that the map, at its "
        "best scale, does not foretell. 0 is best, 1 a map that foretells nothing.",
        "Squares are large: a map right in every pixel but blind to how they work together fares badly. The published "
        "figure is not scaled and depends on the units of map and logit.",
    ),
    Meaning(
        "max_sensitivity",
        "The largest relative change of the map under uniform noise within 0.02 of the image, over a few draws.",
        "Constant maps are perfect. More draws find more: compare equal budgets only.",
    ),
    Meaning(
        "randomised",
        "The rank correlation of the map with that of the same network whose weights are shuffled in every layer, over "
        "the pixels where one of the two is not 0: near 0 for a map that depends on what was learned. Above one half a "
        "finding says so.",
        "A map may depend on the weights and still mislead.",
    ),
    Meaning(
        "mass_inside",
        "The share of a map's positive values that lies on the object. The row \"knowing nothing\" is the object's "
        "share of the canvas.",
        "Large objects earn it for free, and a model may rightly use the surroundings. Maps that are "
        "nowhere below 0, as SmoothGrad's, come nearer to that share whatever they show: read their pointing game.",
    ),
    Meaning(
        "pointing_game",
        "How often the map's largest value lies on the object.",
        "One pixel decides; there is no tolerance around the object.",
    ),
    Meaning(
        "mask_iou",
        "Intersection over union of the object and as many pixels of the map, those with the largest values.",
        "An object whose edge is enough for the class is not filled by any faithful map.",
    ),
    Meaning(
        "gini",
        "Gini index of the map's absolute values: 0 where all are equal, near 1 where a single pixel has everything.",
        "Concentrated is not right. Coarse maps are smooth and so have a low one.",
    ),
    Meaning(
        "entropy",
        "Entropy of the map's absolute values as shares of their sum, over its maximum: 1 where all are equal.",
        "As with the Gini index.",
    ),
    Meaning(
        "accuracy_gap",
        "Between the best and the worst group of an attribute, of those with 30 images or more; the interval is "
        "Bonferroni's over all pairs of groups, for the figures chose the pair.",
        "Groups that lack classes, or have harder images, differ for that reason too.",
    ),
    Meaning(
        "follows",
        "Copies take one property of another image and nothing else: how much more often they are predicted to be of "
        "that image's class than where the property came from a third class. 0: whose it is makes no difference; 1: it "
        "alone decides.",
        "Properties go together: yellow is bright. It finds shortcuts that the given images have, and no others.",
    ),
    Meaning(
        "factor_lift",
        "The accuracy of a classifier that sees only what a perturbation changes (mean hue, brightness, sharpness; for "
        "geometry the small grey image, or a model of the user's), above that of the commonest class.",
        "Mere correlation is everywhere: a lift alone says nothing against a perturbation.",
    ),
    Meaning(
        "factor_changed",
        "Of the images that this classifier gets right, how many it answers otherwise once they are perturbed.",
        "A weak classifier changes its answers easily.",
    ),
    Meaning(
        "factor_fall",
        "How much of its accuracy this classifier loses on the perturbed copies. An axis is warned of where the lift's "
        "interval is above 0, more than 10 % of the right answers change and more than 10 points are lost.",
        "Copies that look like no image lower it too, whatever they mean.",
    ),
)
RANDOM_AND_WORST, INTERVALS, PROFILE, TESTS = "Random and worst", "Intervals", "Profile", "Better, worse and p"
READING = (
    (
        RANDOM_AND_WORST,
        "Random draws stand for what happens; the worst case is the largest change, or the deepest flip, that a search "
        "found inside the same parameter set. Searches include the random draws among their starts. Where no gradient "
        "can be used the worst is the best of k draws: a lower bound.",
    ),
    (
        INTERVALS,
        "95 %: percentile bootstrap over images (2000 Poisson resamples, keyed by image, so that runs on the same "
        "images are paired), Wilson for rates. They say how much another sample of images would differ, not whether "
        "these images stand for yours.",
    ),
    (
        PROFILE,
        "Each entry is the mean over the family's perturbations and measured severities, random draws. Profiles are "
        "comparable only between runs with the same perturbations, severities, canvas and images.",
    ),
    (
        TESTS,
        "Between two runs an image counts as worse where its prediction flips (or is wrong) on more of its copies than "
        "before, as better where on fewer. p is the exact chance of so uneven a split if worse and better were equally "
        "likely: McNemar's test for one draw, a sign test over images for several, whose draws depend on each other. "
        "Holm's adjustment keeps the chance of any false claim among all rows at the level. With several training "
        "seeds on a side the interval widens by Student's t over the seeds, and p is the larger of the two tests.",
    ),
)
