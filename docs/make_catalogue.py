"""Write docs/catalogue.md and its picture sheets from the code: `python docs/make_catalogue.py` (needs scikit-learn).

The page's text comes from the classes; the sheets show every perturbation at its five severities on two photographs.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from semcon.core.concepts import Context, Perturbation, Unit
from semcon.core.registry import available, load
from semcon.keyed import Keys

DOCS = Path(__file__).parent
FAMILIES = {
    "photometric": ("Photometric", "flower"),
    "noise": ("Noise", "china"),
    "blur_and_coding": ("Blur and coding", "china"),
    "geometry": ("Geometry", "china"),
    "weather": ("Weather", "china"),
    "occlusion": ("Occlusion", "flower"),
    "frequency": ("Frequency", "china"),
    "shape_and_texture": ("Shape and texture", "flower"),
    "additive_ball": ("Additive balls", "flower"),
}
CANVAS, LABEL, GAP = 144, 15, 4

INTRODUCTION = """# The perturbations

Written by `docs/make_catalogue.py` from the code; a test keeps it current. Names are what `--perturb` takes:
`--perturb gaussian_noise:0.05`, or without a severity for the whole ladder.

A perturbation acts on the canvas, [0, 1] RGB at the model's input size, before normalisation. Severity 0 is the
identity. Results are clipped to [0, 1] and not quantised. A *signed* factor is drawn uniformly between -s and s.

- **severity**: continuous; discrete (whole numbers); binary (0 or 1).
- **parameters**: what is drawn for every image. *box*: each in [-1, 1]; *ball*: Euclidean norm at most 1; *unbounded*:
  random without bounds; *fixed*: nothing is random.
- **search**: how its worst case is looked for: by gradient inside the box or ball; by the best of k draws; or not at
  all, since every draw is the same.
- **ladder**: the five default severities, from barely to clearly visible at 224 px. Two scales do not follow the
  canvas: `jpeg` codes blocks of 8 pixels, so that small images suffer more; and the norm of `l2` is over all values,
  so that one severity is seven times fainter a value at 224 px than at 32 px.

Those whose unit is a *published level* are common corruptions of Hendrycks and Dietterich (arXiv 1903.12261), at any
level from 0 to 5. Their parameters are the published ones for images 32, 64 and 224 px high, linear in the logarithm of
the height in between, constant below 32 and above 224 px; between two levels they are linear, from what changes nothing
at level 0. Gaussian noise and JPEG are ladders of `gaussian_noise` and `jpeg`; what has another formula than its
namesake is called `corruption_NAME`. `semcon.published.ladder(NAME, HEIGHT)` gives the perturbation and the five
severities of each published name. An audit that names no perturbations leaves the corruptions out.
`studies/corruption_parity` holds them against the published code.

The pictures show a photograph and its copies at the five severities on a canvas of 144 px, with the same draw along a
row. Signed factors are shown at the end of their range, so a random copy usually shows less; the additive balls are
shown at random, while a search finds the worst direction of the same length. Of perturbations that need to know where
the object is, a disc stands for it.

Those of the published corruptions, of frequency, and of shape and texture are used by evaluations of their own, and in
an audit only where they are named.
"""

CREDITS = """## The photographs

`china.jpg` by [danielbuechele](https://www.flickr.com/photos/danielbuechele/6061409035/) and `flower.jpg` by
[vultilion](https://www.flickr.com/photos/vultilion/6056698931/), both on Flickr, under
[CC BY 2.0](https://creativecommons.org/licenses/by/2.0/), as scikit-learn ships them
(`sklearn.datasets.load_sample_image`); cropped, made smaller and perturbed.
"""


def search(kind: type[Perturbation]) -> str:
    """How the worst case over a perturbation's parameters is looked for."""
    if kind.parameters == "fixed":
        return "none"
    return "gradient" if kind.parameters in ("box", "ball") and kind.parameter_gradient else "best of k"


def members(family: str) -> Iterator[tuple[str, type[Perturbation]]]:
    """The perturbations of one family by name."""
    for name in available("perturbations"):
        kind = load("perturbations", name)
        if kind.family == family and kind.__module__.startswith("semcon."):
            yield name, kind


def table() -> str:
    """One Markdown row for each perturbation."""
    lines = ["| name | family | unit | severity | parameters | search | ladder | source |", "|" + " --- |" * 8]
    for family in FAMILIES:
        for name, kind in members(family):
            ladder = ", ".join(f"{rung:g}" for rung in kind.ladder)
            facts = (f"`{name}`", family, kind.unit, kind.kind, kind.parameters, search(kind), ladder, kind.source)
            lines.append("| " + " | ".join(facts) + " |")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    parts = [INTRODUCTION, table() + "\n"]
    for family, (title, photograph) in FAMILIES.items():
        words = [f"- `{name}`: {_summary(kind)}" for name, kind in members(family)]
        picture = f"![{title}: five severities on {photograph}.jpg](catalogue_{family}.jpg)"
        parts.append(f"## {title}\n\n" + "\n".join(words) + f"\n\n{picture}\n")
    return "\n".join([*parts, CREDITS])


def sheet(family: str) -> Image.Image:
    """One row for each perturbation of a family: the photograph, then the five severities."""
    x = photograph(FAMILIES[family][1])
    rows = list(members(family))
    columns = 1 + max(len(kind.ladder) for _, kind in rows)
    size = (columns * (CANVAS + GAP) - GAP, len(rows) * (CANVAS + LABEL + GAP) - GAP)
    picture = Image.new("RGB", size, "white")
    write, font = ImageDraw.Draw(picture), ImageFont.load_default(size=11)
    for row, (name, kind) in enumerate(rows):
        unit = shown(kind().sample(Keys(torch.tensor([7]), scope=name), x))
        top = row * (CANVAS + LABEL + GAP)
        for column, severity in enumerate((0.0, *kind.ladder)):
            left = column * (CANVAS + GAP)
            write.text((left + 1, top), f"{severity:g}" if column else name, fill="black", font=font)
            picture.paste(_tile(kind()(x, unit, float(severity), disc(x))), (left, top + LABEL))
    return picture


def shown(unit: Unit) -> Unit:
    """A signed factor at the end of its range, where its severity is reached; fields and places as drawn."""
    ends = {name: value.sign() for name, value in unit.items() if name.split(".")[-1] in ("shift", "angle")}
    return unit | ends


def disc(x: Tensor) -> Context:
    """The middle of the photograph as its object: neither has a mask, and the flower fills about as much."""
    place = torch.linspace(-1, 1, CANVAS)
    return Context((place[:, None] ** 2 + place**2 < 0.5).to(x)[None, None])


def photograph(name: str) -> Tensor:
    """A square crop of one of scikit-learn's photographs, (1, 3, CANVAS, CANVAS) in [0, 1]."""
    from sklearn.datasets import load_sample_image

    image = Image.fromarray(load_sample_image(f"{name}.jpg"))
    left = (image.width - image.height) // 2
    square = image.crop((left, 0, left + image.height, image.height)).resize((CANVAS, CANVAS), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.asarray(square).copy()).permute(2, 0, 1)[None].float() / 255


def coded(picture: Image.Image) -> bytes:
    """A sheet as a JPEG file."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=56, optimize=True, subsampling="4:2:0")
    return file.getvalue()


def _tile(x: Tensor) -> Image.Image:
    return Image.fromarray((x[0] * 255).round().byte().permute(1, 2, 0).numpy())


def _summary(kind: type[Perturbation]) -> str:
    paragraph = (inspect.getdoc(kind) or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def main() -> None:
    """Write the page and the sheets."""
    (DOCS / "catalogue.md").write_text(page(), "utf-8")
    for family in FAMILIES:
        (DOCS / f"catalogue_{family}.jpg").write_bytes(coded(sheet(family)))


if __name__ == "__main__":
    main()
