"""Perturbation sequences: frames that move in equal steps, keyed by the image."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from semcon.measuring.sequences import SEQUENCES

COARSE = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
X = torch.nn.functional.interpolate(COARSE, (24, 20), mode="bicubic").clamp(0, 1)
IDS = torch.tensor([11, 22, 33])


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda one: one.name)
def test_frames_are_keyed_and_change_little(sequence):
    """The same whatever the batch; every frame differs from the one before, by less than the first from the last."""
    frames = list(sequence.frames(X, IDS, 0, 7))
    alone = list(sequence.frames(X[1:2], IDS[1:2], 0, 7))
    assert all(torch.allclose(a[1:2], b, atol=1e-6) for a, b in zip(frames, alone, strict=True))
    steps = [float((b - a).abs().mean()) for a, b in pairwise(frames)]
    assert all(step > 0 for step in steps)
    if sequence.moves != "draw":
        assert max(steps) < float((frames[-1] - frames[0]).abs().mean())


@pytest.mark.parametrize("side", [8, 16, 28, 32, 64, 224])
@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda one: one.name)
def test_no_frame_stands_still(sequence, side):
    """Each of thirty steps of the audit moves every image, by more than rounding."""
    x = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    for before, after in pairwise(sequence.frames(x, IDS[:2], 0, 31)):
        assert (after - before).abs().flatten(1).amax(1).min() > 1e-5


@pytest.mark.parametrize("sequence", [one for one in SEQUENCES if one.moves == "draw"], ids=lambda one: one.name)
def test_noise_begins_untouched(sequence):
    assert torch.equal(next(iter(sequence.frames(X, IDS, 0, 5))), X)


def test_the_middle_of_a_moving_parameter_is_the_image_itself():
    rotation = next(one for one in SEQUENCES if one.name == "rotation")
    assert torch.allclose(list(rotation.frames(X, IDS, 0, 5))[2], X, atol=1e-5)
