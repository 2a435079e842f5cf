"""Time as a value that is handed in.

The core never reads the wall clock on its own: a face passes a :class:`Clock`, and a test passes its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

_EPOCH = date(1970, 1, 1)
_TWO = tuple(f"{number:02}" for number in range(60))


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
    """An instant as ISO 8601 in UTC, to the second. A long log asks for many, so a day is worked out once."""
    day, rest = divmod(micros // 1_000_000, 86_400)
    return f"{_day(day)}T{_TWO[rest // 3600]}:{_TWO[rest // 60 % 60]}:{_TWO[rest % 60]}Z"


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).isoformat()
