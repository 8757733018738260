"""LIME: a linear model of the class over which superpixels are shown."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semcon.class_score import flat, parts
from semcon.core.concepts import Explanation, Learner
from semcon.core.errors import SemconError
from semcon.keyed import Keys

_MOST = 2  # SLIC may find more segments than it is asked for


@dataclass(frozen=True)
class Lime(Explanation):
    """Weighted ridge regression of the class's probability on which of about `segments` superpixels (SLIC) are shown.

    `samples` keyed draws, the first with all of them; every segment is shown with chance one half, else it has its own
    mean colour. A draw counts exp(-d^2 / 2 `kernel`^2), d the cosine distance from the whole image; `ridge` is the
    penalty, not on the intercept: the reference's choices, but for its superpixels (quickshift).
    """

    segments: int = 32
    samples: int = 256
    kernel: float = 0.25
    ridge: float = 1.0

    needs_gradient = False
    stochastic = True
    source = "Ribeiro et al., arXiv 1602.04938"

    @property
    def passes(self) -> float:
        """One a draw."""
        return float(self.samples)

    @torch.no_grad()
    def __call__(self, subject: Learner, x: Tensor, target: Tensor, keys: Keys) -> Tensor:
        """Signed; the same all over a segment. Errors: `SemconError` without scikit-image."""
        where = superpixels(x.detach(), self.segments)
        count = _MOST * self.segments  # whatever the batch holds, so that draws do not depend on it
        where = where.clamp(max=count - 1)
        shown = keys.within("lime").uniform("shown", (self.samples, count)) < 0.5
        shown[:, 0] = True
        there = (where.flatten(1)[:, None] == torch.arange(count, device=x.device)[:, None]).any(2)
        colours = self._colours(x, where, count)
        scores: list[Tensor] = []
        for part in parts(self.samples, x):
            seen = shown[:, part].gather(2, where.flatten(1)[:, None].expand(-1, shown[:, part].shape[1], -1))
            copies = torch.where(seen.view(len(x), -1, 1, *where.shape[1:]), x[:, None], colours[:, None])
            probability = subject(flat(copies.transpose(0, 1))).softmax(1)
            scores.append(probability.gather(1, target.repeat(copies.shape[1])[:, None]).view(copies.shape[1], -1))
        weights = linear_model(shown & there[:, None], there, torch.cat(scores).T, self.kernel, self.ridge)
        return weights.gather(1, where.flatten(1)).view(where.shape).to(x.dtype)

    @staticmethod
    def _colours(x: Tensor, where: Tensor, count: int) -> Tensor:
        """Every pixel in the mean colour of its segment: (B, 3, H, W)."""
        place = where.flatten(1)
        size = torch.zeros(len(x), count, device=x.device).scatter_add(1, place, torch.ones_like(place, dtype=x.dtype))
        index = place[:, None].expand(-1, 3, -1)
        total = torch.zeros(len(x), 3, count, device=x.device).scatter_add(2, index, x.flatten(2))
        return (total / size.clamp(min=1)[:, None]).gather(2, index).view(x.shape)


def superpixels(x: Tensor, segments: int) -> Tensor:
    """SLIC, about so many: (B, 3, H, W) -> (B, H, W) int64 from 0. Errors: `SemconError` without scikit-image."""
    try:
        from skimage.segmentation import slic
    except ImportError:
        raise SemconError(
            "lime needs scikit-image for its superpixels: pip install 'semcon[explanations]', or choose occlusion"
        ) from None
    import numpy as np

    images = x.permute(0, 2, 3, 1).cpu().numpy()
    found = [slic(one, n_segments=segments, compactness=10, sigma=1, start_label=0, channel_axis=2) for one in images]
    return torch.from_numpy(np.stack(found)).long().to(x.device)


def linear_model(shown: Tensor, there: Tensor, scores: Tensor, kernel: float, ridge: float) -> Tensor:
    """Weights (B, P) of the P segments that are `there` (B, P): `shown` (B, S, P) bool, `scores` (B, S).

    Ridge regression with an intercept, weighted by how near a draw is to the whole image.
    """
    design, size = shown.double(), there.double().sum(1)[:, None]
    near = (design.sum(2) / size.clamp(min=1)).sqrt()  # the cosine between what is shown and everything
    counts = torch.exp(-((1 - near) ** 2) / (2 * kernel**2))
    total = counts.sum(1)
    weight = counts / total[:, None]
    mean = torch.einsum("bs,bsp->bp", weight, design)
    middle = (weight * scores).sum(1, keepdim=True)
    centred, left = design - mean[:, None], (scores - middle).double()
    gram = torch.einsum("bs,bsp,bsq->bpq", weight, centred, centred) * total[:, None, None]
    right = torch.einsum("bs,bsp,bs->bp", weight, centred, left) * total[:, None]
    eye = torch.eye(design.shape[2], dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve(gram + ridge * eye, right)
