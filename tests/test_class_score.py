"""What is predicted, and how surely."""

from __future__ import annotations

import pytest
import torch

from semcon.class_score import answered


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-9])
def test_what_is_predicted_hangs_on_no_scale(scale: float) -> None:
    """Probabilities of the smallest logits tie in float32; the logits do not."""
    logits = torch.randn(50, 10, generator=torch.Generator().manual_seed(0))
    confidence, prediction = answered(logits * scale)
    assert torch.equal(prediction, logits.argmax(1))
    torch.testing.assert_close(confidence, (logits * scale).softmax(1).amax(1))
