"""How often the prediction changes along a sequence of frames: per image, then the mean with its interval."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from semcon.core.collecting import Collector, Use
from semcon.core.figures import Figures, Key
from semcon.core.images import Images
from semcon.core.quantities import FLIP_PROBABILITY
from semcon.core.table import SampleTable

Integers = npt.NDArray[np.int64]
ANEW = "draw"  # the method of a sequence whose frames do not follow from each other


def flicker(table: SampleTable, numbers: Integers, images: Images, perturbation: str) -> Iterator[Figures]:
    """The flip probability under one perturbation, whose rows `numbers` are; nothing where there is no sequence.

    Drawn anew for every frame, as the column `method` says: the share of frames predicted otherwise than the first,
    which is untouched; else the share of frames predicted otherwise than the frame before. Source: Hendrycks and
    Dietterich, arXiv 1903.12261, section 4.2.
    """
    kinds = table.rows["draws"].gather(numbers)
    rows = table.rows.select("position", "draw", "method", "prediction")[numbers[(kinds == "sequence").to_numpy()]]
    if rows.is_empty():
        return
    frames = int(rows["draw"].max() or 0) + 1  # pyright: ignore[reportArgumentType]
    predicted = np.full((len(images), frames), -1, np.int64)
    predicted[images.rows(rows["position"].to_numpy()), rows["draw"].to_numpy()] = rows["prediction"].to_numpy()
    anew = rows["method"][0] == ANEW
    before = predicted[:, :1] if anew else predicted[:, :-1]
    share = (predicted[:, 1:] != before).mean(axis=1).astype(np.float32)
    collector = Collector(images, np.arange(len(images)))
    key = Key(perturbation, None, "random", None, None, FLIP_PROBABILITY, "all", "mean")
    collector.add(share[None], [Use([key], rows=np.array([np.inf]))])
    yield collector.figures()
