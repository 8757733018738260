"""Neighbourhoods: which perturbation at which severity each sample gets, chains, and limits."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from semcon.chain import Chain
from semcon.core.errors import SemconError, UnknownNameError
from semcon.core.registry import load
from semcon.keyed import Keys
from semcon.neighbourhood import Neighbourhood
from semcon.perturbations import Brightness, GaussianNoise
from small_networks import images, keys


def many(count: int) -> Keys:
    return keys(count)


@pytest.mark.parametrize(("severities", "mean"), [("uniform", 0.1), ("fixed", 0.2)])
def test_a_severity_is_drawn_up_to_the_limit_or_is_the_limit(severities: str, mean: float) -> None:
    """Oracle: the copy is x + s n with the perturbation's own draw n, so that s can be read off; uniform on (0, 0.2):
    mean 0.1 and standard deviation 0.2 / sqrt 12 (5 standard errors over 2000).
    """
    near = Neighbourhood.of("gaussian_noise", 0.2, severities=severities)  # type: ignore[arg-type]
    x = torch.full((2000, 3, 4, 4), 0.5)
    field = GaussianNoise().sample(many(2000).within("gaussian_noise"), x)["field"]
    copy = near.draw(x, many(2000))
    inside = (copy > 0) & (copy < 1) & (field.abs() > 0.1)
    ratios = ((copy - x) / field).where(inside, torch.nan).nanmedian(dim=1).values.flatten(1)
    severity = ratios.nanmedian(dim=1).values
    assert float(severity.nanmean()) == pytest.approx(mean, abs=5 * 0.2 / math.sqrt(12 * 2000))
    assert 0 < float(severity.nan_to_num(0.1).min()) <= float(severity.nan_to_num(0.1).max()) <= 0.2 * (1 + 1e-4)


def severity_of_posterized(copy: Tensor, x: Tensor) -> list[int]:
    """The severities 1..7 that give exactly this copy of each image."""
    posterize = load("perturbations", "posterize")()
    made = [posterize(x, {}, float(s)) for s in range(1, 8)]
    return [next(s + 1 for s in range(7) if torch.equal(made[s][i], copy[i])) for i in range(len(x))]


def test_discrete_severities_are_whole_and_equally_likely() -> None:
    """Oracle: the perturbation itself at every whole severity; 1 to 4 a quarter each (binomial, 5 sigma over 800)."""
    x = images(8).repeat(100, 1, 1, 1)
    found = severity_of_posterized(Neighbourhood.of("posterize", 4).draw(x, many(800)), x)
    assert set(found) == {1, 2, 3, 4}
    assert all(abs(found.count(s) / 800 - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 800) for s in range(1, 5))
    fixed = Neighbourhood.of("posterize", 4, severities="fixed").draw(x, many(800))
    assert set(severity_of_posterized(fixed, x)) == {4}


def test_a_binary_perturbation_is_made_or_not_asked_for() -> None:
    """Oracle: the mirror image."""
    x = images()
    assert torch.equal(Neighbourhood.of("horizontal_flip").draw(x, keys()), x.flip(-1))


def test_each_sample_gets_one_of_several() -> None:
    """Oracle: the draw of each perturbation alone; a third of the samples each (binomial, 5 sigma over 1200)."""
    names, limits = ["gaussian_noise", "brightness", "translation"], [0.1, 0.3, 10.0]
    x = images(8).repeat(150, 1, 1, 1)
    found = Neighbourhood.of(names, limits).draw(x, many(1200))
    alone = torch.stack(
        [Neighbourhood.of(n, s).draw(x, many(1200)) for n, s in zip(names, [0.1, 0.3, 10.0], strict=True)]
    )
    same = (alone == found).flatten(2).all(2)
    assert bool((same.sum(0) == 1).all())
    assert float((same.double().mean(1) - 1 / 3).abs().max()) < 5 * math.sqrt(2 / 9 / 1200)


def test_a_chain_makes_one_after_the_other() -> None:
    """Oracle: the perturbations called by hand in order, each at its limit times one severity a sample, whole for the
    discrete one.
    """
    parts = (
        ("brightness", Brightness()),
        ("posterize", load("perturbations", "posterize")()),
        ("l2", load("perturbations", "l2")()),
    )
    chain = Chain(parts, (0.4, 3.0, 255.0))
    x, severity = images(), torch.linspace(0, 1, 8)
    unit = chain.sample(keys(), x)
    assert [key.split(".")[0] for key in unit] == ["0", "2"]
    by_hand = x
    for number, (name, part) in enumerate(parts):
        own = {key.split(".", 2)[2]: value for key, value in unit.items() if key.startswith(f"{number}.{name}.")}
        strength = severity * chain.limits[number]
        by_hand = part(by_hand, own, strength.ceil() if name == "posterize" else strength)
    found = chain(x, unit, severity)
    torch.testing.assert_close(found, by_hand, rtol=0, atol=0)
    assert torch.equal(found[0], x[0])
    assert not torch.equal(found[7], x[7])


def test_a_chains_parts_draw_on_their_own() -> None:
    """Oracle: independence: the same perturbation twice in a chain has two different fields."""
    chain = Chain((("linf", load("perturbations", "linf")()),) * 2, (8.0, 8.0))
    one, two = chain.sample(keys(), images()).values()
    assert abs(float(torch.corrcoef(torch.stack([one.flatten(), two.flatten()]))[0, 1])) < 0.1
    assert chain.parameters == "box"
    assert chain.parameter_gradient
    mixed = Chain(
        (("linf", load("perturbations", "linf")()), ("posterize", load("perturbations", "posterize")())), (8, 4)
    )
    assert not mixed.parameter_gradient


def test_draws_are_new_for_every_visit_and_the_same_for_equal_keys() -> None:
    """Oracle: invariance."""
    near, x = Neighbourhood.of(["gaussian_noise", "brightness"]), images()
    assert torch.equal(near.draw(x, keys()), near.draw(x, keys()))
    assert not torch.equal(near.draw(x, keys()), near.draw(x, replace(keys(), draw=1)))
    visits = torch.arange(8)
    each = torch.cat([near.draw(x[i : i + 1], replace(keys(), draw=i).of(torch.tensor([i]))) for i in range(8)])
    assert torch.equal(near.draw(x, replace(keys(), draw=visits)), each)


def test_without_severities_the_fourth_rung_is_the_limit() -> None:
    """Oracle: the ladders; binary ones have one rung."""
    near = Neighbourhood.of(["gaussian_noise", "posterize", "horizontal_flip"])
    assert near.limits == (0.1, 5.0, 1.0)


def test_limits_scale_as_far_as_a_perturbation_goes() -> None:
    """Oracle: products by hand: no further than the maximum, whole where discrete, a flip stays one, chains alike."""
    near = Neighbourhood.of(["gaussian_noise", "posterize", "horizontal_flip", "grayscale"], [0.1, 4, 1, 0.8])
    assert near.scaled(0.3).limits == pytest.approx((0.03, 1, 1, 0.24))
    assert near.scaled(2).limits == pytest.approx((0.2, 7, 1, 1.0))
    chain = Neighbourhood.of(["gaussian_noise", "grayscale"], [0.1, 0.8], chain=True, severities="fixed")
    part = chain.scaled(2).parts[0][1]
    assert isinstance(part, Chain)
    assert part.limits == pytest.approx((0.2, 1.0))
    x = images()
    twice = Neighbourhood.of(["gaussian_noise", "grayscale"], [0.2, 1.0], chain=True, severities="fixed")
    assert torch.equal(chain.scaled(2).draw(x, keys()), twice.draw(x, keys()))


def test_what_makes_no_neighbourhood_is_refused() -> None:
    """Oracle: the message says what was expected."""
    with pytest.raises(SemconError, match="at least one perturbation"):
        Neighbourhood.of([])
    with pytest.raises(SemconError, match="severity 0 is the untouched image"):
        Neighbourhood.of("gaussian_noise", 0)
    with pytest.raises(SemconError, match="one severity, or 2"):
        Neighbourhood.of(["gaussian_noise", "hue"], [0.1, 0.2, 0.3])
    with pytest.raises(SemconError, match="whole number"):
        Neighbourhood.of("posterize", 2.5)
    with pytest.raises(UnknownNameError, match="posterize"):
        Neighbourhood.of("posterise")
