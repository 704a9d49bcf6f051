"""The command line. Importing it loads next to nothing: it can be interrupted from the first moment on."""

from __future__ import annotations

import sys
from contextlib import suppress

from squeezebert_edge.cli import interruption


def main() -> None:
    """Run the command line; it ends with an exit code, and no known error shows a traceback."""
    interrupted = interruption.Interruption()
    interrupted.catch()
    try:
        code = _run()
    except BaseException as error:
        if interrupted.asked or isinstance(error, KeyboardInterrupt):
            interrupted.leave()
        raise
    interrupted.finish()
    if interrupted.asked or code == interruption.EXIT_CODE:
        interrupted.leave()
    sys.exit(code)


def _run() -> str | int | None:
    """The exit code of the command that the arguments name."""
    from exporters.errors import EdgeError
    from squeezebert_edge.cli import streams

    streams.take_over()
    try:
        from squeezebert_edge.cli import show
        from squeezebert_edge.cli.commands import app

        code: str | int | None = 0
        try:
            app()
        except SystemExit as leaving:
            code = leaving.code
        sys.stdout.flush()
        return code
    except streams.ClosedPipeError as error:
        return error.exit_code
    except EdgeError as error:
        show.error(error)
        with suppress(streams.CannotPrintError):  # one error is enough
            sys.stdout.flush()
        return error.exit_code
