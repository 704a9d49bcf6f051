"""What a process that measured or answered has left, read and checked; every device reads it here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from exporters.errors import EdgeError, GateError, InputError, UnavailableError
from squeezebert_edge.latency.protocol import exactly
from squeezebert_edge.latency.record import Run
from squeezebert_edge.plumbing.reading import CONTENTS, parse_json, read_text

if TYPE_CHECKING:
    from squeezebert_edge.bundle.opened import Bundle
    from squeezebert_edge.devices import Outputs
    from squeezebert_edge.devices.command import Finished

ANSWER_LIMIT = 600.0  # seconds that a process may take to start, and as many again for its rows
AGAIN = "run it again; if that does not help, `squeezebert-edge verify` says whether the bundle works at all"


def answer_limit(rows: int) -> float:
    """Seconds after which a process that is to answer so many rows hangs."""
    return ANSWER_LIMIT + exactly(rows).time_limit


def read_result(path: Path, writer: str, finished: Finished | None = None) -> dict[str, Any]:
    """Read the result that a process wrote.

    Args:
        writer: the process, in words.
        finished: how it ended, where that is known.

    Raises:
        GateError: it failed, or left no JSON object; says what it printed last.
        EdgeError: it says itself what is wrong.
    """
    last = f"; its last output: {finished.tail}" if finished and finished.output else ""
    if not path.exists() or (finished and finished.status):
        ended = f"ended {finished.ending} and left" if finished else "left"
        raise GateError(f"{writer} {ended} no result{last}", hint=AGAIN)
    try:
        result = parse_json(read_text(path, CONTENTS), "it", finite=False)
    except InputError as error:
        raise GateError(f"{writer} wrote no result: {error.problem}{last}", hint=AGAIN) from None
    if not isinstance(result, dict):
        raise GateError(f"{writer} wrote a {type(result).__name__} and no result{last}", hint=AGAIN)
    if "error" in result:
        raise _error(result["error"], writer)
    return result


def read_run(fields: object, writer: str) -> Run:
    """Read what was measured from its fields.

    Raises:
        GateError: it is no measurement.
    """
    with expecting("measurement", writer):
        return Run.model_validate(fields)


def read_answers(path: Path, result: dict[str, Any], bundle: Bundle, rows: int, writer: str) -> list[Outputs]:
    """Read a bundle's outputs for so many rows from a file of little-endian float32.

    Args:
        result: has each output's shape, row by row.

    Raises:
        GateError: the file does not hold what the result announces.
    """
    names = [output.name for output in bundle.manifest.outputs]
    with expecting("answers", writer):
        values = np.fromfile(path, "<f4")
        shapes = [[tuple(map(int, shape)) for shape in of_row] for of_row in result["shapes"]]
        sizes = [int(np.prod(shape)) for of_row in shapes for shape in of_row]
        if len(shapes) != rows or sum(sizes) != len(values):
            raise ValueError(f"{len(values)} values for {len(shapes)} of {rows} rows")
        parts = iter(np.split(values, np.cumsum(sizes)[:-1]))
        return [
            {name: next(parts).reshape(shape) for name, shape in zip(names, of_row, strict=True)}
            for of_row in shapes
        ]


@contextmanager
def expecting(what: str, writer: str) -> Iterator[None]:
    """Read something out of a result; raises GateError if it is not there or not as it should be."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise GateError(f"{writer} wrote no {what}: {error}", hint=AGAIN) from None


def _error(cause: object, writer: str) -> EdgeError:
    """The error that a result has: our own worker's by its fields, another program's in its words."""
    kinds = {kind.exit_code: kind for kind in (InputError, GateError, UnavailableError)}
    match cause:
        case {"exit_code": int(code), "problem": problem, "allowed": allowed, "hint": hint} if code in kinds:
            return kinds[code](problem, allowed=allowed, hint=hint)
        case str():
            return GateError(f"{writer} failed: {cause}", hint=AGAIN)
    return GateError(f"{writer} wrote no result: its error is {cause}", hint=AGAIN)
