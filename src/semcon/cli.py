"""The command line: a thin skin over `semcon.recipes`. Data on stdout, everything else on stderr.

Exit codes: 0 done, 1 a gate failed, 2 wrong use or a fault, 3 not enough evidence; 130 stopped by Ctrl-C, 141 where
nobody reads standard output. `SEMCON_TRACEBACK=1` shows the traceback of every error.
"""

from __future__ import annotations

import os
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from json import dumps, loads
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, Token

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


def _whole(_: object, tokens: Sequence[Token]) -> int:
    """A flag's whole number: 6.9 is refused, not rounded."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"expected a whole number, got {tokens[0].value!r}") from None


Whole = Parameter(converter=_whole)


@app.command
def audit(
    model: str,
    data: str,
    *,
    weights: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    size: Annotated[int | None, Whole] = None,
    classes: Path | None = None,
    perturb: Annotated[list[str] | None, Repeated] = None,
    layers: str | None = None,
    gauges: str | None = None,
    draws: Annotated[int | None, Whole] = None,
    worst: Literal["none", "search"] | None = None,
    budget: Literal["fast", "standard", "full"] = "fast",
    limit: Annotated[int | None, Whole] = None,
    batch_size: Annotated[int | None, Whole] = None,
    workers: Annotated[int | None, Whole] = None,
    device: str = "auto",
    precision: Literal["32", "bf16", "16"] = "32",
    seed: Annotated[int, Whole] = 0,
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
    from semcon import gate
    from semcon.progress import Terminal
    from semcon.recipes import audit as recipes

    rules = [gate.parse_rule(text) for text in fail_if or []]
    gate.check_codes(fail_on or [])
    if junit is not None:
        gate.check_writable(junit)
    with redirect_stdout(sys.stderr):  # what the model or the data print
        record = recipes.audit(
            model, data, weights=weights, mean=mean, std=std, size=size, classes=classes, perturbations=perturb or (),
            layers=_names(layers), gauges=_names(gauges), draws=draws, worst=worst, budget=budget, limit=limit,
            batch_size=batch_size, workers=workers, device=device, precision=precision, seed=seed, name=name,
            skip_bad=skip_bad, resume=resume, out=out or recipes.default_folder(model, data, name, resume=resume),
            progress=Terminal(), command=_command(), rules=rules,
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
    gate.check_codes(fail_on or [])
    records = [RunRecord.load(run) for run in runs]
    if len(records) == 1:
        path = records[0].report(out)
        with _data():
            _print_json(records[0].to_json()) if json else records[0].show()
    else:
        together = side_by_side(records)
        path = together.report(out or Path("report"))
        with _data():
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


@app.command
def train(
    recipe: Path | None = None,
    *,
    model: str | None = None,
    data: str | None = None,
    objective: str | None = None,
    perturb: Annotated[list[str] | None, Repeated] = None,
    alpha: float | None = None,
    share: float | None = None,
    wish: Annotated[list[str] | None, Repeated] = None,
    select: float | None = None,
    baseline: str | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    optimizer: str | None = None,
    learning_rate: float | None = None,
    weights: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    size: int | None = None,
    limit: int | None = None,
    device: str | None = None,
    devices: int | None = None,
    precision: str | None = None,
    seed: int | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=(), consume_multiple=False)] = None,
    resume: Annotated[bool, Parameter(negative=())] = False,
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
        folder:DIR, parquet:FILE[,FILE], builtin:mnist5k or builtin:shapes, with labels.
    objective: str
        continuity (default), cross_entropy, augmentation, stability_training, augmix, trades.
    perturb: list[str]
        NAME[:LIMIT] of a perturbation that the objective uses; repeatable.
    alpha: float
        Weight of the objective's second term (TRADES: beta); its own default without.
    share: float
        Part of the batch that gets a perturbed copy.
    wish: list[str]
        In place of alpha: 'gaussian_noise:0.2 relative_change <= 0.2', or 'accuracy >= -0.5' in points against
        --baseline; repeatable.
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
    weights: str
        Weights to begin with.
    mean: str
        Normalisation, as .485,.456,.406.
    std: str
        As .229,.224,.225.
    size: int
        Side of the canvas in pixels.
    limit: int
        The first images only.
    device: str
        auto, cpu, cuda, ...
    devices: int
        Processes of one machine; torchrun's own count wins.
    precision: str
        32, bf16 or 16.
    seed: int
        Of the weights, the order and the draws.
    set_: list[str]
        KEY=VALUE for any other key of a recipe; repeatable.
    resume: bool
        Go on with an unfinished training in the same --out.
    out: Path
        The run folder; runs/OBJECTIVE-MODEL-DATA without.
    """
    from semcon.progress import Terminal
    from semcon.recipes import train as recipes

    flags = {
        "model": model, "data": data, "objective": objective, "perturb": perturb, "alpha": alpha, "share": share,
        "wish": wish, "select": select, "baseline": baseline, "epochs": epochs, "steps": steps,
        "batch_size": batch_size, "optimizer": optimizer,
        "learning_rate": learning_rate, "weights": weights, "mean": mean, "std": std, "size": size, "limit": limit,
        "device": device, "devices": devices, "precision": precision, "seed": seed,
    }  # fmt: skip
    keys = {} if recipe is None else recipes.read_recipe(recipe)
    keys |= {name: value for name, value in flags.items() if value is not None}
    keys |= recipes.parse_settings(set_ or [])
    with redirect_stdout(sys.stderr):  # what the model or the data print
        folder = recipes.train(keys, out=out, resume=resume, progress=Terminal())
    with _data():
        print(folder)
    print(f"trained: {folder}; next: semcon audit run:{folder} DATA", file=sys.stderr)
    outcome = folder / "wish.json"
    return 0 if not outcome.exists() or loads(outcome.read_text(encoding="utf-8"))["met"] else 1


@app.command
def repair(
    model: str,
    data: str,
    *,
    judge: str | None = None,
    wish: Annotated[list[str] | None, Repeated] = None,
    perturb: Annotated[list[str] | None, Repeated] = None,
    weights: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    size: int | None = None,
    classes: str | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    budget: str | None = None,
    device: str | None = None,
    seed: int | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set", negative=(), consume_multiple=False)] = None,
    skip_bad: Annotated[bool, Parameter(negative=())] = False,
    resume: Annotated[bool, Parameter(negative=())] = False,
    out: Path = Path("repair"),
    json: Annotated[bool, Parameter(negative=())] = False,
) -> int:
    """Fine-tune a checkpoint until a wish is met, and prove it on images that it never saw.

    Parameters
    ----------
    model: str
        As in `semcon audit`.
    data: str
        Images to repair on, as in `semcon audit`; labels are used where there are any.
    judge: str
        Images to judge by, opened once; a third of DATA without.
    wish: list[str]
        'accuracy >= -1' (points against the original; the default), 'gaussian_noise:0.05 relative_change <= 0.2';
        repeatable.
    perturb: list[str]
        NAME:SEVERITY to mend; without, what the wishes name, else what an audit finds failing; repeatable.
    weights: str
        The checkpoint; the repaired one is written in the same form.
    mean: str
        Normalisation, as .485,.456,.406.
    std: str
        As .229,.224,.225.
    size: int
        Side of the canvas in pixels.
    classes: str
        File in which line i names output i.
    epochs: float
        Passes over the images to fit; 9 by default.
    batch_size: int
        Images per step.
    learning_rate: float
        At its peak.
    budget: str
        fast, standard or full: rungs and draws of the judge's audits.
    device: str
        auto, cpu, cuda, ...
    seed: int
        Of the splits, the order and the draws.
    set_: list[str]
        KEY=VALUE for alpha, copies, share, clip, looks or workers; repeatable.
    skip_bad: bool
        Leave out images that cannot be read, and count them.
    resume: bool
        Go on with an unfinished repair in the same --out.
    out: Path
        The run folder.
    json: bool
        What was wished and reached, and the comparison, as JSON on stdout instead of the table.
    """
    from semcon.compare import side_by_side
    from semcon.progress import Terminal
    from semcon.recipes import repair as recipes
    from semcon.recipes.train import parse_settings

    flags = {
        "judge": judge, "wish": wish, "perturb": perturb, "weights": weights, "mean": mean, "std": std, "size": size,
        "classes": classes, "epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate,
        "budget": budget, "device": device, "seed": seed,
    }  # fmt: skip
    keys: dict[str, Any] = {"model": model, "data": data, "skip_bad": skip_bad, **parse_settings(set_ or [])}
    keys |= {name: value for name, value in flags.items() if value is not None}
    with redirect_stdout(sys.stderr):  # what the model or the data print
        repaired = recipes.repair(keys, out=out, resume=resume, progress=Terminal(), command=_command())
        together = side_by_side([str(repaired.before), str(repaired.after)])
        together.report(repaired.folder)
    with _data():
        if json:
            plain = loads((repaired.folder / "repair.json").read_text(encoding="utf-8"))
            _print_json({**plain, "comparison": together.to_json()})
        else:
            together.show()
            print(repaired.sentence)
    if not repaired.met:
        print("the frontier reached, by change:", *repaired.frontier, sep="\n  ", file=sys.stderr)
    print(f"weights: {repaired.weights}\nreport: {repaired.folder / 'report.html'}", file=sys.stderr)
    return 0 if repaired.met else 1


@app.command(name="list")
def list_(kind: str | None = None, /) -> int:
    """What there is: perturbations, distances, representations, datasets, models, checks, evaluations.

    Parameters
    ----------
    kind: str
        One kind, with what each of its members is.
    """
    from semcon import listing

    with _data():
        print(listing.text(kind))
    return 0


@app.command
def demo(*, out: Path | None = None) -> int:
    """Train a standard and a continuous network on embedded digits, audit both, compare; about two minutes.

    Parameters
    ----------
    out: Path
        The run folder; demo by default, demo-2 and so on where that is taken.
    """
    from semcon import demo as demonstration
    from semcon.partial import free_folder
    from semcon.progress import Terminal

    with redirect_stdout(sys.stderr):
        shown = demonstration.run(out or free_folder(demonstration.FOLDER), Terminal())
    shown.together.show()
    print(f"report: {shown.folder / 'report.html'}", file=sys.stderr)
    return 0


def _tell(record: RunRecord, *, json: bool) -> None:
    """The table, or JSON, on stdout; where the report is on stderr."""
    with _data():
        _print_json(record.to_json()) if json else record.show()
    print(f"report: {record.folder / 'report.html'}", file=sys.stderr)


@contextmanager
def _data() -> Iterator[None]:
    """Where standard output is written. Errors: `SemconError` where it cannot be, as on a full disk."""
    try:
        yield
        print(end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SemconError(f"cannot write to standard output: {error.strerror or error}") from error


def _print_json(plain: dict[str, Any]) -> None:
    print(dumps(plain, allow_nan=False, ensure_ascii=False))


def _gate(records: Sequence[RunRecord], rules: Sequence[Rule], codes: Sequence[str], junit: Path | None) -> int:
    """Judge the runs. Returns the exit code."""
    from semcon import gate
    from semcon.report.reading import readings

    if not rules and not codes and junit is None:
        return 0
    labelled = zip(readings([(run.record, run.folder) for run in records]), records, strict=True)
    results = [result for one, run in labelled for result in gate.judge(run.record, rules, codes, run=one.label)]
    return _concluded(results, junit)


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
    """The entry point: every error is one sentence, and exit code 1 is left to gates."""
    try:
        code = app(sys.argv[1:], exit_on_error=False, print_error=False, result_action="return_value")
        with _data():
            pass
    except BaseException as error:
        if os.environ.get("SEMCON_TRACEBACK"):
            traceback.print_exc()
        _leave_stdout()
        if _nobody_reads(error):
            sys.exit(141)  # as a shell says of a program that SIGPIPE ended
        print(f"semcon: {_sentence(error)}", file=sys.stderr)
        sys.exit(130 if isinstance(error, KeyboardInterrupt) else 2)
    sys.exit(code or 0)


def _leave_stdout() -> None:
    """What cannot be written goes nowhere, or Python would fail on it once more at its end."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nobody_reads(error: BaseException) -> bool:
    """Whether standard output is a pipe that was closed, as by `head`; rich makes a SystemExit of it."""
    return isinstance(error, BrokenPipeError) or (
        isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)
    )


def _sentence(error: BaseException) -> str:
    """What a person is told of an error."""
    if isinstance(error, SemconError | CycloptsError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped; the same command with --resume goes on"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return (
        f"unexpected {type(error).__name__}: {' '.join(str(error).split())}. This is a fault of semcon, or of the "
        "model's or the data's own code: SEMCON_TRACEBACK=1 shows where; please report it with that traceback"
    )


if __name__ == "__main__":
    main()
