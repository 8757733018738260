"""Choosing among the points of a repair: ranks, stopping, the way between two networks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import training_parts as parts
from semcon.alpha import Alpha, Multiplier
from semcon.progress import Silent
from semcon.repairing.mend import between, make_alpha
from semcon.repairing.outcome import frontier_of
from semcon.repairing.watching import Point, Repairer, Watcher, told
from semcon.repairing.wish import Standing, Wish

ACCURACY = Wish("accuracy >= -1", "accuracy", None, None, ">=", -1.0)
CHANGE = Wish("noise", "relative_change", "gaussian_noise", 0.2, "<=", 0.2)


def standing(*values: float, change: float = 0.5, accuracy: float = 0.9, error: float = 0.01) -> Standing:
    return Standing(values, tuple(error for _ in values), change, 0.1, accuracy)


class Scripted:
    """A selection split that says what it is told to."""

    def __init__(self, wishes: tuple[Wish, ...], found: list[Standing]) -> None:
        self.wishes, self.found = wishes, found

    def look(self, subject: Any) -> Standing:
        return self.found.pop(0)


def repairer(wishes: tuple[Wish, ...], found: list[Standing], alpha: Alpha | None = None, kind: Any = Repairer) -> Any:
    return kind(Scripted(wishes, found), None, alpha or Alpha(4), 5, range(1, 8), Silent())


def test_the_best_weights_are_those_of_their_look_and_not_later_ones() -> None:
    """Oracle: the values at the time, though the network moves on; a met wish before a smaller change."""
    network = torch.nn.Linear(1, 1)
    looks = [
        standing(0.0, change=0.9),
        standing(-0.5, change=0.4),
        standing(-3.0, change=0.1),
        standing(-0.9, change=0.5),
    ]
    one = repairer((ACCURACY,), looks)
    for value in range(4):
        torch.nn.init.constant_(network.weight, value)
        one.look(f"step {value}", network)
    assert one.best[0].where == "step 1"
    assert float(one.best[1]["weight"]) == 1


@pytest.mark.parametrize(
    ("wishes", "looks", "best"),
    [
        ((CHANGE,), [standing(0.5), standing(0.15, accuracy=0.8), standing(0.19, accuracy=0.85)], 2),
        ((CHANGE,), [standing(0.5), standing(0.4), standing(math.inf)], 1),
        ((ACCURACY,), [standing(0.0, change=math.nan), standing(-0.5, change=0.9)], 1),
        ((ACCURACY, CHANGE), [standing(0, 0.8), standing(-2, 0.2), standing(-1.1, 0.21)], 2),
        ((replace(CHANGE, operator="<"),), [standing(0.2, accuracy=0.9), standing(0.19, accuracy=0.5)], 1),
    ],
)  # fmt: skip
def test_ranks(wishes: tuple[Wish, ...], looks: list[Standing], best: int) -> None:
    """Oracle: least missed, each as a share of its threshold; then accuracy for a bounded change, else the change."""
    one = repairer(wishes, list(looks))
    for number in range(len(looks)):
        one.look(str(number), torch.nn.Linear(1, 1))
    assert one.best[0].where == str(best)


def test_it_ends_when_the_wish_is_met_twice_with_room() -> None:
    """Oracle: value plus standard error below the threshold at two looks running; never for accuracy alone."""
    student = parts.fresh()
    one = repairer((CHANGE,), [standing(v) for v in (0.18, 0.195, 0.18, 0.185)])
    assert [one(student, step)[1] for step in (5, 10, 15, 20)] == [False, False, False, True]
    two = repairer((ACCURACY,), [standing(5.0), standing(5.0)])
    assert [two(student, step)[1] for step in (5, 10)] == [False, False]
    three = repairer((CHANGE,), [standing(0.0), standing(0.0)], kind=Watcher)
    assert [three(student, step)[1] for step in (5, 10)] == [False, False]


def test_the_multiplier_follows_the_worst_of_its_wishes_while_it_may() -> None:
    """Oracle: lambda by hand, rate 4, violations as shares of the threshold; still after the range of steps."""
    student, alpha = parts.fresh(), make_alpha((ACCURACY, CHANGE), 4.0)
    assert isinstance(alpha, Multiplier)
    assert alpha.on == "penalty"
    one = repairer((ACCURACY, CHANGE), [standing(-50, 0.3), standing(-50, 0.1), standing(-50, 0.9)], alpha)
    assert [one(student, step)[0]["alpha"] for step in (5, 7, 9)] == pytest.approx([6.0, 4.0, 4.0])
    assert [point.alpha for point in one.points] == pytest.approx([4.0, 6.0, 4.0])
    loss = make_alpha((ACCURACY,), 4.0)
    two = repairer((ACCURACY,), [standing(-1.5)], loss)
    assert two(student, 5)[0]["alpha"] == pytest.approx(1 / 0.3)


def test_its_state_is_what_a_checkpoint_can_hold(tmp_path: Path) -> None:
    """Oracle: torch's own reader of tensors and plain values; points and weights come back, infinities too."""
    one = repairer((CHANGE,), [standing(0.3), standing(math.inf, change=math.nan)])
    network = torch.nn.Linear(2, 1)
    one.look("original", network)
    one.look("step 5", network)
    torch.save(one.state_dict(), tmp_path / "state.pt")
    two = repairer((CHANGE,), [])
    two.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [told(point, (CHANGE,)) for point in two.points] == [told(point, (CHANGE,)) for point in one.points]
    assert two.best[0] == one.best[0]
    assert torch.equal(two.best[1]["weight"], network.weight)


def test_json_holds_no_infinity() -> None:
    """Oracle: strict JSON; null."""
    point = Point("here", 4.0, standing(math.inf, change=math.nan), False)
    plain = json.loads(json.dumps(point.plain(), allow_nan=False))
    assert plain["values"] == [None]
    assert plain["change"] is None


def test_between_is_a_straight_line() -> None:
    """Oracle: the ends, and the mean; counters are the second's."""
    first = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3)}
    second = {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor(9)}
    assert between(first, second, 0.5)["w"].tolist() == [0.5, 3.0]
    assert between(first, second, 0.0)["w"].tolist() == [0.0, 2.0]
    assert torch.equal(between(first, second, 1.0)["w"], second["w"])
    assert int(between(first, second, 0.3)["n"]) == 9


def test_the_frontier_is_what_no_point_beats() -> None:
    """Oracle: by hand; undefined changes are not on it."""
    pairs = [(0.5, 0.9), (0.4, 0.95), (0.2, 0.8), (0.3, 0.7), (0.2, 0.85), (math.nan, 1.0), (0.4, 0.95)]
    points = [Point(str(i), None, standing(0.0, change=c, accuracy=a), True) for i, (c, a) in enumerate(pairs)]
    assert [point.where for point in frontier_of(points)] == ["4", "1"]
