"""`squeezebert-edge report`: what bundles and a saved report hold, shown again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exporters.errors import GateError, UnavailableError
from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.run import print_report

if TYPE_CHECKING:
    from squeezebert_edge.report.changes import Changes


class Form(StrEnum):
    """How a report is shown."""

    HTML = "html"
    MD = "md"
    CSV = "csv"
    JSON = "json"


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Bundles, report.json files that `run` wrote, records that `bench` wrote, or directories "
            "that hold them.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write it to this file.", show_default="print a table only"
        ),
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option("--format", help="The file's form.", show_default="as its name ends"),
    ] = None,
    sensitivity: Annotated[
        list[Path] | None,
        typer.Option(
            "--sensitivity",
            metavar="FILE",
            help="What `sensitivity --json` printed, for the error of each part; repeat for several.",
        ),
    ] = None,
    baseline: options.BaselineOption = None,
    max_slowdown: options.MaxSlowdownOption = None,
    max_drop: options.MaxDropSinceOption = None,
    sign: options.SignOption = None,
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Show bundles and measurements side by side, with what `run` found of them, as a page or a table.

    Nothing is measured anew. Measurements of a bundle that was made again since are left out.
    --baseline adds the changes to every form but a .json file, which can be a baseline itself.
    """
    from squeezebert_edge.report import files
    from squeezebert_edge.report.changes import compare
    from squeezebert_edge.report.measurements import measurement
    from squeezebert_edge.report.rows import collect
    from squeezebert_edge.report.table import describe_bundles

    if out is not None:
        files.refuse([out], force=force, form=form)
    earlier = options.read_baseline(baseline, max_slowdown=max_slowdown, max_drop=max_drop)
    found = collect(paths, sensitivity or [], options.read_key(sign))
    changes = None if earlier is None else compare(found, earlier)
    if out is not None:
        files.write(found, out, form, changes)
    if json:
        shown: dict[str, object] = {
            "bundles": describe_bundles(found, changes),
            "records": [measurement(each, changes) for each in found.records],
        }
        show.as_json(shown if changes is None else shown | {"baseline": changes.to_json()})
    else:
        print_report(", ".join(map(str, paths)), found, changes)
    if changes is not None:
        show.remarks(changes)
        raise typer.Exit(exit_code(changes))


def exit_code(changes: Changes) -> int:
    """0 within the limits, 1 if one is exceeded, 3 if one could not be checked."""
    if changes.exceeded:
        return GateError.exit_code
    return UnavailableError.exit_code if changes.unchecked else 0
