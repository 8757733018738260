"""Flags that several commands share, with what they mean."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, Token


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """A flag's whole number: 6.9 is refused, not rounded."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"expected a whole number, got {tokens[0].value!r}") from None


def names(text: str | None) -> list[str] | None:
    """`a,b` -> names; `none` -> an empty list."""
    if text is None:
        return None
    return [] if text == "none" else [part.strip() for part in text.split(",") if part.strip()]


def each(texts: Sequence[str] | None) -> list[str] | None:
    """What a repeated flag names, several with commas."""
    return None if texts is None else [name for text in texts for name in names(text) or [text]]


def _flag(meaning: str) -> Parameter:
    return Parameter(help=meaning)


def switch(meaning: str) -> Parameter:
    """On or absent."""
    return Parameter(help=meaning, negative=(), show_default=False)


def repeated(meaning: str, name: str | None = None) -> Parameter:
    """A flag that may be given several times."""
    return Parameter(name=name, help=f"{meaning} Repeatable.", negative=(), consume_multiple=False)


Whole = Parameter(converter=_whole)
Number = Annotated[int | None, Whole]

Model = Annotated[str, _flag("timm:NAME, hf-hub:ORG/NAME, torchvision:NAME, run:DIR, file:PATH.py:BUILDER.")]
Data = Annotated[str, _flag("folder:DIR, parquet:FILE[,FILE][[a:b]], builtin:mnist5k or builtin:shapes.")]
Weights = Annotated[str | None, _flag('A .safetensors file, or a pickle of tensors only; "none" keeps random weights.')]
Mean = Annotated[str | None, _flag("Normalisation on [0, 1], as .485,.456,.406; the source's own where there is one.")]
Std = Annotated[str | None, _flag("Its standard deviation, as .229,.224,.225.")]
Size = Annotated[int | None, _flag("Side of the canvas in pixels: shorter side resized, centre cropped."), Whole]
Classes = Annotated[Path | None, _flag("A text file: line i names output i; the data may hold a subset.")]
Limit = Annotated[int | None, _flag("Use the first N images."), Whole]
Workers = Annotated[int | None, _flag("Threads that decode images; chosen by the cores."), Whole]
Device = Annotated[str | None, _flag("auto, cpu, cuda, cuda:1, mps.")]
Precision = Annotated[Literal["32", "bf16", "16"] | None, _flag("Mixed precision of the model: 32 (none), bf16 or 16.")]
Budget = Literal["fast", "standard", "full"]
SkipBad = Annotated[bool, switch("Leave unreadable images out and count them.")]
Resume = Annotated[bool, switch("Go on with what was interrupted, in the same --out.")]
Wish = Annotated[
    list[str] | None,
    repeated("'gaussian_noise:0.05 relative_change <= 0.2', or 'accuracy >= -1' in points against the original."),
]
Set = Annotated[list[str] | None, repeated("KEY=VALUE for any other setting.", "--set")]
FailIf = Annotated[
    list[str] | None,
    repeated("'[PERTURBATION[:SEVERITY]] [worst] QUANTITY OP NUMBER', as 'gaussian_noise:0.05 flip > 0.2'."),
]
FailOn = Annotated[list[str] | None, repeated("Code of a finding that fails the gate.")]
Junit = Annotated[Path | None, _flag("Write the gate's results as JUnit XML.")]
Json = Annotated[bool, switch("JSON on stdout instead of the table.")]
