"""Groups, what predictions follow, and axes with meaning, end to end on models whose answer is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import semcon
from semcon import gate
from semcon.checks import FewImages
from semcon.comparing import gate as difference_gate
from semcon.comparing.compare import side_by_side
from semcon.core.errors import SemconError
from semcon.datasets import Arrays, Shapes
from semcon.grouping.factors import FACTORS
from semcon.report.evaluations import evaluation_parts
from semcon.report.reading import readings
from semcon.rules import parse_rule

SIDE, N = 12, 120


class ByColour(nn.Module):
    """The class is the largest channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 20 * x.mean((2, 3))


class ByHalf(nn.Module):
    """The class is the third of the image, from the left, in which there is most light: colours are nothing to it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 40 * x.sum(1).mean(1).unflatten(1, (3, SIDE // 3)).mean(2)


class Five(ByColour):
    """The same for five classes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat((super().forward(x), super().forward(x)[:, :2] + 0.3), dim=1)


class Turned(Five):
    """Another class for every colour, less sure of it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 0.3 * super().forward(x).roll(1, dims=1)


def bars(coloured: bool = True) -> Arrays:
    """A bar in the left, middle or right third, of the class's channel or of all."""
    labels, noise = np.arange(N) % 3, np.random.default_rng(0).integers(0, 40, (N, SIDE, SIDE, 3))
    images = noise.astype(np.uint8)
    for i, label in enumerate(labels):
        channels = [label] if coloured else [0, 1, 2]
        images[i, :, 4 * label : 4 * label + 4, channels] += 150
    return Arrays(images, labels.tolist())


def spots() -> Arrays:
    """A square in the middle of the left, middle or right third, of the class's channel, on black."""
    images = np.zeros((N, SIDE, SIDE, 3), np.uint8)
    for i in range(N):
        images[i, 4:8, 4 * (i % 3) + 1 : 4 * (i % 3) + 3, i % 3] = 100 + i
    return Arrays(images, [i % 3 for i in range(N)])


def audit(model: nn.Module, data: Any, evaluation: str, **options: Any) -> Any:
    return semcon.audit(model, data, evaluate=evaluation, **options).record


def follows(record: Any) -> dict[str, float]:
    return {e.perturbation: e.mean for e in record.evaluations[0].estimates if e.quantity == "follows"}


def named(record: Any) -> list[str]:
    return [finding.code for finding in record.findings if finding.code.startswith("bias-")]


def test_a_model_by_colour_follows_colour_alone_and_another_nothing() -> None:
    """Controls: 1 where the colour decides, 0 where it is nothing to the model."""
    by_colour = audit(ByColour(), bars(), "bias_search")
    assert follows(by_colour)["colour_of_another"] == pytest.approx(1.0)
    assert named(by_colour) == ["bias-colour"]
    assert "follow the colour of an image first" in by_colour.evaluations[0].verdict[0]
    by_place = audit(ByHalf(), bars(), "bias_search")
    assert abs(follows(by_place)["colour_of_another"]) < 0.02
    assert named(by_place) == ["bias-position"]


def test_backgrounds_are_tried_where_there_are_masks() -> None:
    class Five(ByColour):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat((super().forward(x), super().forward(x)[:, :2] - 1), dim=1)

    record = audit(Five(), Shapes(size=SIDE, limit=60), "bias_search")
    assert "background_of_another" in follows(record)


def test_one_class_cannot_be_followed_to_another() -> None:
    with pytest.raises(SemconError, match="two classes at least"):
        audit(ByColour(), Arrays(np.zeros((20, SIDE, SIDE, 3), np.uint8) + 9, [0] * 20), "bias_search")


def test_groups_are_told_apart(tmp_path: Any) -> None:
    """Sixty grey bars are a third right by chance, sixty coloured ones all: a gap of two thirds."""
    grey, colour = bars(coloured=False), bars()
    images = np.concatenate(
        [np.stack([grey.image(i) for i in range(60)]), np.stack([colour.image(i) for i in range(60, N)])]
    )
    data = Arrays(images, [i % 3 for i in range(N)])
    titles = [data.title(i) for i in range(N)]
    (tmp_path / "g.csv").write_text(
        "image,ink\n" + "\n".join(f"{t},{'grey' if i < 60 else 'own'}" for i, t in enumerate(titles))
    )
    record = audit(ByColour(), data, "group_gap", groups=str(tmp_path / "g.csv"))
    (one,) = record.evaluations
    found = {e.subset: e.mean for e in one.estimates if e.quantity == "accuracy" and e.perturbation is None}
    assert found["group:ink=own"] == 1
    assert found["group:ink=grey"] < 0.6
    (gap,) = [e for e in one.estimates if e.quantity == "accuracy_gap"]
    assert gap.subset == "groups:ink"
    assert gap.mean == pytest.approx(found["group:ink=own"] - found["group:ink=grey"])
    assert gap.low > 0.2
    keys = [e.key for e in one.estimates]
    assert len(keys) == len(set(keys))
    assert "worst for grey" in one.verdict[0]
    shown = [
        text
        for part in evaluation_parts(readings([(record, tmp_path)]))
        for table in part.tables
        for text in table.rows
    ]
    assert not [name for name, _ in shown if "gap" in name], "a gap without its attribute says nothing"
    (part,) = evaluation_parts(readings([(record, tmp_path)]))
    shown = {name: [cell[0].split(" ")[0] for cell in cells] for name, cells in part.tables[0].rows}
    assert shown["ink: own"][0] == "1.00"
    assert [shown[name][3] for name in ("ink: own", "ink: grey")] == ["60", "60"]
    with pytest.raises(SemconError, match="needs groups: --groups"):
        audit(ByColour(), data, "group_gap")


def test_groups_that_are_alike_have_no_worst(tmp_path: Any) -> None:
    (tmp_path / "g.csv").write_text("image,half\n" + "".join(f"image {i},{'ab'[i % 2]}\n" for i in range(N)))
    record = audit(ByColour(), bars(), "group_gap", groups=str(tmp_path / "g.csv"))
    assert record.evaluations[0].verdict[0].startswith("By half, accuracy is 1.00 in every group of 30 images or more")


def test_an_attribute_with_and_in_its_name_is_no_intersection(tmp_path: Any) -> None:
    data = bars()
    rows = "".join(f"{data.title(i)},{'few' if i < 10 else 'many'}\n" for i in range(N))
    (tmp_path / "g.csv").write_text(f"image,hair and eyes\n{rows}")
    record = audit(ByColour(), data, "group_gap", groups=str(tmp_path / "g.csv"))
    keys = [e.key for e in record.evaluations[0].estimates]
    assert len(keys) == len(set(keys))
    assert any("hair and eyes=few (10)" in finding.message for finding in record.findings)


def test_axes_are_judged_on_every_image_once_where_memory_is_short() -> None:
    class Narrow(ByHalf):
        """Takes no more than twenty images at a time."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(x) > 20:
                raise RuntimeError("CUDA out of memory")
            return super().forward(x)

    record = audit(ByHalf(), bars(), "axis_meaning", reference=Narrow())
    assert {e.samples for e in record.evaluations[0].estimates if e.quantity == "factor_lift"} == {N}


def test_rules_on_groups_are_held_before_the_measurement_and_judged_after(tmp_path: Any) -> None:
    """Groups and attributes are known when the evaluation is planned, intersections too."""
    data = Shapes(size=SIDE, limit=100, background=0.5)
    options = {"groups": "bias,texture", "out": tmp_path / "run"}
    for rule, words in (("accuracy[bias=conflict] < 1", "conflicting"), ("flip_gap[textures] > 1", "texture")):
        with pytest.raises(SemconError, match=f"Did you mean .*{words}"):
            semcon.audit(Five(), data, evaluate="group_gap", rules=[parse_rule(rule)], **options)
    with pytest.raises(SemconError, match="there are no groups"):
        semcon.audit(Five(), data, rules=[parse_rule("accuracy_gap > 1")])
    rules = [parse_rule(text) for text in (
        "accuracy[bias=conflicting] < 0", "hue flip[bias=aligned] > 1", "flip[bias and texture=aligned, dots] > 1",
        "accuracy_gap > 1", "accuracy_gap[bias and texture] > 1",
    )]  # fmt: skip
    record = semcon.audit(Five(), data, evaluate="group_gap", rules=rules, **options).record
    assert {one.state for one in gate.judge(record, rules[:2])} == {"passed"}
    (small,) = gate.judge(record, rules[2:3])
    assert small.state == "undecided"
    assert "groups of fewer than 30 images are not judged" in small.sentence
    (finding,) = [one for one in record.findings if one.code == "group-too-small"]
    assert finding.message.endswith("and 10 more"), "five textures, of which five are named, and ten intersections"
    results = gate.judge(record, rules)
    assert [one.name for one in results if one.name.startswith("accuracy_gap")] == [
        "accuracy_gap[bias] > 1", "accuracy_gap[texture] > 1", "accuracy_gap[bias and texture] > 1",
        "accuracy_gap[bias and texture] > 1",
    ]  # fmt: skip


def test_one_group_and_groups_that_are_too_small_are_said_to_have_no_gap(tmp_path: Any) -> None:
    rows = "".join(f"image {i},yes,{'a' if i < 5 else 'b'},{i % 10}\n" for i in range(N))
    (tmp_path / "g.csv").write_text("image,one,few,none\n" + rows)
    record = audit(ByColour(), bars(), "group_gap", groups=str(tmp_path / "g.csv"))
    assert record.evaluations[0].verdict[:3] == (
        "By one, every image is in one group, yes: there is nothing to compare it with.",
        "By few, of 2 groups only b has 30 images or more: no gap is told.",
        "By none, none of 10 groups has 30 images or more: no gap is told.",
    )
    (line, *_) = gate.judge(record, [parse_rule("accuracy_gap[one] > 0.1")])
    assert line.state == "undecided"
    assert "fewer than two groups of 30 images" in line.sentence


def test_a_group_without_a_class_is_told(tmp_path: Any) -> None:
    """40 images of three classes by thirds; where the third class is none of 40, chance had given it 13."""
    rows = "".join(f"image {i},{'two' if i % 3 < 2 and i < 60 else 'rest'},{'xy'[i % 2]}\n" for i in range(N))
    (tmp_path / "g.csv").write_text("image,domain,fair\n" + rows)
    record = audit(ByColour(), bars(), "group_gap", groups=str(tmp_path / "g.csv"))
    (message,) = [finding.message for finding in record.findings if finding.code == "group-lacks-classes"]
    assert message.endswith("over unlike classes: domain=two has none of 2")
    gate.check_codes(["group-lacks-classes"])


def test_groups_are_compared_in_gates_too(tmp_path: Any) -> None:
    """Oracle: each side's own estimates, over all perturbations and at one of them."""
    data = Shapes(size=SIDE, limit=120, background=0.5)
    for name, model in (("one", Five()), ("two", Turned())):
        semcon.audit(model, data, evaluate="group_gap", groups="bias,texture", out=tmp_path / name)
    together = side_by_side([tmp_path / "one", tmp_path / "two"])
    runs = [semcon.RunRecord.load(tmp_path / name).of("group_gap").record for name in ("one", "two")]
    own = [{(e.perturbation, e.quantity): e.mean for e in run.estimates if e.subset == "group:bias=aligned"}
           for run in runs]  # fmt: skip
    found = {(one.perturbation, one.quantity): one for one in together.comparisons[0].differences
             if one.subset == "group:bias=aligned"}  # fmt: skip
    for quantity in ("accuracy", "flip", "relative_change"):
        one = found[None, quantity]
        assert (one.first, one.second) == pytest.approx((own[0][None, quantity], own[1][None, quantity])), quantity
    gaps = [{e.subset: e.mean for e in run.estimates if e.quantity == "accuracy_gap"} for run in runs]
    (gap,) = [one for one in together.comparisons[0].differences
              if (one.quantity, one.subset) == ("accuracy_gap", "groups:bias")]  # fmt: skip
    assert (gap.first, gap.second) == pytest.approx((gaps[0]["groups:bias"], gaps[1]["groups:bias"]))
    for beyond, state in ((gap.low - 0.01, "failed"), (gap.high + 0.01, "passed"), (gap.difference, "undecided")):
        (result,) = difference_gate.judge(together, [difference_gate.parse(f"accuracy_gap[bias] > {beyond:.4f}")])
        assert result.state == state
    for text in (
        "accuracy[bias=aligned] < -1", "flip[bias=aligned] > 1",
        "hue flip[bias=conflicting] > 1",
    ):  # fmt: skip
        results = difference_gate.judge(together, [difference_gate.parse(text)])
        assert [one.state for one in results] == ["passed"], text
    for text, words in (
        ("accuracy[bias=align] < 0", "Did you mean bias=aligned"), ("accuracy_gap[bia] > 0", "Did you mean bias"),
        ("accuracy[bias and texture=aligned, dots] < 0", "unknown group"),
    ):  # fmt: skip
        with pytest.raises(SemconError, match=words):
            difference_gate.judge(together, [difference_gate.parse(text)])


def test_groups_and_evaluations_without_decisions_are_compared_in_words_too(tmp_path: Any, capsys: Any) -> None:
    """Every group has a row; a comparison with nothing to show is shown as that."""
    data = Shapes(size=SIDE, limit=120, background=0.5)

    for name in ("one", "two"):
        semcon.audit(Five(), data, evaluate="group_gap,axis_meaning", groups="bias", out=tmp_path / name)
    together = side_by_side([tmp_path / "one", tmp_path / "two"])
    rows = [row.what for table in together.tables for row in table.rows if row.group == "groups"]
    assert rows == ["bias", "bias", "bias", "bias: aligned", "bias: conflicting"]
    together.show()
    shown = capsys.readouterr().out
    assert "bias: aligned" in shown
    assert "the gap in accuracy between the best and the worst group by bias went from" in " ".join(shown.split())


def test_the_bias_search_shows_what_it_does(tmp_path: Any) -> None:
    """Two pictures a property, of images of two classes; the colour's copies by the transplant itself."""
    run = semcon.audit(ByColour(), bars(), evaluate="bias_search", out=tmp_path / "run")
    entries = run.record.evaluations[0].explained
    counts = {name: [one.perturbation for one in entries].count(name) for name in follows(run.record)}
    assert set(counts.values()) == {2}
    colour = next(factor for factor in FACTORS if factor.name == "colour_of_another")
    for one in entries:
        image, donor, copy = (_pixels(tmp_path / "run" / one.files[role]) for role in ("image", "donor", "copy"))
        if one.perturbation == colour.name:
            made = colour.transplant(image, donor, None, None)
            torch.testing.assert_close(copy, made, rtol=0, atol=2 / 255)
            said = tuple(str(int(ByColour()(x).argmax())) for x in (image, donor))
            assert (one.prediction, one.prediction_copy) == said
            assert one.prediction != one.prediction_copy
    assert (tmp_path / "run" / "report.html").read_text().count("<figcaption>taken from</figcaption>") == len(entries)


def _pixels(path: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).permute(2, 0, 1)[None] / 255


def test_what_predictions_follow_is_compared(tmp_path: Any) -> None:
    """Controls: a model by colour and one by place: all of the colour is lost, all of the place won."""
    for name, model in (("colour", ByColour()), ("place", ByHalf())):
        semcon.audit(model, spots(), evaluate="bias_search", out=tmp_path / name)
    (one,) = side_by_side([tmp_path / "colour", tmp_path / "place"]).comparisons
    found = {row.perturbation: row for row in one.differences if row.quantity == "follows"}
    assert found["colour_of_another"].difference == pytest.approx(-1, abs=0.02)
    assert found["colour_of_another"].sign == -1
    assert found["position_of_another"].difference == pytest.approx(1, abs=0.02)
    assert found["position_of_another"].sign == 1
    assert "predictions follow the colour of an image less: from 1.00 to 0 (" in " ".join(one.opening)
    (same,) = side_by_side([tmp_path / "colour", tmp_path / "colour"]).comparisons
    assert {row.sign for row in same.differences if row.quantity == "follows"} == {0}
    assert same.opening == ("Bias search: predictions are not shown to follow any property more or less.",)


def test_a_metric_frame_of_fairlearn_says_the_same(tmp_path: Any) -> None:
    """Oracle: fairlearn's accuracy and flips by group are the estimates; its difference is the gap."""
    pytest.importorskip("fairlearn")
    data = Shapes(size=SIDE, limit=90, background=0.5)

    record = semcon.audit(Five(), data, evaluate="group_gap", groups="bias", out=tmp_path / "run")
    own = record.of("group_gap").record.estimates
    for quantity in ("accuracy", "flip"):
        frame = record.of("group_gap").metric_frame(quantity)
        ours = {e.subset.partition("=")[2]: e.mean for e in own
                if e.quantity == quantity and e.perturbation is None and e.subset.startswith("group:")}  # fmt: skip
        for value, mean in frame.by_group[quantity].items():
            assert ours[value] == pytest.approx(mean), quantity
        (gap,) = [e.mean for e in own if e.quantity == f"{quantity}_gap"]
        assert gap == pytest.approx(frame.difference()[quantity])


def test_of_many_images_a_keyed_part_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same images whatever their order."""
    monkeypatch.setattr("semcon.evaluations.axis_meaning.MOST", 40)
    data = bars()
    turned = Arrays(np.stack([data.image(i) for i in reversed(range(N))]), [i % 3 for i in reversed(range(N))])
    one, two = (semcon.audit(ByColour(), own, evaluate="axis_meaning") for own in (data, turned))
    samples = [set(run.of("axis_meaning").samples.images["sample"].to_list()) for run in (one, two)]
    assert samples[0] == samples[1]
    assert len(samples[0]) == 40


def test_an_axis_that_tells_the_class_is_warned_of_and_another_is_not() -> None:
    """The bars' hue is their class; grey bars have none."""
    warned = {f.message.partition(" may ")[0] for f in audit(ByColour(), bars(), "axis_meaning").findings
              if f.code == "axis-carries-meaning"}  # fmt: skip
    assert "grayscale" in {one.lower() for one in warned}
    grey = audit(ByColour(), bars(coloured=False), "axis_meaning")
    told = " ".join(f.message for f in grey.findings if f.code == "axis-carries-meaning").lower()
    assert "hue" not in told
    lift = {e.perturbation: e.mean for e in grey.evaluations[0].estimates if e.quantity == "factor_lift"}
    assert abs(lift["hue"]) < 0.15


def test_a_network_that_cannot_be_copied_is_not_said_to_be_checked() -> None:
    """Of a black box the question about its weights is said to be unasked; of a module it is asked."""
    code = "explanation-weights-not-shuffled"
    inner, options = ByHalf(), {"limit": 12}
    box = audit(lambda x: inner(x).detach(), bars(), "explanation_faithfulness", explanations="occlusion", **options)
    own = audit(inner, bars(), "explanation_faithfulness", explanations="occlusion", **options)
    assert code in [finding.code for finding in box.findings]
    assert code not in [finding.code for finding in own.findings]


def test_a_reference_judges_geometry_in_the_place_of_neighbours() -> None:
    """The third of the bar is the class for one reference, and a flip swaps two of three; for another its colour is."""
    by_half = audit(ByColour(), bars(coloured=False), "axis_meaning", reference=ByHalf())
    by_colour = audit(ByHalf(), bars(), "axis_meaning", reference=ByColour())
    for record, changed in ((by_half, 2 / 3), (by_colour, 0.0)):
        told = {e.quantity: e.mean for e in record.evaluations[0].estimates if e.perturbation == "horizontal_flip"}
        assert told["factor_lift"] == pytest.approx(2 / 3)
        assert told["factor_changed"] == pytest.approx(changed)
        assert told["factor_fall"] == pytest.approx(changed)
        assert ("None of these" in record.evaluations[0].verdict[1]) is (record is by_colour and not record.findings)
    (message,) = [f.message for f in by_half.findings if f.message.startswith("horizontal flip")]
    assert "the reference ByHalf has accuracy 1" in message
    assert not [f.message for f in by_colour.findings if f.message.startswith("horizontal flip")]


def test_a_reference_of_other_classes_and_one_that_nothing_asks_are_refused() -> None:
    with pytest.raises(SemconError, match="the reference Flatten has 432 outputs and the model 3"):
        audit(ByColour(), bars(), "axis_meaning", reference=nn.Flatten())
    with pytest.raises(SemconError, match="--reference belongs to the evaluation axis_meaning"):
        audit(ByColour(), bars(), "bias_search", reference=ByHalf())
    with pytest.raises(SemconError, match="the reference: unknown model source 'no'"):
        audit(ByColour(), bars(), "axis_meaning", reference="no")


def test_few_images_speaks_of_no_flips_that_are_a_classifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of axis_meaning hold the answers of neighbours: rates of those are no flips of the model."""
    seen: list[set[str]] = []
    run = FewImages.run
    monkeypatch.setattr(FewImages, "run", lambda self, evidence: seen.append(
        {e.quantity for e in evidence.estimates}) or run(self, evidence))  # fmt: skip
    audit(ByColour(), bars(), "axis_meaning")
    audit(ByColour(), bars(), "bias_search")
    assert "flip" not in seen[0]
    assert "flip" in seen[1]
