"""The base of every error a user sees: what was wrong, what is allowed, what to do next."""


class EdgeError(Exception):
    """An error that explains itself; the command line prints it without a traceback.

    Args:
        problem: what was wrong, with the value that was seen.
        allowed: what would have been accepted.
        hint: what to do or run next.
    """

    exit_code = 2

    def __init__(self, problem: str, *, allowed: str | None = None, hint: str | None = None) -> None:
        self.problem, self.allowed, self.hint = problem, allowed, hint
        lines = [problem]
        if allowed:
            lines.append(f"allowed: {allowed}")
        if hint:
            lines.append(f"next: {hint}")
        super().__init__("\n".join(lines))


class InputError(EdgeError):
    """The input or the call is wrong (exit code 2)."""


class GateError(EdgeError):
    """A gate failed: parity, accuracy, delegation, an invalid measurement (exit code 1)."""

    exit_code = 1


class UnavailableError(EdgeError):
    """It cannot be done, checked or measured on this machine (exit code 3); the hint says what would."""

    exit_code = 3
