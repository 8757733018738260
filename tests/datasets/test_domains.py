"""The same classes in several styles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import semcon
from semcon.core.errors import SemconError
from semcon.recipes.sources import parse_data


def made(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4, 3), 9 * number % 256, np.uint8)).save(root / name)
    return root


def test_domains_take_turns_and_share_their_classes(tmp_path: Path) -> None:
    """`cat` is missing among the sketches: it keeps its place in the classes of all."""
    data = parse_data(f"domains:{made(tmp_path, 'photo/cat/1.png', 'photo/dog/2.png', 'sketch/dog/3.png')}", None)
    found = [(data.title(i), data.label(i), data.attributes(i)["domain"]) for i in range(len(data))]  # type: ignore[attr-defined]
    assert data.classes == ("cat", "dog")
    assert found == [
        ("photo/cat/1.png", 0, "photo"),
        ("sketch/dog/3.png", 1, "sketch"),
        ("photo/dog/2.png", 1, "photo"),
    ]
    assert int(data.image(1).max()) == 18
    assert len(parse_data(f"domains:{tmp_path}", 2)) == 2


def test_a_domain_without_a_class_of_the_others_is_told(tmp_path: Path) -> None:
    """Of 30 sketches chance had given 7 to the cats, and there is none; photos have both."""
    photos = [f"photo/{('cat', 'dog')[i % 2]}/{i}.png" for i in range(40)]
    made(tmp_path, *photos, *(f"sketch/dog/{i}.png" for i in range(30)))
    record = semcon.audit(Dark(), f"domains:{tmp_path}", evaluate="group_gap", groups="domain").record
    (message,) = [one.message for one in record.findings if one.code == "group-lacks-classes"]
    assert message.endswith("accuracies of groups are over unlike classes: domain=sketch has none of cat")


class Dark(nn.Module):
    """Of two classes: whether an image is dark."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((1, 2, 3))
        return torch.stack((mean, 0.5 - mean), dim=1)


def test_what_are_no_domains_is_said(tmp_path: Path) -> None:
    with pytest.raises(SemconError, match="two domains or more"):
        parse_data(f"domains:{made(tmp_path / 'a', 'photo/cat/1.png')}", None)
    with pytest.raises(SemconError, match=r"domain sketch of .* no class folders"):
        parse_data(f"domains:{made(tmp_path / 'b', 'photo/cat/1.png', 'sketch/2.png')}", None)
    with pytest.raises(SemconError, match="no such folder"):
        parse_data(f"domains:{tmp_path / 'c'}", None)
