"""Errors that hold their data and say what to do next.

Every error a person can meet derives from :class:`KvaultError`: it has a stable code, an exit status for the command
line and a status for HTTP. Each floor defines its own situations as subclasses; this module knows only the kinds that
decide a status, so that a face can turn any of them into an answer without knowing the floors.
"""

from __future__ import annotations

from typing import ClassVar


class KvaultError(Exception):
    """What went wrong, where, and what to do next.

    ``where`` maps a place's kind (``file``, ``line``, ``field``, ``fact``, ``commit``, ...) to its name.
    ``remedy`` is one sentence that tells the person what to do.
    """

    code: ClassVar[str] = "error"
    exit_status: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, remedy: str = "", **where: object) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.where = {name: str(value) for name, value in where.items() if value is not None}

    def __str__(self) -> str:
        places = ", ".join(f"{name} {value}" for name, value in self.where.items())
        text = f"{self.message} ({places})" if places else self.message
        return f"{text}\n  {self.remedy}" if self.remedy else text

    def document(self) -> dict[str, object]:
        """The error as a JSON document: ``code``, ``message``, ``where``, ``remedy``."""
        return {"code": self.code, "message": self.message, "where": dict(self.where), "remedy": self.remedy}


class UsageError(KvaultError):
    """The request itself is malformed: exit status 2."""

    code = "usage"
    exit_status = 2
    http_status = 400


class InvalidInput(UsageError):
    """A value, row or file breaks a rule of its field: exit status 2."""

    code = "invalid"
    http_status = 422


class NotFound(KvaultError):
    """What was named does not exist: exit status 3."""

    code = "not-found"
    exit_status = 3
    http_status = 404


class Conflict(KvaultError):
    """The request contradicts what is there, or is stale: exit status 4."""

    code = "conflict"
    exit_status = 4
    http_status = 409


class GateRefused(KvaultError):
    """A policy does not allow it: exit status 5."""

    code = "refused"
    exit_status = 5
    http_status = 403


class TryAgain(KvaultError):
    """It may work later without any change: exit status 75."""

    code = "try-again"
    exit_status = 75
    http_status = 503


class Damaged(KvaultError):
    """Stored data is not what its name says: exit status 1."""

    code = "damaged"


class Unsupported(UsageError):
    """The thing is understood and cannot be done with this model, file or version: exit status 2."""

    code = "unsupported"
    http_status = 422
