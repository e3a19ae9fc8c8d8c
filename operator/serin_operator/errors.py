"""The operator's own failures. Anything else that is raised is a bug and keeps its traceback."""

from __future__ import annotations


class SettingsError(Exception):
    """A setting of the process is missing or malformed; a person must mend it."""


class WaitingError(Exception):
    """The step cannot go on yet and may succeed by itself later."""

    def __init__(self, reason: str, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


class ConflictError(Exception):
    """The API server holds a newer object than the one that was decided on: observe again."""


class ApiError(Exception):
    """The API server refused or failed a call; the text quotes its message, never a body that was sent."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class NotLeadingError(Exception):
    """This process does not hold the Lease, or not for long enough: it must not write."""
