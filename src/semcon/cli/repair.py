"""`semcon repair`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from json import loads
from pathlib import Path
from typing import Annotated, Any

from semcon.cli import flags, output


def repair(
    model: flags.Model,
    data: str,
    *,
    judge: str | None = None,
    wish: flags.Wish = None,
    perturb: Annotated[
        list[str] | None,
        flags.repeated("NAME:SEVERITY to mend; without, what the wishes name, else what an audit finds failing."),
    ] = None,
    weights: str | None = None,
    mean: flags.Mean = None,
    std: flags.Std = None,
    size: flags.Size = None,
    classes: flags.Classes = None,
    epochs: float | None = None,
    batch_size: flags.Number = None,
    learning_rate: float | None = None,
    budget: flags.Budget | None = None,
    device: flags.Device = None,
    seed: flags.Number = None,
    set_: flags.Set = None,
    skip_bad: flags.SkipBad = False,
    resume: flags.Resume = False,
    out: Path = Path("repair"),
    json: Annotated[bool, flags.switch("What was wished and reached, and the comparison, as JSON on stdout.")] = False,
) -> int:
    """Fine-tune a checkpoint until a wish is met, and prove it on images that it never saw.

    Parameters
    ----------
    data: str
        Images to repair on, as in `semcon audit`; labels are used where there are any.
    judge: str
        Images to judge by, opened once; a third of DATA without.
    weights: str
        The checkpoint; the repaired one is written in the same form.
    epochs: float
        Passes over the images to fit; 9 by default, and at least 100 steps.
    batch_size: int
        Images per step.
    learning_rate: float
        At its peak.
    budget: str
        fast, standard or full: rungs and draws of the judge's audits.
    seed: int
        Of the splits, the order and the draws.
    out: Path
        The run folder.
    """
    from semcon.comparing.compare import side_by_side
    from semcon.progress import Terminal
    from semcon.recipes.keys import parse_settings
    from semcon.recipes.repair import repair as mended

    given = {
        "judge": judge, "wish": wish, "perturb": flags.each(perturb), "weights": weights, "mean": mean, "std": std,
        "size": size, "classes": None if classes is None else str(classes), "epochs": epochs, "batch_size": batch_size,
        "learning_rate": learning_rate, "budget": budget, "device": device, "seed": seed,
    }  # fmt: skip
    keys: dict[str, Any] = {"model": model, "data": data, "skip_bad": skip_bad, **parse_settings(set_ or [])}
    keys |= {name: value for name, value in given.items() if value is not None}
    with redirect_stdout(sys.stderr):  # what the model or the data print
        repaired = mended(keys, out=out, resume=resume, progress=Terminal(), command=output.command_line())
        together = side_by_side([str(repaired.before), str(repaired.after)])
        together.report(repaired.folder)
    with output.data():
        if json:
            plain = loads((repaired.folder / "repair.json").read_text(encoding="utf-8"))
            output.print_json({**plain, "comparison": together.to_json()})
        else:
            together.show()
            print(repaired.sentence)
    if not repaired.met:
        print("the frontier reached, by change:", *repaired.frontier, sep="\n  ", file=sys.stderr)
    print(f"weights: {repaired.weights}\nreport: {repaired.folder / 'report.html'}", file=sys.stderr)
    return 0 if repaired.met else 1
