"""The engine: what a row says depends on the image and the settings, never on batches, order or scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from semcon.canvas import Canvas
from semcon.core.concepts import Gauge
from semcon.core.errors import SemconError
from semcon.core.registry import available, load
from semcon.core.table import SampleTable
from semcon.evaluations.continuity import Continuity
from semcon.loading import Batch, batches, scan
from semcon.measuring.plan import Plan, Trial
from semcon.measuring.references import Index
from semcon.progress import Silent
from semcon.recipes.trials import BUDGETS, parse_trials
from semcon.search import SearchSettings
from semcon.subject import Subject


class Small(nn.Module):
    """A small untrained network with structure enough to flip: (B, 3, H, W) -> (B, 5)."""

    def __init__(self, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift
        generator = torch.Generator().manual_seed(3)
        self.conv, self.linear = nn.Conv2d(3, 8, 3, 2), nn.Linear(8 * 49, 5)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3

    def forward(self, x):
        z = torch.tanh(self.conv(x)).flatten(1)
        return (self.linear(z) + self.shift * x.mean((1, 2, 3))[:, None]) * self.scale


def gauge(representation: str, distance: str, *fields: str) -> Gauge:
    return Gauge(load("representations", representation)(*fields), distance, load("distances", distance)())


GAUGES = (gauge("pixels", "l2"), gauge("layer", "l2", "penultimate"), gauge("logits", "l2"), gauge("logits", "cosine"))


def trials(*texts: str) -> tuple[Trial, ...]:
    found = []
    for text in texts:
        name, _, severities = text.partition(":")
        found.append(Trial(name, load("perturbations", name)(), tuple(float(s) for s in severities.split("/"))))
    return tuple(found)


PLAN = Plan(trials("gaussian_noise:0.05/0.2", "brightness:0.3", "rotation:20", "posterize:4/6"), GAUGES, draws=2)


def images(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.arange(n) % 5
    coarse = generator.random((n, 4, 4, 3)) * 0.6 + (labels / 10)[:, None, None, None]
    return (np.kron(coarse, np.ones((1, 4, 4, 1))) * 255).clip(0, 255).astype(np.uint8), labels


def measured(
    network: object,
    data: object,
    plan: Plan = PLAN,
    *,
    batch_size: int = 16,
    order: Sequence[int] | None = None,
    size: int = 16,
) -> SampleTable:
    dataset = load("datasets", "arrays")(*data) if isinstance(data, tuple) else data
    scanned = scan(dataset)
    subject = Subject(network, name="small", canvas=Canvas(size, size))
    parts: list[SampleTable] = []
    labels = scanned.labels

    def read(rows: Sequence[int]) -> list[Batch]:
        rows = rows if order is None else [row for row in order if row in set(rows)]
        return list(batches(dataset, subject.canvas, scanned, rows, batch_size=batch_size))

    Continuity(plan).run(subject, Index(scanned.ids, labels), read, skip=set(), keep=parts.append, progress=Silent())
    table = SampleTable.concat(parts)
    keys = ["sample", "perturbation", "severity", "draws", "draw"]
    assert table.joined().select(keys).is_duplicated().sum() == 0
    return table


def rows(table: SampleTable) -> pl.DataFrame:
    return table.joined().sort("sample", "perturbation", "severity", "draws", "draw")


def assert_same(
    a: SampleTable, b: SampleTable, *, columns: Sequence[str], rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    left, right = rows(a), rows(b)
    assert left["sample"].equals(right["sample"])
    for column in columns:
        one, two = left[column].to_numpy().astype(float), right[column].to_numpy().astype(float)
        np.testing.assert_allclose(one, two, rtol=rtol, atol=atol, err_msg=column)


def test_every_perturbation_goes_through_search_and_bisection() -> None:
    """On their own ladders, integers beside floats: a row for each (severity, kind), one critical severity an image."""
    ladders = {name: load("perturbations", name)() for name in available("perturbations")}
    every = tuple(Trial(name, one, tuple(float(s) for s in one.ladder[-2:])) for name, one in ladders.items())
    settings = SearchSettings(steps=2, restarts=1, best_of=2)
    data = load("datasets", "arrays")(*images(5))
    data.mask = lambda index: np.tri(16, dtype=bool)  # for those that need to know where the object is
    table = measured(Small(), data, Plan(every, GAUGES, draws=1, worst=settings, critical=True))
    kinds = table.rows.group_by("perturbation", "draws").len()
    expected = {
        (t.name, kind): 5 * len(t.severities) for t in every for kind in ("random", "worst_change", "worst_flip")
    }
    expected |= {(t.name, "critical"): 5 for t in every}
    assert {(name, kind): count for name, kind, count in kinds.iter_rows()} == expected


SCALE_FREE = ["prediction", "clean_prediction", "others", "logits.l2.nearer", "logits.cosine.nearer"]


@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_rows_do_not_depend_on_the_batch_size_or_the_order(batch_size):
    """Invariant: keyed draws. Integers exact, floats to tolerance."""
    data = images()
    order = np.random.default_rng(1).permutation(len(data[0])).tolist()
    whole = measured(Small(), data)
    again = measured(Small(), data, batch_size=batch_size, order=order)
    columns = [name for name, kind in rows(whole).schema.items() if kind == pl.Float32 and name != "gradient_norm"]
    assert_same(whole, again, columns=[*columns, *SCALE_FREE])
    assert_same(whole, again, columns=["gradient_norm"], rtol=1e-3)


def test_images_of_mixed_sizes_give_the_same_rows_at_every_batch_size():
    """Invariant: the canvas makes them one size; batches of one and of sixteen agree."""

    class Mixed:
        name = source = "mixed"
        classes = None

        def __len__(self):
            return 12

        def label(self, index):
            return index % 5

        def title(self, index):
            return f"image {index}"

        def identity(self, index):
            return index * 7919 + 1

        def image(self, index):
            return np.random.default_rng(index).integers(0, 255, (16 + index, 30 - index, 3), dtype=np.uint8)

    one, many = measured(Small(), Mixed(), batch_size=1), measured(Small(), Mixed(), batch_size=16)
    assert_same(one, many, columns=["logits.l2.change", "pixels.l2.change", "logits.l2.spread", *SCALE_FREE])


def test_adding_a_function_of_the_image_to_all_logits_changes_no_centred_figure():
    """Invariant: softmax cannot see it (DESIGN section 2: 1000 x mean pixel)."""
    plain, shifted = measured(Small(), images()), measured(Small(shift=1000.0), images())
    columns = [f"logits.{distance}.{part}" for distance in ("l2", "cosine") for part in ("change", "spread", "within")]
    assert_same(plain, shifted, columns=columns, rtol=2e-3, atol=2e-3)
    assert_same(plain, shifted, columns=["prediction", "clean_prediction"])
    near = np.abs(rows(plain)["logits.l2.nearer"].to_numpy() - rows(shifted)["logits.l2.nearer"].to_numpy())
    assert near.max() <= 1  # float rounding at 1000 may exchange two neighbours


def test_scaling_the_logits_leaves_relative_figures_ranks_and_predictions():
    """Invariant of homogeneous distances: times 0.01."""
    plain, scaled = measured(Small(), images()), measured(Small(scale=0.01), images())
    left, right = rows(plain), rows(scaled)
    for distance in ("l2", "cosine"):
        for yardstick in ("spread", "within"):
            ratio = [f[f"logits.{distance}.change"] / f[f"logits.{distance}.{yardstick}"] for f in (left, right)]
            np.testing.assert_allclose(ratio[0], ratio[1], rtol=1e-3)
    assert_same(plain, scaled, columns=SCALE_FREE)


def test_spreads_and_nearer_counts_equal_loops_over_all_pairs():
    """Oracle: double loops over the definitions; with 40 images every image is a reference."""
    table = measured(Small(), images())
    x = torch.from_numpy(images()[0]).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        z = Small()(x)
    z = z - z.mean(1, keepdim=True)
    labels = images()[1]
    frame = table.images.sort("position")
    for i in range(len(z)):
        others = [j for j in range(len(z)) if j != i]
        distances = {j: float((z[i] - z[j]).norm()) for j in others}
        same = [distances[j] for j in others if labels[j] == labels[i]]
        assert frame["logits.l2.spread"][i] == pytest.approx(np.mean(list(distances.values())), rel=1e-4)
        assert frame["logits.l2.within"][i] == pytest.approx(np.mean(same), rel=1e-4)
        for row in table.rows.filter((pl.col("position") == i) & (pl.col("draws") == "random")).to_dicts():
            assert row["logits.l2.nearer"] == sum(distance < row["logits.l2.change"] for distance in same)


def test_gradient_norm_agrees_with_finite_differences():
    """Oracle: central differences of the margin along the gradient's own direction, float64."""
    table = measured(Small(), images(6))
    network = Small().double()
    x = torch.from_numpy(images(6)[0]).permute(0, 3, 1, 2).double() / 255
    for i in range(6):
        source = x[i : i + 1].clone().requires_grad_()
        top = network(source).topk(2).values[0]
        (gradient,) = torch.autograd.grad(top[0] - top[1], source)
        step = 1e-5 * gradient / gradient.norm()

        def margin(image):
            with torch.no_grad():
                values = network(image).topk(2).values[0]
            return float(values[0] - values[1])

        slope = (margin(x[i : i + 1] + step) - margin(x[i : i + 1] - step)) / 2e-5
        value = table.images.sort("position")["gradient_norm"][i]
        assert value == pytest.approx(slope / (top[0] - top[1]).item(), rel=1e-3)


def test_worst_rows_are_never_milder_than_random_rows():
    """Invariant: random draws are candidates, for the change and for the margin."""
    plan = Plan(
        trials("gaussian_noise:0.1", "brightness:0.3", "linf:4"), GAUGES, draws=3, worst=SearchSettings(6, 2, 5)
    )
    joined = measured(Small(), images(), plan).joined()
    flips = pl.col("prediction") != pl.col("clean_prediction")
    for name in ("gaussian_noise", "brightness", "linf"):
        here = joined.filter(pl.col("perturbation") == name)
        random = (
            here.filter(pl.col("draws") == "random")
            .group_by("position")
            .agg(pl.col("logits.l2.change").max().alias("change"), flips.any().alias("flip"))
        )
        worst = here.filter(pl.col("draws") == "worst_change").select("position", "logits.l2.change", "method")
        both = worst.join(random, on="position")
        assert (both["logits.l2.change"] >= both["change"] - 1e-5).all()
        flipped = (
            here.filter(pl.col("draws") == "worst_flip")
            .select("position", flips.alias("worst"))
            .join(random, on="position")
        )
        assert (flipped["worst"] | ~flipped["flip"]).all()
        expected = "best of 5" if name == "gaussian_noise" else "gradient 6x2"
        assert set(both["method"]) == {expected}


@pytest.mark.parametrize(("draws", "tried"), [(1, 5), (7, 7)])
def test_a_black_box_falls_back_to_the_best_of_k_and_says_so(draws, tried):
    """A callable without gradients: method in the rows, no gradient norm. Oracle: images that the network saw."""
    network = Small()

    seen = []

    def box(x):
        seen.append(len(x))
        with torch.no_grad():
            return network(x)

    gauges = (gauge("pixels", "l2"), gauge("logits", "l2"))
    plan = Plan(trials("linf:4"), gauges, draws=draws, worst=SearchSettings(6, 2, 5))
    table = measured(box, images(10), plan)
    assert set(table.rows.filter(pl.col("draws") == "worst_change")["method"]) == {f"best of {tried}"}
    copies = tried + (tried - draws) + 2  # the second search draws its own; both end with a look at the best
    assert sum(seen) == 2 + 10 + 10 * copies  # after the subject's probe of two and the references
    assert plan.passes(gradients=False) == 1 + copies
    assert table.images["gradient_norm"].null_count() == 10


def test_critical_severity_equals_a_fine_scan():
    """Oracle: the first rung that flips, then a scan of 1024 steps inside that bracket; smallest over the draws."""
    plan = Plan(trials("brightness:0.5"), (gauge("pixels", "l2"), gauge("logits", "l2")), draws=2, critical=True)
    table = measured(Small(), images(20), plan)
    found = table.rows.filter(pl.col("draws") == "critical").sort("position")
    perturbation = load("perturbations", "brightness")()
    dataset = load("datasets", "arrays")(*images(20))
    from semcon.keyed import Keys

    ids = torch.tensor([dataset.identity(i) for i in range(20)])
    x = torch.from_numpy(images(20)[0]).permute(0, 3, 1, 2) / 255
    network = Small()
    with torch.no_grad():
        clean = network(x).argmax(1)
        for i in range(20):
            firsts = []
            for draw in (0, 1):
                unit = perturbation.sample(Keys(ids[i : i + 1], 0, draw, "brightness"), x[i : i + 1])

                def flips(severity, i=i, unit=unit):
                    return bool(network(perturbation(x[i : i + 1], unit, severity)).argmax(1)[0] != clean[i])

                low = 0.0
                for rung in perturbation.ladder:
                    if flips(rung):
                        grid = np.linspace(low, rung, 1025)[1:]
                        flipped = [severity for severity in grid if flips(float(severity))]
                        firsts.append((flipped[0], flipped[-1], rung - low))
                        break
                    low = rung
            value = found["critical"][i]
            if not firsts:
                assert value is None
                continue
            assert value is not None
            width = min(first[2] for first in firsts) / 1024
            assert min(first[0] for first in firsts) - 1e-6 <= value <= min(first[1] for first in firsts) + width


def test_limits_of_the_data_hold_for_the_critical_severity():
    """Digits bear 15 degrees of rotation. Oracle: the ladder cut by hand."""
    (trial,) = parse_trials((), BUDGETS["fast"], dict.fromkeys(available("perturbations"), 0.0) | {"rotation": 15.0})
    ladder = load("perturbations", "rotation").ladder
    assert trial.severities == (ladder[0], ladder[2])
    assert max(trial.ladder) == 15 < max(ladder)
    plan = Plan((trial,), (gauge("pixels", "l2"), gauge("logits", "l2")), draws=2, critical=True)
    table = measured(Small(), images(20), plan)
    rows = table.rows.filter(pl.col("draws") == "critical")
    assert set(rows["censored_at"]) == {15.0}
    assert rows["critical"].null_count() < 20
    assert float(rows["critical"].max()) <= 15
    assert plan.passes(gradients=False) == 1 + 2 * len(trial.ladder) + 5


def test_nan_outputs_name_the_images():
    class Broken(Small):
        def forward(self, x):
            z = super().forward(x)
            return torch.where((x.mean((1, 2, 3)) > 0.62)[:, None], torch.nan, z)

    data = images()
    bright = int(np.flatnonzero(data[0].mean((1, 2, 3)) / 255 > 0.62)[0])
    with pytest.raises(SemconError, match=f"NaN or infinite for .* untouched: image {bright}, "):
        measured(Broken(), data)


def test_out_of_memory_halves_the_batch_and_changes_no_number():
    """A network that refuses more than four images at once gives the rows of one that does not."""

    class Tight(Small):
        def forward(self, x):
            if len(x) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    data = images(20)
    plan = Plan(trials("gaussian_noise:0.1"), GAUGES)
    dataset = load("datasets", "arrays")(*data)
    scanned = scan(dataset)
    subject = Subject(Tight(), name="tight", canvas=Canvas(16, 16))
    parts: list[SampleTable] = []
    said: list[str] = []

    class Ear(Silent):
        def say(self, sentence):
            said.append(sentence)

    Continuity(plan).run(
        subject, Index(scanned.ids, scanned.labels),
        lambda rows: batches(dataset, subject.canvas, scanned, rows, batch_size=16),
        skip=set(), keep=parts.append, progress=Ear(),
    )  # fmt: skip
    assert any("half as many" in sentence for sentence in said)
    assert_same(SampleTable.concat(parts), measured(Small(), data, plan), columns=["logits.l2.change"])


def test_duplicates_share_their_draws_and_are_no_yardstick_for_each_other():
    """Equal pixels, equal numbers; the twin at distance 0 counts neither as another image nor as a nearer one."""
    pixels, labels = images(10)
    dataset = load("datasets", "arrays")(np.concatenate([pixels, pixels[:3]]), np.concatenate([labels, labels[:3]]))
    scanned = scan(dataset)
    subject = Subject(Small(), name="small", canvas=Canvas(16, 16))
    parts: list[SampleTable] = []
    Continuity(Plan(trials("gaussian_noise:0.1"), GAUGES)).run(
        subject, Index(scanned.ids, scanned.labels),
        lambda rows: batches(dataset, subject.canvas, scanned, rows, batch_size=4), skip=set(), keep=parts.append,
        progress=Silent(),
    )  # fmt: skip
    table = SampleTable.concat(parts)
    frame = table.joined().sort("position")
    np.testing.assert_allclose(frame["logits.l2.change"][:3], frame["logits.l2.change"][10:], rtol=1e-5)
    np.testing.assert_allclose(frame["logits.l2.spread"][:3], frame["logits.l2.spread"][10:], rtol=1e-5)
    assert frame["others"].to_list() == [1] * 13
