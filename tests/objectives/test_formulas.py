"""Every objective against its paper's formula, written out sample by sample and class by class."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch import Tensor
from torch.nn import functional

from semcon.constraint import ContinuityConstraint, Options
from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys
from semcon.neighbourhood import Neighbourhood
from semcon.objectives import Augmentation, Augmix, Continuity, CrossEntropy, StabilityTraining, Trades
from semcon.objectives.augmix import jensen_shannon
from semcon.objectives.trades import divergence
from semcon.training.student import Student
from small_networks import images, keys, labels, plain, student

NOISE = Neighbourhood.of("gaussian_noise", 0.1)
CLASSES = 4


def model() -> Student:
    return student(plain()).double().eval()


def x64(count: int = 8) -> Tensor:
    return images(count, dtype=torch.float64)


def probabilities(logits: Tensor) -> list[list[float]]:
    """Softmax by hand."""
    rows: list[list[float]] = []
    for row in logits.tolist():
        exponentials = [math.exp(value - max(row)) for value in row]
        rows.append([value / sum(exponentials) for value in exponentials])
    return rows


def cross_entropies(logits: Tensor) -> list[float]:
    return [-math.log(p[int(y)]) for p, y in zip(probabilities(logits), labels(len(logits)), strict=True)]


def close(found: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(found.detach(), torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-13)


def test_cross_entropy() -> None:
    """Oracle: -log p(y | x), a loop over samples."""
    net, x = model(), x64()
    close(CrossEntropy()(net, x, labels(), keys())["cross_entropy"], cross_entropies(net(x)))


def test_augmentation() -> None:
    """Oracle: -log p(y | P(x)), a loop over samples; a copy is a clipped normal field up to the limit."""
    net, x = model(), x64()
    copies = NOISE.draw(x, keys().within("augmentation"))
    assert 0 < float((copies - x).abs().mean()) < 0.1
    close(Augmentation(NOISE)(net, x, labels(), keys())["cross_entropy"], cross_entropies(net(copies)))


def test_augmentation_of_a_share_leaves_the_others_as_they_are() -> None:
    """Oracle: every term is that of the image or that of its copy; the share of copies is binomial (5 sigma)."""
    net, x, count = model(), x64(8).repeat(125, 1, 1, 1), 1000
    copies = NOISE.draw(x, keys(count).within("augmentation"))
    found = Augmentation(NOISE, share=0.3)(net, x, labels(count), keys(count))["cross_entropy"]
    own, copied = (functional.cross_entropy(net(one), labels(count), reduction="none") for one in (x, copies))
    as_own = torch.isclose(found, own, rtol=1e-12)
    assert bool((as_own | torch.isclose(found, copied, rtol=1e-12)).all())
    assert 1 - float(as_own.double().mean()) == pytest.approx(0.3, abs=5 * math.sqrt(0.3 * 0.7 / count))


def test_stability_training() -> None:
    """Oracle: arXiv 1604.04326, equations 2 and 6: L(x) + alpha * -sum_j P(y_j | x) log P(y_j | x')."""
    net, x = model(), x64()
    objective = StabilityTraining(NOISE, alpha=0.7)
    terms = objective(net, x, labels(), keys())
    copies = NOISE.draw(x, keys().within("stability"))
    stability = [
        -sum(p * math.log(q) for p, q in zip(clean, moved, strict=True))
        for clean, moved in zip(probabilities(net(x)), probabilities(net(copies)), strict=True)
    ]
    close(terms["stability"], stability)
    close(terms["cross_entropy"], cross_entropies(net(x)))
    expected = sum(cross_entropies(net(x))) / 8 + 0.7 * sum(stability) / 8
    assert float(objective.total(terms).detach()) == pytest.approx(expected, rel=1e-10)


@dataclass(frozen=True)
class Step(Perturbation):
    """Adds 0.001 s everywhere, unclipped, so that depth and mixing can be read off the result."""

    family = "photometric"
    unit = "thousandths"
    source = "test"
    parameters = "fixed"
    ladder = (1.0,)

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        return {}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        return x + 0.001 * severity.view(-1, 1, 1, 1)


def test_augmix_mixes_as_algorithm_1() -> None:
    """Oracle: moments of y = (1 - m) sum_k w_k d_k in closed form, m uniform (Beta(1, 1)), w Dirichlet(1, 1, 1), d
    uniform on {1, 2, 3}: E y = 1, E y^2 = (4 + 2/3 * 1/2) / 3; 20000 images, 5 standard errors.
    """
    count = 20_000
    objective = Augmix(Neighbourhood.of(Step(), 1.0, severities="fixed"))
    x = torch.full((count, 3, 1, 1), 0.5, dtype=torch.float64)
    y = (objective.mixed(x, keys(count)) - x)[:, 0, 0, 0] / 0.001
    assert float(y.min()) >= 0
    assert float(y.max()) <= 3
    for power, expected in ((1, 1.0), (2, (4 + 1 / 3) / 3)):
        sample = y**power
        assert float(sample.mean()) == pytest.approx(expected, abs=5 * float(sample.std()) / math.sqrt(count))


def test_augmix_mixes_image_by_image() -> None:
    """Oracle: algorithm 1 as a loop over images, chains and operations, with the same keyed numbers."""
    near = Neighbourhood.of(["gaussian_noise", "brightness"], [0.1, 0.4])
    objective, x, whole = Augmix(near), x64(), keys().within("augmix.1")
    found = objective.mixed(x, whole)
    for i in range(8):
        mine, image = whole.of(torch.tensor([i])), x[i : i + 1]
        exponential = [-math.log(value) for value in mine.uniform("dirichlet", (3,))[0].tolist()]
        mixture = torch.zeros_like(image)
        for chain in range(3):
            operated = image
            for place in range(1 + int(3 * float(mine.uniform("depth", (3,))[0, chain]))):
                operated = near.draw(operated, mine.within(f"{chain}.{place}"))
            mixture = mixture + exponential[chain] / sum(exponential) * operated
        m = float(mine.uniform("beta"))
        torch.testing.assert_close(found[i : i + 1], m * image + (1 - m) * mixture, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_jensen_shannon_of_three_is_the_published_one(scale: float) -> None:
    """Oracles: the loss of the authors' code (clamp of the mixture at 1e-7, kl_div), and the definition as a loop."""
    generator = torch.Generator().manual_seed(0)
    logits = tuple(scale * torch.randn(50, CLASSES, generator=generator, dtype=torch.float64) for _ in range(3))
    found = jensen_shannon(logits)
    views = [one.softmax(1) for one in logits]
    log_mixture = torch.clamp((views[0] + views[1] + views[2]) / 3.0, 1e-7, 1).log()
    published = sum(functional.kl_div(log_mixture, view, reduction="batchmean") for view in views) / 3.0
    assert float(found.mean()) == pytest.approx(float(published), rel=1e-12)
    loop: list[float] = []
    for i in range(50):
        rows = [probabilities(one)[i] for one in logits]
        middle = [min(1.0, max(1e-7, sum(row[k] for row in rows) / 3)) for k in range(CLASSES)]
        loop.append(sum(row[k] * (math.log(row[k]) - math.log(middle[k])) for row in rows for k in range(4)) / 3)
    close(found, loop)
    if scale == 10:
        assert min(float((views[0] + views[1] + views[2])[i].min()) / 3 for i in range(50)) < 1e-7  # the clamp works


def test_jensen_shannon_of_two_equal_views_and_one() -> None:
    """Oracle: scipy, where two of the three views are mixed as one of double weight; within rounding of the clamp."""
    p, q = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[0.1, 0.3, 0.6]])
    assert float(jensen_shannon((p.log(), p.log(), p.log()))) == pytest.approx(0, abs=1e-6)
    two = float(jensen_shannon((p.log(), q.log())))
    assert two == pytest.approx(float(jensenshannon(p[0].numpy(), q[0].numpy())) ** 2, rel=1e-5)


def test_augmix_terms() -> None:
    """Oracle: cross-entropy of the clean image alone plus 12 times the divergence, as published."""
    net, x = model(), x64()
    objective = Augmix(NOISE)
    terms = objective(net, x, labels(), keys())
    close(terms["cross_entropy"], cross_entropies(net(x)))
    views = [objective.mixed(x, keys().within(f"augmix.{number}")) for number in (1, 2)]
    assert not torch.allclose(views[0], views[1])
    torch.testing.assert_close(terms["jensen_shannon"], jensen_shannon((net(x), net(views[0]), net(views[1]))))
    assert objective.weights() == {"jensen_shannon": 12.0}


BALL, EPSILON, STEPS = Neighbourhood.of("linf", 8.0, severities="fixed"), 8 / 255, 10


def test_trades_divergence() -> None:
    """Oracle: KL(p(x) || p(x')), a loop over samples and classes; equation 5, the clean side first."""
    net, x = model(), x64()
    terms = Trades(BALL, beta=3.0)(net, x, labels(), keys())
    copies = Trades(BALL).worst(net, x, keys())
    loop = [
        sum(p * (math.log(p) - math.log(q)) for p, q in zip(clean, moved, strict=True))
        for clean, moved in zip(probabilities(net(x)), probabilities(net(copies)), strict=True)
    ]
    torch.testing.assert_close(terms["divergence"].detach(), torch.tensor(loop, dtype=torch.float64), rtol=1e-7, atol=0)
    close(terms["cross_entropy"], cross_entropies(net(x)))
    assert Trades(BALL, beta=3.0).weights() == {"divergence": 3.0}
    assert Trades(BALL).weights() == {"divergence": 6.0}


def test_trades_searches_by_projected_sign_ascent() -> None:
    """Oracle: the ascent written out image by image, with the documented start and step sizes; the best is kept."""
    net, x = model(), x64()
    found = Trades(BALL, steps=STEPS).worst(net, x, keys())
    start = BALL.parts[0][1].sample(keys().within("trades").within("linf"), x)["field"]
    for i in range(8):
        image, u = x[i : i + 1], start[i : i + 1].clone()
        clean, best, value = net(image).detach(), image, -1.0
        for step in range(STEPS + 1):
            u = u.detach().requires_grad_()
            copy = (image + EPSILON * u).clamp(0, 1)
            kl = divergence(clean, net(copy)).sum()
            if float(kl.detach()) > value:
                best, value = copy.detach(), float(kl.detach())
            if step < STEPS:
                size = 2.5 / STEPS * (1 + math.cos(math.pi * (step + 0.5) / STEPS))
                u = (u + size * torch.autograd.grad(kl, u)[0].sign()).clamp(-1, 1)
        torch.testing.assert_close(found[i : i + 1], best, rtol=0, atol=1e-9)


def test_trades_finds_what_the_published_ascent_finds() -> None:
    """Oracle: algorithm 1 of arXiv 1901.08573 (start 0.001 normal, step eps / 4, 10 steps, projected and clipped): the
    divergence found here is on average at least 0.95 of it, and stays inside the ball.
    """
    net, x = model(), x64(32)
    mine = Trades(BALL, steps=STEPS).worst(net, x, keys(32))
    assert float((mine - x).abs().max()) <= EPSILON + 1e-9
    generator = torch.Generator().manual_seed(0)
    theirs = x + 0.001 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    clean = net(x).detach()
    for _ in range(STEPS):
        theirs = theirs.detach().requires_grad_()
        loss = functional.kl_div(net(theirs).log_softmax(1), clean.softmax(1), reduction="sum")
        theirs = theirs.detach() + EPSILON / 4 * torch.autograd.grad(loss, theirs)[0].sign()
        theirs = torch.min(torch.max(theirs, x - EPSILON), x + EPSILON).clamp(0, 1)
    found, published = (float(divergence(clean, net(one)).mean().detach()) for one in (mine, theirs))
    random = float(divergence(clean, net(BALL.draw(x, keys(32).within("trades")))).mean().detach())
    assert found >= 0.95 * published
    assert published > 2 * random


def test_continuity() -> None:
    """Oracle: the paper's Loss + alpha DS(x, P(x)) with the batch's own spread: a double loop over the batch."""
    net, x = model(), x64()
    constraint = ContinuityConstraint(NOISE, options=Options())
    objective = Continuity(constraint, alpha=2.5)
    terms = objective(net, x, labels(), keys())
    copies = NOISE.draw(x, keys().within("constraint"))
    rows, moved = ([[v - sum(row) / 4 for v in row] for row in net(one).tolist()] for one in (x, copies))
    spread = sum(math.dist(rows[i], rows[j]) for i in range(8) for j in range(8) if i != j) / (8 * 7)
    penalties = [math.dist(row, other) / spread for row, other in zip(rows, moved, strict=True)]
    close(terms["continuity"], penalties)
    close(terms["cross_entropy"], cross_entropies(net(x)))
    expected = (sum(cross_entropies(net(x))) + 2.5 * sum(penalties)) / 8
    assert float(objective.total(terms).detach()) == pytest.approx(expected, rel=1e-10)
