"""Gradient masking made on purpose is found, and an honest network not accused (real ones: studies)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from semcon.attacking.curve import Draws, Gradient, search_ladder
from semcon.attacking.goal import Goal, Scores, gives_probabilities, of_probabilities
from semcon.attacking.masking import doubts, restarts, transfer
from semcon.attacking.suspect import Suspect, guided
from semcon.core.registry import load
from semcon.keyed import Keys

N, SIZES = 32, (0.5, 2.0, 4.0, 8.0)
X = 0.2 + 0.6 * torch.rand(N, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def honest() -> Scores:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(72, 16), nn.Tanh(), nn.Linear(16, 4)
    )
    with torch.no_grad():
        network[-1].bias -= network(X).mean(0)  # so that all classes occur
    return network.requires_grad_(False)


def rounded(x: Tensor) -> Tensor:
    return (x * 16).round() / 16


def rough(x: Tensor) -> Tensor:
    return x + torch.sin(4000 * x) / 255


def noisy(x: Tensor) -> Tensor:
    return x + 0.1 * torch.randn_like(x)


def suspect(scores: Scores) -> Suspect:
    with torch.no_grad():
        clean = scores(X)
    ids = torch.arange(N) + 100
    draws = Draws(load("perturbations", "linf")(), Keys(ids, 0, 0, "pgd_linf"), X)
    curve, _ = search_ladder(X, Goal(scores, clean.argmax(1)), clean, SIZES, topple=Gradient(10, 1), draws=draws)
    return Suspect(scores, X, clean.argmax(1), ids, curve.critical, SIZES)


def codes(scores: Scores) -> set[str]:
    found = doubts(suspect(scores))
    for finding in found:
        assert finding.message.endswith("this number may be gradient masking")
        assert finding.severity == "issue"
        assert finding.remedy
    return {finding.code.removeprefix("gradient-masking-") for finding in found}


def test_an_honest_network_is_not_accused() -> None:
    assert codes(honest()) == set()


def test_a_short_attack_is_told_from_a_masked_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images said to stand at all sizes fall to restarts, and as many again change nothing: no accusation.

    Where every look at the model is another, they go on falling, and the doubt remains.
    """
    monkeypatch.setattr("semcon.attacking.masking.QUESTIONS", (restarts,))
    one = suspect(honest())
    (finding,) = doubts(replace(one, critical=torch.where(one.critical < 8, torch.inf, one.critical)))
    assert (finding.code, finding.severity) == ("adversarial-weak-attack", "warning")
    network, calls = honest(), torch.Generator().manual_seed(0)

    def luck(x: Tensor) -> Tensor:
        toss = (torch.rand(len(x), generator=calls) < 0.002).float()[:, None]
        return network(x).detach() * (1 - 2 * toss) + 0 * network(x)

    (finding,) = doubts(replace(one, scores=luck, critical=torch.full((N,), torch.inf)))
    assert finding.code == "gradient-masking-restarts"


@pytest.mark.parametrize(
    ("hidden", "signs"),
    [(rounded, {"zero-gradient", "loss-flat", "black-box"}), (rough, {"zero-gradient"}), (noisy, {"random-model"})],
)
def test_what_hides_the_gradient_is_found(hidden: Callable[[Tensor], Tensor], signs: set[str]) -> None:
    network = honest()
    assert signs <= codes(lambda x: network(hidden(x)))


def test_saturated_outputs_are_found_and_concern_the_cross_entropy() -> None:
    """Logits times a million: the softmax is flat, the margin as steep as ever, and PGD as strong."""
    network = honest()
    (finding,) = doubts(suspect(lambda x: 1e6 * network(x)))
    assert "cross-entropy is zero" in finding.message
    assert torch.equal(suspect(lambda x: 1e6 * network(x)).critical, suspect(network).critical)


def test_saturated_probabilities_are_found() -> None:
    network = honest()

    def probabilities(x: Tensor) -> Tensor:
        return (1e4 * network(x)).softmax(1)

    assert gives_probabilities(probabilities, X[:1])
    assert not gives_probabilities(network, X[:1])
    assert "zero-gradient" in codes(of_probabilities(probabilities))


def test_the_logarithm_undoes_a_softmax() -> None:
    """Scores agree up to a constant for each image (closed form)."""
    network = honest()
    apart = of_probabilities(lambda x: network(x).softmax(1))(X) - network(X)
    torch.testing.assert_close(apart, apart.mean(1, keepdim=True).expand_as(apart), rtol=0, atol=1e-5)


def test_another_models_gradient_leads_through_rounding() -> None:
    """The network without the rounding in front is a perfect guide; the scores stay the masked model's own."""
    network = honest()

    def masked(x: Tensor) -> Tensor:
        return network(rounded(x))

    both = guided(masked, network)
    x = X.clone().requires_grad_()
    (slope,) = torch.autograd.grad(both(x).sum(), x)
    (expected,) = torch.autograd.grad(network(x).sum(), x)
    torch.testing.assert_close(slope, expected)
    torch.testing.assert_close(both(X), masked(X))
    finding = transfer(suspect(masked).right, network, "the network behind")
    assert finding is not None
    assert "the network behind" in finding.message


def test_images_that_are_wrong_are_not_asked_about() -> None:
    one = suspect(honest())
    wrong = Suspect(one.scores, one.x, one.leave, one.ids, torch.zeros(N), SIZES)
    assert doubts(wrong) == []
