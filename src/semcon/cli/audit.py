"""`semcon audit`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

from semcon.cli import flags, output


def audit(
    model: flags.Model,
    data: flags.Data,
    *,
    weights: flags.Weights = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    size: flags.Size = None,
    masks: Path | None = None,
    classes: flags.Classes = None,
    perturb: Annotated[
        list[str] | None, flags.repeated("NAME[:SEVERITY[/SEVERITY...]], several with commas; all by default.")
    ] = None,
    evaluate: Annotated[
        list[str] | None,
        flags.repeated(
            "Evaluations, as continuity,corruption (the default is continuity); see `semcon list evaluations`."
        ),
    ] = None,
    eps: str | None = None,
    autoattack: Annotated[bool, flags.switch("Have AutoAttack beside adversarial's own attacks.")] = False,
    explanations: str | None = None,
    groups: str | None = None,
    transfer_to: str | None = None,
    transfer_layer: str | None = None,
    shots: str | None = None,
    reference: str | None = None,
    layers: str | None = None,
    gauges: str | None = None,
    draws: flags.Number = None,
    worst: Literal["none", "search"] | None = None,
    budget: flags.Budget = "fast",
    limit: flags.Limit = None,
    batch_size: flags.Number = None,
    workers: flags.Workers = None,
    device: flags.Device = None,
    precision: flags.Precision = None,
    seed: Annotated[int, flags.Whole] = 0,
    name: str | None = None,
    skip_bad: flags.SkipBad = False,
    resume: flags.Resume = False,
    fail_if: flags.FailIf = None,
    fail_on: flags.FailOn = None,
    junit: flags.Junit = None,
    out: Path | None = None,
    json: flags.Json = False,
) -> int:
    """Measure a model on images: rows, a report and a table of how far the output moves without a reason.

    Parameters
    ----------
    masks: Path
        A folder that says where the object is: for folder:DIR, the same paths inside it, bright on the object.
    eps: str
        Sizes of adversarial's L-infinity attacks in 1/255, as 1,2,8.
    explanations: str
        Of the evaluations explanation_*, as grad_cam,lime; grad_cam:LAYER with a layer of yours.
    groups: str
        For group_gap: FILE.csv (the image, then its attributes), or names of the data's attributes or columns.
    transfer_to: str
        The data set that the evaluation transfer goes to; half of it is learned from, or TRAIN,TEST.
    transfer_layer: str
        The layer that transfer's features come from; what the last linear layer reads by default.
    shots: str
        Images a class that transfer learns from, as 1,5,10,25.
    reference: str
        A model of the same classes (as MODEL, run:DIR too) that axis_meaning asks whether geometry changes the meaning.
    layers: str
        Module names to look at besides, as layer1,layer2; stages of the network by default; "none" for none.
    gauges: str
        REPRESENTATION.DISTANCE pairs in place of the usual ones, as logits.cosine,probabilities.kl.
    draws: int
        Random draws per image and severity.
    worst: str
        Search the worst case inside each perturbation's parameter set.
    budget: str
        fast: 500 images, 3 rungs, 1 draw. standard: 2000, 5, 3, critical severity. full: all, 5, 10, searches.
    batch_size: int
        Images per forward pass; chosen by the canvas.
    seed: int
        Seed of the keyed draws and of the resampling.
    name: str
        What tables and reports call this model.
    out: Path
        The run folder; runs/MODEL-DATA by default.
    """
    from semcon import gate
    from semcon.progress import Terminal
    from semcon.recipes.audit import audit as measure
    from semcon.recipes.sources import default_folder
    from semcon.rules import parse_rule

    rules = [parse_rule(text) for text in fail_if or []]
    gate.check_codes(fail_on or [])
    if junit is not None:
        gate.check_writable(junit)
    with redirect_stdout(sys.stderr):  # what the model or the data print
        record = measure(
            model, data, weights=weights, mean=mean, std=std, size=size, masks=masks, classes=classes,
            perturbations=flags.each(perturb) or (),
            evaluate=flags.names(",".join(evaluate or ["continuity"])) or (), eps=eps, autoattack=autoattack,
            groups=groups, transfer_to=transfer_to, transfer_layer=transfer_layer, shots=shots, reference=reference,
            explanations=flags.names(explanations), layers=flags.names(layers),
            gauges=flags.names(gauges),
            draws=draws, worst=worst, budget=budget, limit=limit, batch_size=batch_size, workers=workers,
            device=device or "auto", precision=precision or "32", seed=seed, name=name, skip_bad=skip_bad,
            resume=resume, out=out or default_folder(model, data, name, resume=resume), progress=Terminal(),
            command=output.command_line(), rules=rules,
        )  # fmt: skip
    output.told(record, json=json)
    print(f"report: {record.folder / 'report.html'}", file=sys.stderr)
    return output.gated([record], rules, fail_on or [], junit)
