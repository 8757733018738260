"""Signs that gradients are masked: that a model only seems robust since they lead an attack nowhere.

Each question is put to images that are right, most to those that gradient ascent left standing; what is found is a
doubt about a number, never a proof. Sources: Athalye et al., arXiv 1802.00420; Carlini et al., arXiv 1902.06705.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from semcon.attacking.curve import Gradient, Topple
from semcon.attacking.goal import Scores, by_cross_entropy, by_margin
from semcon.attacking.square import Square
from semcon.attacking.suspect import Suspect, gradients, guided, smoothed, toppled, trace
from semcon.core.record import Finding

FEW, SHARE = 3, 0.05  # images, and share of those that are right, from which on a sign counts
LARGE = 128.0  # 1/255: every image can be made uniformly grey
STEPS = 20  # of the questions' own ascents
MORE = 3  # restarts
QUERIES = 300
ASKED = 24  # standing images that other attacks are tried on
NOISE = 1e-4  # of the outputs' spread, from which on a model is random
NEARBY = 0.1  # 1/255: how far apart gradients are compared
AGREE = 0.2  # median cosine between them below which they are shattered
UPPER = "read the robust accuracy as an upper bound"


def doubts(suspect: Suspect) -> list[Finding]:
    """What speaks against the robust accuracy that ascent by gradients found; nothing where all is well."""
    suspect = suspect.right
    if not len(suspect.x):
        return []
    found = [finding for question in QUESTIONS if (finding := question(suspect)) is not None]
    if [finding.code for finding in found] == ["gradient-masking-restarts"]:
        return [_or_too_short(suspect, found[0])]
    return found


def random_model(suspect: Suspect) -> Finding | None:
    """Two passes over the same images differ."""
    with torch.no_grad():
        first, second = suspect.scores(suspect.x), suspect.scores(suspect.x)
    spread = (first - first.mean(0)).norm(dim=1).mean().clamp(min=1e-12)
    share = float((first - second).norm(dim=1).mean() / spread)
    if share <= NOISE:
        return None
    return _finding(
        "random-model", f"two passes over the same images differ by {share:.1%} of the outputs' spread, so that each "
        "step climbs another model, and images stand or fall by luck",
        "fix the model's randomness, or give a model that averages many passes (expectation over transformation)",
    )  # fmt: skip


def zero_gradient(suspect: Suspect) -> Finding | None:
    """Gradients vanish, are not finite, or turn about within a tenth of a grey level."""
    here = gradients(suspect, by_margin)
    dead = ~(here.abs().amax(1) > 0) | ~here.isfinite().all(1)
    entropy = gradients(suspect, by_cross_entropy)
    flat = ~(entropy.abs().amax(1) > 0) | ~entropy.isfinite().all(1)
    if _many(dead, suspect):
        return _finding(
            "zero-gradient", f"the gradient is zero or not finite for {_of(dead)}",
            f"{UPPER}; look for rounding, thresholds or saturated outputs before or behind the network, and attack "
            "through a smooth stand-in for them",
        )  # fmt: skip
    agreement = functional.cosine_similarity(here, gradients(suspect, by_margin, NEARBY), dim=1)
    if float(agreement.median()) < AGREE:
        return _finding(
            "zero-gradient", f"gradients are shattered: {NEARBY:g}/255 away they point elsewhere (median cosine "
            f"{float(agreement.median()):.2f})",
            f"{UPPER}; look for a preprocessing that is rough at that scale, and attack through a smooth stand-in",
        )  # fmt: skip
    if _many(flat, suspect):
        return _finding(
            "zero-gradient", f"the gradient of the cross-entropy is zero for {_of(flat)}, since the softmax is "
            "saturated; that of the margin is not, so that this concerns fgsm_linf, not pgd_linf",
            "read pgd_linf, and not fgsm_linf or attacks elsewhere that climb the cross-entropy",
        )  # fmt: skip
    return None


def loss_flat(suspect: Suspect) -> Finding | None:
    """Steps do not raise the loss."""
    eps = suspect.sizes[-1]
    margins = trace(suspect, eps, STEPS)
    idle = margins[-1] - margins[0] <= 0.01 * margins[0].abs()
    if not _many(idle, suspect):
        return None
    return _finding(
        "loss-flat", f"{STEPS} steps at eps {eps:g}/255 do not raise the loss of {_of(idle)}",
        f"{UPPER}; look at what makes the loss flat or rough around these images",
    )  # fmt: skip


def large_eps(suspect: Suspect) -> Finding | None:
    """Accuracy does not reach zero where any image can be made grey."""
    standing = ~toppled(suspect, LARGE, Gradient(STEPS, 2))
    if not _many(standing, suspect):
        return None
    return _finding(
        "large-eps", f"at eps {LARGE:g}/255, where any image can be made uniformly grey, the attack still fails on "
        f"{_of(standing)}",
        f"{UPPER}; the attack needs another loss, more steps, or a way around what stops its gradient",
    )  # fmt: skip


def black_box(suspect: Suspect) -> Finding | None:
    """An attack without gradients topples what gradients did not."""
    return _beaten(
        suspect, "black-box", Square(QUERIES), f"Square, which uses no gradient, with {QUERIES} queries an image,",
        f"{UPPER}, and the score-based attack's as a better one",
    )  # fmt: skip


def transfer(suspect: Suspect, other: Scores | None = None, name: str = "") -> Finding | None:
    """The gradient of another model, or of a smoothed copy of this one, topples what its own did not."""
    guide = other or smoothed(suspect.scores, suspect.size / 2)
    told = f"gradients of {name or 'another model'}" if other else "gradients averaged over noise around each copy"
    return _beaten(
        suspect, "transfer", Gradient(STEPS, 1), told, f"{UPPER}; attack with those gradients",
        guided(suspect.scores, guide),
    )  # fmt: skip


def restarts(suspect: Suspect) -> Finding | None:
    """More of the same changes the answer."""
    return _beaten(
        suspect, "restarts", Gradient(STEPS, MORE), f"{MORE} more restarts of {STEPS} steps",
        f"{UPPER}; raise steps and restarts (--budget full) until it no longer falls",
    )  # fmt: skip


def _or_too_short(suspect: Suspect, doubt: Finding) -> Finding:
    """A doubt by restarts alone: where as many again change nothing more, the attack was only too short."""
    asked, topple = _asked(suspect), Gradient(STEPS, MORE)
    rest = suspect.of(asked[~toppled(suspect.of(asked), suspect.size, topple)])
    again = int(toppled(rest, suspect.size, topple, first=2000).sum()) if len(rest.x) else 0
    if again >= FEW:
        return doubt
    return Finding(
        code="adversarial-weak-attack", severity="warning",
        message=f"{doubt.message.partition(';')[0]}; as many again topple {again} of the {len(rest.x)} left: the "
        "attack was too short, and nothing else speaks for gradient masking",
        remedy=f"{UPPER}; raise steps and restarts (--budget standard or full)",
    )  # fmt: skip


QUESTIONS: tuple[Callable[[Suspect], Finding | None], ...] = (
    random_model, zero_gradient, loss_flat, large_eps, black_box, transfer, restarts,
)  # fmt: skip


def _beaten(
    suspect: Suspect, code: str, topple: Topple, told: str, remedy: str, scores: Scores | None = None
) -> Finding | None:  # fmt: skip
    """Whether an attack topples many of the images that stand at the size that is asked about."""
    eps, asked = suspect.size, _asked(suspect)
    if len(asked) < FEW:
        return None
    standing = int((suspect.critical > eps).sum())
    fell = int(toppled(suspect.of(asked), eps, topple, scores).sum())
    if fell < FEW or fell / len(asked) * standing < SHARE * len(suspect.x):
        return None
    return _finding(
        code, f"at eps {eps:g}/255 pgd_linf leaves {standing} of {len(suspect.x)} images standing, and {told} "
        f"topple {fell} of {len(asked)} of those", remedy,
    )  # fmt: skip


def _asked(suspect: Suspect) -> Tensor:
    """The images that stand at the size that is asked about, as many as other attacks are tried on, by index (M,)."""
    return torch.nonzero(suspect.critical > suspect.size).flatten()[:ASKED]


def _many(signs: Tensor, suspect: Suspect) -> bool:
    return int(signs.sum()) >= max(FEW, SHARE * len(suspect.x))


def _of(signs: Tensor) -> str:
    return f"{int(signs.sum())} of {len(signs)} images"


def _finding(code: str, why: str, remedy: str) -> Finding:
    return Finding(
        code=f"gradient-masking-{code}", severity="issue", remedy=remedy,
        message=f"robust accuracy of pgd_linf: {why}; this number may be gradient masking",
    )  # fmt: skip
