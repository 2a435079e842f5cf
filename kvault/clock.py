"""Time as a value that is handed in.

The core never reads the wall clock on its own: a face passes a :class:`Clock`, and a test passes its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime


def _now() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Clock:
    """Integer microseconds since 1970 in UTC."""

    read: Callable[[], int] = _now

    def now(self) -> int:
        """The present instant in microseconds."""
        return self.read()

    def today(self) -> date:
        """The present day in UTC."""
        return datetime.fromtimestamp(self.now() / 1e6, UTC).date()


def iso(micros: int) -> str:
    """An instant as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
