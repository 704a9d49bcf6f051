"""The command line. Importing it loads next to nothing, so that it can be interrupted from the first moment."""

from __future__ import annotations

import os
import sys

from squeezebert_edge.cli import interruption


def main() -> None:
    """Run the command line; it ends with an exit code, and no known error shows a traceback."""
    interrupted = interruption.Interruption()
    interrupted.catch()
    code: str | int | None
    try:
        code = _run()
    except BaseException as error:
        if not (interrupted.asked or isinstance(error, KeyboardInterrupt)):
            raise
        code = interruption.EXIT_CODE
    interrupted.finish()
    if interrupted.asked or code == interruption.EXIT_CODE:
        print(interruption.MESSAGE, file=sys.stderr, flush=True)
        # Python would end itself by the signal instead, where the interruption went through an eval.
        os._exit(interruption.EXIT_CODE)
    sys.exit(code)


def _run() -> str | int | None:
    """The exit code of the command that the arguments name."""
    from exporters.errors import EdgeError
    from squeezebert_edge.cli import streams

    streams.take_over()
    try:
        from squeezebert_edge.cli import show
        from squeezebert_edge.cli.commands import app

        try:
            app()
        except SystemExit as leaving:
            return leaving.code
        except EdgeError as error:
            if not isinstance(error, streams.ClosedPipeError):
                show.error(error)
            return error.exit_code
        finally:
            sys.stdout.flush()
    except streams.CannotPrintError as error:
        return error.exit_code
    return 0
