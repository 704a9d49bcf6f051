"""`squeezebert-edge tune`: the forms that a device computes fastest, for `export --forms`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

import exporters
from exporters.errors import EdgeError, GateError
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.names import read_names, read_unit
from squeezebert_edge.verbs import CALIBRATION_SAMPLES

if TYPE_CHECKING:
    from squeezebert_edge.latency.protocol import Protocol
    from squeezebert_edge.verbs.tune import Decision, Trial

COLUMNS = ("format", "precision", "form", ">p50 ms", ">spread", "padding-safe", "proof", "verdict")


def tune(
    checkpoint: options.CheckpointArgument,
    to: options.FormatsOption = None,
    precision: options.PrecisionsOption = None,
    lengths: options.LengthsOption = None,
    task: options.TaskOption = None,
    ios: options.IosOption = 17,
    calibration: options.CalibrationOption = None,
    calibration_samples: options.CalibrationSamplesOption = CALIBRATION_SAMPLES,
    device: options.DeviceOption = "host",
    runner: options.RunnerOption = None,
    unit: options.DeviceUnitOption = None,
    threads: options.RuntimeThreadsOption = None,
    data: options.TextsOption = None,
    quick: options.QuickOption = False,
    rapid: options.RapidOption = False,
    queries: options.QueriesOption = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            min=1,
            help="Runs of each form, all forms in turn; the median counts.",
            rich_help_panel=options.PROTOCOL,
        ),
    ] = 3,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the forms go.")] = Path(
        "forms.json"
    ),
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Measure on a device which form of the network suits each format and precision.

    Every form is exported, proven and measured. The fastest of those that are within the gates and safe from
    padding is chosen; the default gives way only to one that is faster in every round, and by more than 5%.
    A latency is the median at each length, weighed by how many texts have that length. `export --forms`
    reads the file. Without --precision, every one that a format has.
    """
    from squeezebert_edge.checkpoint.checkpoint import load_checkpoint
    from squeezebert_edge.checkpoint.task import architecture_of
    from squeezebert_edge.devices import open_device
    from squeezebert_edge.forms.choices import write_forms
    from squeezebert_edge.latency.record import Settings
    from squeezebert_edge.plumbing.staging import refuse_existing_file, require_directory
    from squeezebert_edge.verbs.plan import Plan, add_calibration, possible_pairs
    from squeezebert_edge.verbs.tune import Skipped, Tuning, forms_file, tune_forms

    tuning = Tuning(
        options.choose_protocol(queries, quick=quick, rapid=rapid),
        Settings(threads=threads, unit=read_unit(unit)),
        data,
        rounds,
    )
    require_directory(out)
    refuse_existing_file(out, force=force)
    decisions: list[Decision] = []
    skipped: list[Skipped] = []
    failure: EdgeError | None = None
    with show.progress(show.BESIDE_MEASUREMENTS) as progress:
        pairs = possible_pairs(to or exporters.names(), precision or [])
        opened = open_device(device, runner)
        progress(f"loading {checkpoint}", 0, 0)
        loaded = load_checkpoint(checkpoint, architecture=architecture_of(read_names(task).head))
        plan = Plan(pairs, options.parse_lengths(lengths, loaded.config), ios=ios)
        plan = add_calibration(plan, loaded, calibration, calibration_samples)
        _warn_of_time(tuning.protocol, rounds, len(pairs))
        try:
            for found in tune_forms(loaded, plan, opened, tuning, progress=progress):
                if isinstance(found, Skipped):
                    skipped.append(found)
                else:
                    decisions.append(found)
        except EdgeError as error:
            if not decisions:
                raise
            failure = error  # what was decided before it is shown all the same
    written = failure is None and any(decision.chosen for decision in decisions)
    if json:
        show.as_json(
            {
                "forms": str(out) if written else None,
                "decisions": [describe_decision(decision) for decision in decisions],
                "skipped": [{"format": one.format, "error": str(one.error)} for one in skipped],
                "failure": None if failure is None else str(failure),
            }
        )
    else:
        where = next((decision.device for decision in decisions if decision.device), device)
        rows = [row(decision, trial) for decision in decisions for trial in decision.trials]
        show.table(f"{checkpoint} on {where}", COLUMNS, rows)
    for one in skipped:
        show.note(f"{one.format} was skipped: {one.error.problem}")
    _explain(decisions)
    if written:
        write_forms(forms_file(loaded, plan, opened, tuning, decisions), out)
        show.note(f"next: squeezebert-edge export {checkpoint} --forms {out}")
    else:
        show.note(f"{out} was not written")
    if failure is not None:
        raise failure
    if not all(decision.chosen for decision in decisions):
        raise typer.Exit(GateError.exit_code)


def describe_decision(decision: Decision) -> dict[str, Any]:
    """A decision for machines."""
    return {
        "format": decision.format,
        "precision": decision.precision,
        "default": decision.default,
        "chosen": decision.chosen,
        "device": decision.device,
        "trials": [
            {
                "form": trial.candidate.form,
                "p50_ms": None if trial.latency_ns is None else trial.latency_ns / 1e6,
                "rounds_ms": [latency / 1e6 for latency in trial.rounds_ns],
                "spread": trial.spread,
                "padding_safe": trial.padding_safe,
                "verification": trial.verification.model_dump() if trial.verification else None,
                "excluded": trial.excluded,
            }
            for trial in decision.trials
        ],
    }


def row(decision: Decision, trial: Trial) -> tuple[str | Text, ...]:
    """A candidate as a row under COLUMNS."""
    milliseconds = None if trial.latency_ns is None else trial.latency_ns / 1e6
    return (
        decision.format,
        decision.precision,
        trial.candidate.form + (" (default)" if trial.candidate.form == decision.default else ""),
        show.number(milliseconds, ".2f"),
        show.number(trial.spread, ".1%"),
        {True: "yes", False: "no", None: "-"}[trial.padding_safe],
        show.status(trial.verification) if trial.verification else "not exported",
        _verdict(decision, trial),
    )


def _verdict(decision: Decision, trial: Trial) -> str | Text:
    """Whether it is chosen, and what speaks against it if not."""
    form = trial.candidate.form
    if form == decision.chosen:
        return Text("chosen", style="bold green")
    if trial.excluded is not None:
        return trial.excluded.splitlines()[0]
    latencies = {one.candidate.form: one.latency_ns or 0.0 for one in decision.trials}
    slower = latencies[form] / latencies[decision.chosen or form] - 1
    return f"{slower:.1%} slower" if slower >= 0 else f"{-slower:.1%} faster, which may be noise"


def _warn_of_time(protocol: Protocol, rounds: int, pairs: int) -> None:
    """How long it will measure at the most; exports come on top."""
    from squeezebert_edge.forms.catalog import FORMS

    runs = pairs * len(FORMS) * rounds
    minutes = runs * (protocol.seconds + protocol.cool_down) / 60
    if minutes >= 1:
        show.note(f"measures for up to {minutes:.0f} minutes: {runs} runs of the {protocol.name} protocol")


def _explain(decisions: Sequence[Decision]) -> None:
    """What the table leaves open: rounds that disagree, and pairs without a form."""
    from squeezebert_edge.latency.protocol import REPEAT_TOLERANCE

    for decision in decisions:
        named = f"{decision.format} {decision.precision}"
        unsteady = [
            trial.candidate.form
            for trial in decision.trials
            if trial.spread is not None and trial.spread > REPEAT_TOLERANCE
        ]
        if unsteady:
            show.note(
                f"warning: {named}: the rounds of {', '.join(unsteady)} differ by more than "
                f"{REPEAT_TOLERANCE:.0%}: was the device busy or warm? --rounds takes more of them"
            )
        if decision.chosen is None:
            show.note(f"{named}: no form can be chosen")
