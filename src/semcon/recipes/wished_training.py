"""Training towards a wish: images held out to look at, the watcher that moves the multiplier, and the outcome."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from semcon.core.errors import SemconError
from semcon.recipes.sources import parse_model
from semcon.recipes.wish import parse_wish

if TYPE_CHECKING:
    from semcon.core.concepts import Dataset, Objective
    from semcon.loading import Scan
    from semcon.progress import Progress
    from semcon.recipes.train import TrainRecipe
    from semcon.repairing.watching import Watcher
    from semcon.repairing.wish import Selection, Wish
    from semcon.subject import Subject
    from semcon.training.student import Student

SELECT, FEWEST = 0.1, 100  # share of the images to look at, and how many there must be
FILE = "wish.json"
QUIET = 0.3, 0.8  # shares of the run between which the multiplier moves: before, the network knows nothing yet


def parse_training_wishes(recipe: TrainRecipe) -> tuple[Wish, ...]:
    """The wishes of a recipe. Errors: `SemconError` where nothing can be done about them."""
    wishes = tuple(parse_wish(text) for text in recipe.wish)
    against = any(wish.perturbation is None for wish in wishes)
    if wishes and recipe.objective != "continuity":
        raise SemconError(
            f"a wish is met by the weight of the constraint: expected --objective continuity, got {recipe.objective}"
        )
    if wishes and recipe.alpha == 0:
        raise SemconError("alpha is where a wish begins to look for the weight: expected one above 0, or none")
    if against and recipe.baseline is None:
        raise SemconError("accuracy is wished for in points against another network: name its run with --baseline RUN")
    if recipe.baseline is not None and not against:
        raise SemconError("a baseline is what a wish 'accuracy >= -0.5' is held against: there is no such wish")
    return wishes


class HeldOut:
    """Images `fit` to train on and `held` apart, by a keyed hash; `images`: the fingerprint of all."""

    def __init__(self, recipe: TrainRecipe, scanned: Scan) -> None:
        from semcon.repairing.splitting import held_out

        kept, held = held_out(scanned.ids, recipe.seed, recipe.select or SELECT)
        if len(held) < FEWEST or not len(kept):
            raise SemconError(
                f"{len(held)} of {len(scanned.ids)} images are too few to look at: expected {FEWEST} or more, give a "
                "larger --select"
            )
        self.fit, self.held, self.images = scanned.part(kept), scanned.part(held), scanned.fingerprint


class Wished:
    """What a wish adds to a training run. `alpha`: the multiplier."""

    def __init__(
        self, recipe: TrainRecipe, wishes: Sequence[Wish], subject: Subject, images: tuple[Dataset, HeldOut],
        progress: Progress,
    ) -> None:  # fmt: skip
        from semcon.repairing.mend import make_alpha

        self.recipe, self.wishes, self.subject, self.progress = recipe, tuple(wishes), subject, progress
        self.dataset, self.images = images
        self.held = self.images.held
        if recipe.baseline is not None:
            self._check_baseline(recipe.baseline)
        near = {text.partition(":")[0].strip().replace("-", "_") for text in recipe.perturb}
        for wish in wishes:
            if wish.perturbation is not None and wish.perturbation not in near:
                progress.say(
                    f"{wish.text!r} is about a perturbation that the constraint does not use "
                    f"({', '.join(sorted(near))}): "
                    "it is met only by what carries over"
                )
        self.alpha = make_alpha(wishes, 4.0 if recipe.alpha is None else recipe.alpha)
        self._watcher: Watcher | None = None

    def watcher(self, steps: int, student: Student, objective: Objective) -> Watcher:
        """What looks at the held-out images; the first look of an accuracy is the baseline's."""
        from semcon.repairing.watching import Watcher

        moves = range(round(QUIET[0] * steps), round(QUIET[1] * steps))
        every = max(1, steps // self.recipe.looks)
        self._watcher = Watcher(self._selection(student), self.subject, self.alpha, every, moves, self.progress)
        return self._watcher

    def conclude(self, folder: Any) -> None:
        """Say whether the wish is met by the trained network, and keep it in `wish.json`."""
        from semcon.core.files import write_whole
        from semcon.gathering import rank
        from semcon.repairing.outcome import frontier_of
        from semcon.repairing.watching import told

        network = self.subject.module
        if self._watcher is None or network is None or rank() != 0:
            return
        point = self._watcher.look("trained", network)
        met = "the wish is met" if point.met else "the wish could not be met"
        self.progress.say(f"{met} on {len(self.held.ids)} images held out: {told(point, self.wishes)}")
        if not point.met:
            lines = [told(one, self.wishes) for one in frontier_of(self._watcher.points)]
            self.progress.say("\n  ".join(("the frontier reached, by change:", *lines)))
        points = [one.plain() for one in self._watcher.points]
        plain = {"schema": 1, "met": point.met, "wishes": [wish.text for wish in self.wishes], "points": points}
        write_whole(folder / FILE, (json.dumps(plain, indent=1, allow_nan=False) + "\n").encode())

    def _selection(self, student: Student) -> Selection:
        from semcon.measuring.gauges import choose_gauges
        from semcon.measuring.plan import Plan
        from semcon.recipes.objectives import parse_neighbourhood
        from semcon.repairing.wish import Selection, near_trials
        from semcon.training.pool import Pool
        from semcon.training.run import labels_of

        recipe, subject = self.recipe, self.subject
        labels = labels_of(subject, self.dataset, self.held, given=recipe.classes is not None)
        pool = Pool(
            self.dataset, subject.canvas, self.held, labels, device=subject.device, workers=recipe.workers
        )  # fmt: skip
        trials = near_trials(parse_neighbourhood(recipe.perturb, recipe), self.wishes)
        gauges = tuple(choose_gauges(subject, (), (("logits", "l2"),)))
        selection = Selection(
            pool, trials, self.wishes, Plan(trials, gauges, seed=recipe.seed + 1, gradient_norm=False)
        )  # fmt: skip
        if recipe.baseline is not None:
            selection.look(self._baseline())
        return selection

    def _check_baseline(self, text: str) -> None:
        """Errors: `SemconError` where the baseline has seen images that this run holds out, or may have."""
        from pathlib import Path

        from semcon.core.training_record import read_training

        if ":" in text and not text.startswith("run:"):
            self.progress.say(f"what {text} was trained on is not known: if on these images, its accuracy is flattered")
            return
        recipe = self.recipe
        its, select = read_training(Path(text.removeprefix("run:"))).recipe, recipe.select or SELECT
        same = its.get("images") == self.images.images and its.get("seed") == recipe.seed
        held = its.get("select") or (SELECT if its.get("wish") else 0)
        if not same or held < select:
            raise SemconError(
                f"the baseline {text} was trained on other images, or on some that this run holds out, where its "
                f"accuracy is flattered: train it on the same data with --select {select:g} --seed {recipe.seed}"
            )

    def _baseline(self) -> Subject:
        """The network that accuracy is held against. Errors: `SemconError` for one of other outputs or canvas."""
        from semcon.built import build_subject

        subject, text = self.subject, str(self.recipe.baseline)
        built = parse_model(text if ":" in text else f"run:{text}", None).build()
        own = build_subject(
            built, mean=None, std=None, size=None, classes=None, device=str(subject.device), precision="32",
            common_size=(subject.canvas.height, subject.canvas.width), name=None,
        )  # fmt: skip
        if (own.outputs, own.canvas) != (subject.outputs, subject.canvas):
            raise SemconError(
                f"the baseline {text} has {own.outputs} outputs at {own.canvas.height} x {own.canvas.width}, this "
                f"network {subject.outputs} at {subject.canvas.height} x {subject.canvas.width}: they must agree"
            )
        return own
