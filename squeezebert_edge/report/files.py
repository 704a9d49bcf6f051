"""Reports as files, each in the form that its name asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from exporters.errors import InputError
from squeezebert_edge.plumbing.staging import refuse_existing_file, require_directory, write_whole
from squeezebert_edge.report.changes import Changes
from squeezebert_edge.report.page import to_html
from squeezebert_edge.report.rows import Report, to_json
from squeezebert_edge.report.table import to_csv, to_markdown

WRITERS: Mapping[str, Callable[[Report, Changes | None], str]] = {
    "html": to_html,
    "json": lambda report, _: to_json(report),  # the report itself, which is the next baseline
    "md": to_markdown,
    "csv": to_csv,
}


def refuse(targets: Sequence[Path], *, force: bool, form: str | None = None) -> None:
    """What would be wrong with writing reports to `targets`, before the work that goes into them.

    Args:
        form: of all of them, whatever their names.

    Raises:
        InputError: a name of no known form, a directory that is not there, or a file that exists and may not
            be replaced.
    """
    for target in targets:
        if form is None:
            form_of(target)
        require_directory(target)
        refuse_existing_file(target, force=force)


def form_of(target: Path) -> str:
    """The form that a file's name asks for.

    Raises:
        InputError: none that is known.
    """
    form = target.suffix.lower().removeprefix(".")
    if form not in WRITERS:
        raise InputError(
            f"{target} does not say what form the report should have",
            allowed=f"a name that ends in .{', .'.join(WRITERS)}",
        )
    return form


def write(report: Report, target: Path, form: str | None = None, changes: Changes | None = None) -> None:
    """Write a report whole or not at all; by default in the form that the file's name asks for.

    Args:
        changes: since a baseline, shown in every form but JSON, which holds a report for `collect`.

    Raises:
        InputError: no such form, or nothing can be written there.
    """
    write_whole(target, WRITERS[form or form_of(target)](report, changes))
