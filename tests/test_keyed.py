"""The counter-based generator: known answers, independence, distributions, the same bits in any batch."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from semcon import keyed
from semcon.keyed import Keys, sample_id

IDS = torch.tensor([0, 1, 2**31, 2**32 + 5, 2**62 + 12345, 2**63 - 1, 987654321])
KNOWN_BITS = [[-161860839, 2045390606], [1826850708, 523971687]]
CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))


def _mixed(h: int) -> int:
    """The finaliser on unsigned Python integers: the oracle of the tensor arithmetic, which wraps and is signed."""
    h = (h ^ h >> 16) * 0x7FEB352D & 0xFFFFFFFF
    h = (h ^ h >> 15) * 0x846CA68B & 0xFFFFFFFF
    return h ^ h >> 16


def _bits(seed: int, scope: str, parameter: str, draw: int, sample: int, element: int) -> int:
    """One 32-bit draw, written out with Python integers."""
    salt = hashlib.blake2b(f"{seed}\x1f{scope}\x1f{parameter}".encode(), digest_size=16).digest()
    word = [int.from_bytes(salt[4 * i : 4 * i + 4], "little") for i in range(4)]
    keys = []
    for a, b in (word[:2], word[2:]):
        h = _mixed((sample & 0xFFFFFFFF) ^ a)
        h = _mixed((h + (sample >> 32) + b) & 0xFFFFFFFF)
        h = _mixed(((h ^ draw & 0xFFFFFFFF) + (a ^ b)) & 0xFFFFFFFF)
        keys.append(_mixed((h + (draw >> 32)) & 0xFFFFFFFF))
    return _mixed((_mixed(element ^ keys[0]) + keys[1]) & 0xFFFFFFFF)


@given(
    st.integers(0, 2**63 - 1), st.integers(0, 2**32), st.integers(0, 2**40), st.text(max_size=8), st.text(max_size=8)
)
def test_the_bits_are_those_of_the_definition(sample: int, seed: int, draw: int, scope: str, parameter: str) -> None:
    drawn = Keys(torch.tensor([sample]), seed, draw, scope).bits(parameter, (3,))
    assert [b & 0xFFFFFFFF for b in drawn[0].tolist()] == [
        _bits(seed, scope, parameter, draw, sample, element) for element in range(3)
    ]


def test_known_answers_of_version_1() -> None:
    """Recorded numbers (confirmed by the Python-integer definition above): a change here changes every audit."""
    keys = Keys(torch.tensor([0, 2**63 - 1]), seed=7, draw=3, scope="gaussian_noise")
    assert keys.bits("field", (2,)).tolist() == KNOWN_BITS
    for sample, row in zip((0, 2**63 - 1), KNOWN_BITS, strict=True):
        assert [b & 0xFFFFFFFF for b in row] == [_bits(7, "gaussian_noise", "field", 3, sample, e) for e in (0, 1)]
    assert sample_id(b"semcon") == int.from_bytes(hashlib.blake2b(b"semcon", digest_size=8).digest(), "little") >> 1


@pytest.mark.parametrize("what", ["bits", "uniform", "signed", "normal"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 7, 11)])
def test_a_sample_has_its_numbers_in_any_batch(what: str, shape: tuple[int, ...]) -> None:
    """Oracle: the same sample alone."""
    together = getattr(Keys(IDS, 1, 2, "a"), what)("p", shape)
    order = torch.tensor([4, 0, 6, 2, 1, 5, 3])
    shuffled = getattr(Keys(IDS[order], 1, 2, "a"), what)("p", shape)
    assert together.shape == (7, *shape)
    assert torch.equal(shuffled, together[order])
    for i in range(7):
        assert torch.equal(getattr(Keys(IDS[i : i + 1], 1, 2, "a"), what)("p", shape)[0], together[i])


@pytest.mark.parametrize("block", [1, 7, 64, 10**9])
@pytest.mark.parametrize("what", ["bits", "uniform", "signed", "normal"])
def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch, what: str, block: int) -> None:
    """Working in pieces that fit the cache gives what working at once gives."""
    whole = getattr(Keys(IDS), what)("p", (3, 13))
    monkeypatch.setattr(keyed, "_BLOCK", block)
    assert torch.equal(getattr(Keys(IDS), what)("p", (3, 13)), whole)


def test_a_long_field_begins_with_a_short_one() -> None:
    """The element's number alone is in the key, not the shape."""
    assert torch.equal(Keys(IDS).normal("p", (100,))[:, :10], Keys(IDS).normal("p", (10,)))


@pytest.mark.parametrize("what", ["bits", "uniform", "signed", "normal"])
def test_few_numbers_are_those_that_many_begin_with(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Numbers made by numpy and on the device are the same."""
    for visits in (3, torch.tensor([0, 3, 2**33, 1, 3, 9, 2**40 + 1])):
        few = getattr(Keys(IDS, 5, visits, "s"), what)("p", (keyed._FEW,))
        many = getattr(Keys(IDS, 5, visits, "s"), what)("p", (keyed._FEW + 1,))
        assert torch.equal(many[:, :-1], few)
    monkeypatch.setattr(keyed, "_FEW", -1)
    assert torch.equal(getattr(Keys(IDS, 5, visits, "s"), what)("p", (keyed._FEW + 17,)), few)


def test_here_is_on_the_cpu_wherever_the_numbers_go() -> None:
    there = Keys(IDS, 1, 2, "a", torch.device("meta"))
    assert there.of(torch.tensor([1, 2])).within("b").uniform("p").device.type == "meta"
    assert there.normal("p", (100,)).device.type == "meta"
    assert torch.equal(there.here().uniform("p"), Keys(IDS, 1, 2, "a").uniform("p"))
    assert there.ids.device.type == "cpu"


def test_a_default_device_changes_nothing() -> None:
    with torch.device("meta"):
        drawn = Keys(IDS, 1, 2, "a").uniform("p"), Keys(IDS, 1, 2, "a").normal("p", (100,))
    assert torch.equal(drawn[0], Keys(IDS, 1, 2, "a").uniform("p"))
    assert torch.equal(drawn[1], Keys(IDS, 1, 2, "a").normal("p", (100,)))


def test_draws_per_sample_equal_draws_one_by_one() -> None:
    visits = torch.tensor([0, 3, 2**33, 1, 3, 9, 2**40 + 1])
    together = Keys(IDS, 5, visits, "s").bits("p", (4,))
    for i, visit in enumerate(visits.tolist()):
        assert torch.equal(Keys(IDS[i : i + 1], 5, visit, "s").bits("p", (4,))[0], together[i])


def test_every_field_of_the_key_changes_the_numbers() -> None:
    """Oracle: unrelated bits agree half the time; 32 * 500 of them within 5 standard deviations."""
    ids = torch.arange(500)
    first = Keys(ids, 0, 0, "a").bits("p")
    others = {
        "seed": Keys(ids, 1, 0, "a").bits("p"),
        "draw": Keys(ids, 0, 1, "a").bits("p"),
        "high draw": Keys(ids, 0, 2**32, "a").bits("p"),
        "scope": Keys(ids, 0, 0, "b").bits("p"),
        "part": Keys(ids, 0, 0, "a").within("p").bits("p"),
        "parameter": Keys(ids, 0, 0, "a").bits("q"),
        "sample": Keys(ids + 1, 0, 0, "a").bits("p"),
        "high sample": Keys(ids + 2**32, 0, 0, "a").bits("p"),
        "element": Keys(ids, 0, 0, "a").bits("p", (2,))[:, 1],
    }
    for name, other in others.items():
        assert abs(_share_of_equal_bits(first, other) - 0.5) < 5 * 0.5 / math.sqrt(32 * 500), name


def test_names_are_not_run_together() -> None:
    assert Keys(IDS, 0, 0, "a").within("b").scope == "a.b"
    assert Keys(IDS).within("b").scope == "b"
    assert not torch.equal(Keys(IDS, 0, 0, "ab").bits("c"), Keys(IDS, 0, 0, "a").bits("bc"))


def test_flipping_one_bit_of_the_id_flips_half_of_the_numbers() -> None:
    """Avalanche; oracle: a fair coin for each of the 63 bits of the id, 32 * 400 coins within 5 deviations."""
    ids = torch.randint(0, 2**62, (400,), generator=torch.Generator().manual_seed(0))
    first = Keys(ids).bits("p")
    for bit in range(63):
        share = _share_of_equal_bits(first, Keys(ids ^ (1 << bit)).bits("p"))
        assert abs(share - 0.5) < 5 * 0.5 / math.sqrt(32 * 400), bit


def test_ids_in_sequence_and_long_fields_are_uniform() -> None:
    """Kolmogorov-Smirnov against the uniform, across samples and across elements; chi-squared over byte pairs."""
    across = Keys(torch.arange(20_000)).uniform("p").double().numpy()
    along = Keys(torch.tensor([3])).uniform("p", (20_000,))[0].double().numpy()
    for values in (across, along):
        assert stats.kstest(values, "uniform").pvalue > 1e-4
        cells = np.histogram2d(values[:-1], values[1:], bins=16, range=[[0, 1], [0, 1]])[0]
        assert stats.chisquare(cells.ravel()).pvalue > 1e-4


def test_uniforms_stay_strictly_inside() -> None:
    values = Keys(torch.arange(4)).uniform("p", (2**18,))
    assert values.dtype == torch.float32
    assert float(values.min()) > 0
    assert float(values.max()) < 1
    signed = Keys(torch.arange(4)).signed("p", (2**18,))
    assert float(signed.min()) > -1
    assert float(signed.max()) < 1
    assert torch.equal(signed, values * 2 - 1)


def test_extreme_bits_give_finite_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """All 32 bits 0 or 1. Oracle: scipy's normal quantile of the two outermost 24-bit midpoints."""
    for pattern, quantile in ((0, 2.0**-25), (-1, 1 - 2.0**-25)):
        out, bits = torch.empty(1), torch.full((1,), pattern, dtype=torch.int32)
        keyed._to_normal(bits.clone(), out)
        assert float(out) == pytest.approx(stats.norm.ppf(quantile), rel=1e-3)
        keyed._to_uniform(bits.clone(), out)
        assert 0 < float(out) < 1


def test_normals_are_normal() -> None:
    """Kolmogorov-Smirnov, and the first four moments within 5 of their standard errors."""
    values = Keys(torch.arange(40)).normal("p", (5_000,)).double().numpy().ravel()
    assert stats.kstest(values, "norm").pvalue > 1e-4
    n = values.size
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(values**power) - moment) < 5 * math.sqrt(variance / n), power


def test_parameters_draws_and_samples_do_not_correlate() -> None:
    """Oracle: correlations of 4000 independent normals are below 5 / sqrt(4000)."""
    ids = torch.arange(4_000)
    columns = [Keys(ids, seed, draw, "s").normal(name) for seed in (0, 1) for draw in (0, 1) for name in ("a", "b")]
    neighbours = [Keys(ids + 1, 0, 0, "s").normal("a"), Keys(ids, 0, 0, "s").normal("a", (2,))[:, 1]]
    correlation = torch.corrcoef(torch.stack(columns + neighbours)).fill_diagonal_(0)
    # the neighbour sample's numbers are the first column moved by one row, so they are compared row by row only
    assert float(correlation.abs().max()) < 5 / math.sqrt(4_000)


def test_int32_arithmetic_wraps_on_a_cpu() -> None:
    """The definition relies on it. Oracle: Python integers modulo 2 ** 32."""
    a = torch.tensor([2**31 - 1, -(2**31), 123456789], dtype=torch.int32)
    for other in (0x7FEB352D, -0x7B935975):
        product = [(v * other) & 0xFFFFFFFF for v in a.tolist()]
        total = [(v + other) & 0xFFFFFFFF for v in a.tolist()]
        assert [v & 0xFFFFFFFF for v in (a * other).tolist()] == product
        assert [v & 0xFFFFFFFF for v in (a + other).tolist()] == total
    wide = torch.tensor([2**63 - 1, 2**32 + 7, -(2**33) - 1])
    assert [v & 0xFFFFFFFF for v in wide.to(torch.int32).tolist()] == [v & 0xFFFFFFFF for v in wide.tolist()]


@pytest.mark.parametrize("device", [CUDA])
def test_devices_agree(device: str) -> None:
    here, there = Keys(IDS, 1, 2, "a"), Keys(IDS.to(device), 1, 2, "a")
    for what in ("bits", "uniform", "signed"):
        assert torch.equal(getattr(there, what)("p", (1000,)).cpu(), getattr(here, what)("p", (1000,)))
    torch.testing.assert_close(there.normal("p", (1000,)).cpu(), here.normal("p", (1000,)), rtol=1e-5, atol=1e-6)


def _share_of_equal_bits(a: torch.Tensor, b: torch.Tensor) -> float:
    differing = np.unpackbits((a ^ b).numpy().view(np.uint8))
    return 1 - float(differing.mean())
