"""`semcon train`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from json import loads
from pathlib import Path
from typing import Annotated

from semcon.cli import flags, output


def train(
    recipe: Path | None = None,
    *,
    model: str | None = None,
    data: str | None = None,
    objective: str | None = None,
    perturb: Annotated[
        list[str] | None, flags.repeated("NAME[:LIMIT] of a perturbation that the objective uses.")
    ] = None,
    alpha: float | None = None,
    share: float | None = None,
    wish: Annotated[
        list[str] | None,
        flags.repeated(
            "In place of alpha: 'gaussian_noise:0.2 relative_change <= 0.2', or 'accuracy >= -0.5' in points against "
            "--baseline."
        ),
    ] = None,
    select: float | None = None,
    baseline: str | None = None,
    epochs: float | None = None,
    steps: flags.Number = None,
    batch_size: flags.Number = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    weights: flags.Weights = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    size: flags.Size = None,
    classes: flags.Classes = None,
    limit: flags.Limit = None,
    device: flags.Device = None,
    devices: flags.Number = None,
    precision: flags.Precision = None,
    seed: flags.Number = None,
    set_: flags.Set = None,
    skip_bad: flags.SkipBad = False,
    resume: flags.Resume = False,
    out: Path | None = None,
) -> int:
    """Train a classifier with the semantic continuity constraint, or another objective; `run:DIR` is then a model.

    Parameters
    ----------
    recipe: Path
        A TOML file of settings; flags win over it.
    model: str
        network:resnet20, resnet32, resnet56, resnet18 or digits (random weights), timm:NAME, file:PATH.py:BUILDER.
    data: str
        As in `semcon audit`, with labels.
    objective: str
        continuity (default), cross_entropy, augmentation, stability_training, augmix, trades.
    alpha: float
        Weight of the objective's second term (TRADES: beta); its own default without.
    share: float
        Part of the batch that gets a perturbed copy.
    select: float
        Share of the images held out to judge the wish by; 0.1 by default.
    baseline: str
        The run folder of the network that accuracy is wished against.
    epochs: float
        Passes over the data; 10 by default.
    steps: int
        In place of epochs.
    batch_size: int
        Images per step, of all processes together.
    optimizer: str
        sgd (default) or adam.
    learning_rate: float
        At its peak.
    devices: int
        Processes of one machine; torchrun's own count wins.
    seed: int
        Of the weights, the order and the draws.
    out: Path
        The run folder; runs/OBJECTIVE-MODEL-DATA without.
    """
    from semcon.progress import Terminal
    from semcon.recipes.keys import parse_settings, read_recipe
    from semcon.recipes.train import train as trained

    given = {
        "model": model, "data": data, "objective": objective, "perturb": flags.each(perturb), "alpha": alpha,
        "share": share, "wish": wish, "select": select, "baseline": baseline, "epochs": epochs, "steps": steps,
        "batch_size": batch_size, "optimizer": optimizer, "learning_rate": learning_rate, "weights": weights,
        "mean": mean, "std": std, "size": size, "limit": limit, "device": device, "devices": devices,
        "precision": precision, "seed": seed, "classes": None if classes is None else str(classes),
        "skip_bad": skip_bad or None,
    }  # fmt: skip
    keys = {} if recipe is None else read_recipe(recipe)
    keys |= {name: value for name, value in given.items() if value is not None}
    keys |= parse_settings(set_ or [])
    with redirect_stdout(sys.stderr):  # what the model or the data print
        folder = trained(keys, out=out, resume=resume, progress=Terminal())
    with output.data():
        print(folder)
    print(f"trained: {folder}; next: semcon audit run:{folder} DATA", file=sys.stderr)
    outcome = folder / "wish.json"
    return 0 if not outcome.exists() or loads(outcome.read_text(encoding="utf-8"))["met"] else 1
