"""The command line: a thin skin over `semcon.recipes`. Data on stdout, everything else on stderr.

Exit codes: 0 done, 1 a gate failed, 2 wrong use, 3 not enough evidence.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

from semcon import __version__
from semcon.core.errors import SemconError

if TYPE_CHECKING:
    from semcon.gate import Rule, RuleResult
    from semcon.run_record import RunRecord

app = App(
    name="semcon",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help="Measure how semantically continuous an image classifier is, and see where it breaks.",
)
Repeated = Parameter(negative=(), consume_multiple=False)


@app.command
def audit(
    model: str,
    data: str,
    *,
    weights: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    size: int | None = None,
    classes: Path | None = None,
    perturb: Annotated[list[str] | None, Repeated] = None,
    layers: str | None = None,
    gauges: str | None = None,
    draws: int | None = None,
    worst: Literal["none", "search"] | None = None,
    budget: Literal["fast", "standard", "full"] = "fast",
    limit: int | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    precision: Literal["32", "bf16", "16"] = "32",
    seed: int = 0,
    name: str | None = None,
    skip_bad: Annotated[bool, Parameter(negative=())] = False,
    resume: Annotated[bool, Parameter(negative=())] = False,
    fail_if: Annotated[list[str] | None, Repeated] = None,
    fail_on: Annotated[list[str] | None, Repeated] = None,
    junit: Path | None = None,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Measure a model on images: rows, a report and a table of how far the output moves without a reason.

    Parameters
    ----------
    model: str
        timm:NAME, hf-hub:ORG/NAME, torchvision:NAME, or file:PATH.py:BUILDER (with --weights).
    data: str
        folder:DIR, parquet:FILE[,FILE], builtin:mnist5k or builtin:shapes.
    weights: str
        A .safetensors file, or a pickle of tensors only; "none" keeps random weights.
    mean: str
        Normalisation on [0, 1], as .485,.456,.406; the source's own configuration is used where there is one.
    std: str
        Its standard deviation, as .229,.224,.225.
    size: int
        Side of the canvas in pixels: shorter side resized, centre cropped.
    classes: Path
        A text file: line i names output i; the data may hold a subset.
    perturb: list[str]
        NAME[:SEVERITY[/SEVERITY...]], repeatable; all perturbations by default.
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
    limit: int
        Use the first N images; overrides the budget's.
    batch_size: int
        Images per forward pass; chosen by the canvas.
    workers: int
        Threads that decode images; chosen by the cores.
    device: str
        auto, cpu, cuda, cuda:1, mps.
    precision: str
        Mixed precision of the model: 32 (none), bf16 or 16.
    seed: int
        Seed of the keyed draws and of the resampling.
    name: str
        What tables and reports call this model.
    skip_bad: bool
        Leave unreadable images out and count them.
    resume: bool
        Go on with an audit that was interrupted.
    fail_if: list[str]
        '[PERTURBATION[:SEVERITY]] [worst] QUANTITY OP NUMBER', as 'gaussian_noise:0.05 flip > 0.2'; repeatable.
    fail_on: list[str]
        Code of a finding that fails the gate; repeatable.
    junit: Path
        Write the gate's results as JUnit XML.
    out: Path
        The run folder; runs/MODEL-DATA by default.
    json: bool
        The estimates and findings as JSON on stdout instead of the table.
    """
    from semcon import gate, recipes
    from semcon.progress import Terminal

    rules = [gate.parse_rule(text) for text in fail_if or []]
    record = recipes.audit(
        model, data, weights=weights, mean=mean, std=std, size=size, classes=classes, perturbations=perturb or (),
        layers=_names(layers), gauges=_names(gauges), draws=draws, worst=worst, budget=budget, limit=limit,
        batch_size=batch_size, workers=workers, device=device, precision=precision, seed=seed, name=name,
        skip_bad=skip_bad, resume=resume, out=out or recipes.default_folder(model, data, name, resume=resume),
        progress=Terminal(), command=_command(),
    )  # fmt: skip
    _tell(record, json=json)
    return _gate([record], rules, fail_on or [], junit)


@app.command
def report(
    *runs: Path,
    fail_if: Annotated[list[str] | None, Repeated] = None,
    fail_on: Annotated[list[str] | None, Repeated] = None,
    junit: Path | None = None,
    out: Path | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Report a run again, or several side by side as `semcon compare` does; needs neither torch nor the model.

    Parameters
    ----------
    runs: Path
        Run folders; with several, the first is what the others are compared with.
    fail_if: list[str]
        As in `semcon audit`; each run is judged.
    fail_on: list[str]
        Code of a finding that fails the gate; repeatable.
    junit: Path
        Write the gate's results as JUnit XML.
    out: Path
        Folder to write report.html into; the run's own folder by default, report/ for several runs.
    json: bool
        Estimates and findings (several runs: and differences) as JSON on stdout.
    """
    from semcon import gate
    from semcon.compare import side_by_side
    from semcon.run_record import RunRecord

    if not runs:
        raise SemconError("give at least one run folder: semcon report RUN [RUN...]")
    rules = [gate.parse_rule(text) for text in fail_if or []]
    records = [RunRecord.load(run) for run in runs]
    if len(records) == 1:
        path = records[0].report(out)
        _print_json(records[0].to_json()) if json else records[0].show()
    else:
        together = side_by_side(records)
        path = together.report(out or Path("report"))
        _print_json(together.to_json()) if json else together.show()
    print(f"report: {path}", file=sys.stderr)
    return _gate(records, rules, fail_on or [], junit)


@app.command
def compare(
    *sides: str,
    fail_if: Annotated[list[str] | None, Repeated] = None,
    junit: Path | None = None,
    out: Path = Path("comparison"),
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Hold runs against the first: paired differences, exact tests, what was mended, what it cost. No torch, no model.

    Parameters
    ----------
    sides: str
        Run folders; several training seeds of one side joined by commas, as base1,base2,base3 new1,new2,new3.
    fail_if: list[str]
        As in `semcon audit`, on each difference from the first side, as 'gaussian_noise:0.05 flip > 0' or
        'accuracy < -0.01'; a family's name stands for its row of the profile; repeatable.
    junit: Path
        Write the gate's results as JUnit XML.
    out: Path
        Folder to write report.html into.
    json: bool
        Sides, differences and cost as JSON on stdout instead of the table.
    """
    from semcon import difference_gate
    from semcon.compare import side_by_side

    rules = [difference_gate.parse(text) for text in fail_if or []]
    together = side_by_side(sides)
    results = difference_gate.judge(together, rules)
    path = together.report(out)
    _print_json(together.to_json()) if json else together.show()
    print(f"report: {path}", file=sys.stderr)
    return _concluded(results, junit) if rules or junit is not None else 0


@app.command(name="list")
def list_(kind: str | None = None, /) -> int:
    """What there is: perturbations, distances, representations, datasets, models, checks, evaluations.

    Parameters
    ----------
    kind: str
        One kind, with what each of its members is.
    """
    from semcon import listing

    print(listing.text(kind))
    return 0


@app.command
def demo(*, out: Path = Path("demo")) -> int:
    """Train a small network on embedded digits for about a minute, audit it and write the report.

    Parameters
    ----------
    out: Path
        The run folder.
    """
    from semcon import demo as demonstration
    from semcon.progress import Terminal

    _tell(demonstration.run(out, Terminal()), json=False)
    return 0


def _tell(record: RunRecord, *, json: bool) -> None:
    """The table, or JSON, on stdout; where the report is on stderr."""
    if json:
        _print_json(record.to_json())
    else:
        record.show()
    print(f"report: {record.folder / 'report.html'}", file=sys.stderr)


def _print_json(plain: dict[str, Any]) -> None:
    print(dumps(plain, allow_nan=False, ensure_ascii=False))


def _gate(records: Sequence[RunRecord], rules: Sequence[Rule], codes: Sequence[str], junit: Path | None) -> int:
    """Judge the runs. Returns the exit code."""
    from semcon import gate

    if not rules and not codes and junit is None:
        return 0
    return _concluded([result for record in records for result in gate.judge(record.record, rules, codes)], junit)


def _concluded(results: Sequence[RuleResult], junit: Path | None) -> int:
    """Tell each verdict on stderr, write JUnit XML where wanted. Returns the exit code."""
    from semcon import gate

    for result in results:
        print(f"gate: {result.sentence}", file=sys.stderr)
    if junit is not None:
        gate.write_junit(junit, results)
    return gate.exit_code(results)


def _command() -> str:
    """The command line as it was typed, paths of this machine shortened to their last two parts."""
    return shlex.join(["semcon", *sys.argv[1:]])


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [] if text == "none" else [part.strip() for part in text.split(",") if part.strip()]


def main() -> None:
    """The entry point: a SemconError is one sentence and exit code 2."""
    try:
        code = app(sys.argv[1:], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        print(f"semcon: {error}", file=sys.stderr)
        sys.exit(2)
    except SemconError as error:
        print(f"semcon: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("semcon: stopped; the same command with --resume goes on", file=sys.stderr)
        sys.exit(130)
    sys.exit(code or 0)


if __name__ == "__main__":
    main()
