"""`squeezebert-edge report`: what bundles and a saved report hold, shown again."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from squeezebert_edge.cli import options, show
from squeezebert_edge.cli.run import print_report


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
    force: options.ForceOption = False,
    json: options.JsonOption = False,
) -> None:
    """Show bundles and measurements side by side, with what `run` found of them, as a page or a table.

    Nothing is measured anew. Measurements of a bundle that was made again since are left out.
    """
    from squeezebert_edge.report import files
    from squeezebert_edge.report.measurements import measurement
    from squeezebert_edge.report.rows import collect
    from squeezebert_edge.report.table import describe_bundles

    if out is not None:
        files.refuse([out], force=force, form=form)
    found = collect(paths, sensitivity or [])
    if out is not None:
        files.write(found, out, form)
    if json:
        show.as_json(
            {
                "bundles": describe_bundles(found),
                "records": [measurement(each) for each in found.records],
            }
        )
    else:
        print_report(", ".join(map(str, paths)), found)
