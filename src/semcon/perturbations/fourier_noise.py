"""Fourier noise: a wave of one frequency laid over the image."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.keyed import Keys
from semcon.spectrum import CORNER, basis_image, published_norm

HALF_WIDTH = 0.0625  # of a band: eight of them fill the radius


@dataclass(frozen=True)
class FourierNoise(Perturbation):
    """Add one Fourier basis image of a random frequency about radius s, with a random sign in every channel.

    The radius is drawn within 0.0625 of s, the direction from all round, and both are rounded to whole cycles per
    image (at least one). Strength is the same at every severity, an L2 norm of 4 in each channel at 32 px and 15.7 at
    224 px: severity says where in the spectrum the noise is, not how much of it there is.
    """

    family = "frequency"
    unit = "radius of the frequency, share of the spectrum's"
    source = "Yin et al., arXiv 1906.08988"
    parameters = "box"
    ladder = (0.0625, 0.1875, 0.3125, 0.5625, 0.9375)
    maximum = 1.0
    monotone = False
    parameter_gradient = False
    default = False

    def sample(self, keys: Keys, like: Tensor) -> Unit:
        """`place`: (B, 2), radius within the band and direction; `sign`: (B, 3), of which only the signs count."""
        return {"place": keys.signed("place", (2,)).to(like), "sign": keys.signed("sign", (3,)).to(like)}

    def apply(self, x: Tensor, unit: Unit, severity: Tensor, context: Context | None = None) -> Tensor:
        """x + v r U, U the basis image, r the signs, v the published norm."""
        height, width = x.shape[-2:]
        rows, columns = frequencies(unit["place"].detach(), severity.detach(), height, width)
        wave = basis_image(rows, columns, height, width).to(x).unsqueeze(1)
        signs = torch.where(unit["sign"].detach() < 0, -1.0, 1.0).to(x)[:, :, None, None]
        return (x + published_norm(height, width) * signs * wave).clamp(0, 1)


def frequencies(place: Tensor, centre: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Whole cycles per image down and across, (B,), (B,), never both 0; `place` (B, 2) as drawn, `centre` (B,).

    Beyond the Nyquist frequency of a side there is nothing, so a direction is squeezed towards the corner as far as
    its radius needs.
    """
    radius = (centre + HALF_WIDTH * place[:, 0]).clamp(0, 1) * CORNER
    narrow = torch.acos((0.5 / radius.clamp_min(0.5)).clamp(-1, 1))  # the nearest to an axis that fits
    quarters = 2 * (place[:, 1] + 1)  # all round: opposite frequencies are the same wave, a quarter of a cycle on
    within = narrow + (quarters - quarters.floor()) * (math.pi / 2 - 2 * narrow)
    angle = within + quarters.floor() * (math.pi / 2)
    rows = (radius * angle.sin() * height).round().clamp(-(height // 2), height // 2)
    columns = (radius * angle.cos() * width).round().clamp(-(width // 2), width // 2)
    return rows, torch.where((rows == 0) & (columns == 0), 1, columns)
