"""Ctrl-C and a request to end: the work is unwound where that is safe, and the process ends with 130.

Python raises KeyboardInterrupt wherever it is. Inside an import that leaves half a module, whose next import
fails with another error; inside a destructor it is printed and forgotten. Here it waits until both are over.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False  # as in squeezebert_edge/__init__.py
if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import FrameType, TracebackType
    from typing import NoReturn

EXIT_CODE = 130  # 128 + SIGINT
WAIT = 0.02  # seconds until it is tried again
MESSAGE = "interrupted; no half-written output was left"

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the process has been asked to end.

    asked: it has. waiting: that has not been raised yet.
    """

    def __init__(self) -> None:
        self.asked = self.waiting = False

    def catch(self) -> None:
        """Take over SIGINT and SIGTERM, and the clock that tries again."""
        sys.excepthook = self._report
        for number in _SIGNALS:
            signal.signal(number, self._arrive)
        signal.signal(signal.SIGALRM, self._try_again)
        sys.unraisablehook = self._report_unraisable

    def finish(self) -> None:
        """The work is over: what is left of the process is not to be interrupted."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    def leave(self) -> NoReturn:
        """End the process as interrupted.

        At once: Python would end itself by the signal, where the interruption has gone through an eval.
        """
        self.finish()
        print(MESSAGE, file=sys.stderr, flush=True)
        os._exit(EXIT_CODE)

    def _report(
        self, kind: type[BaseException], error: BaseException, traceback: TracebackType | None
    ) -> None:
        if self.asked:  # just before or after the block that waits for it
            self.leave()
        sys.__excepthook__(kind, error, traceback)

    def _arrive(self, number: int, frame: FrameType | None) -> None:
        if self.waiting:  # asked again, and nothing came of the first time
            os._exit(EXIT_CODE)
        self.asked = True
        self._raise(frame)

    def _try_again(self, number: int, frame: FrameType | None) -> None:
        self._raise(frame)

    def _raise(self, frame: FrameType | None) -> None:
        self.waiting = _imports(frame)
        if self.waiting:
            signal.setitimer(signal.ITIMER_REAL, WAIT)
        else:
            raise KeyboardInterrupt

    def _report_unraisable(self, unraisable: UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self.waiting = True
            signal.setitimer(signal.ITIMER_REAL, WAIT)
        elif not self.asked:
            sys.__unraisablehook__(unraisable)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported in a frame or around it."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
