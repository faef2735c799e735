"""How a command fails: one message that says what to do, and an exit code."""

FAILED = 1
MISUSED = 2
INTERRUPTED = 130


class Failure(Exception):
    """The command cannot do it. `code` is `FAILED`, `MISUSED` for wrong arguments or settings, or `INTERRUPTED`."""

    def __init__(self, message: str, code: int = FAILED) -> None:
        super().__init__(message)
        self.code = code
