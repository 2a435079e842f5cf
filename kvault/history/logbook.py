"""The rows of a log, and which of them a person asked for.

Only columns that a log shows are read, never a commit's body; filters are pure functions over those rows. What a
commit changed is found elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from sqlalchemy import Table, func, select
from sqlmodel import Session

from kvault.errors import InvalidInput
from kvault.history.tables import CommitRow
from kvault.ids import CommitId
from kvault.ledger.tables import ChangeRow

_COMMITS: Table = CommitRow.__table__  # type: ignore[attr-defined]
_CHANGES: Table = ChangeRow.__table__  # type: ignore[attr-defined]
_CHUNK = 400
WHOLE = 2000
"""From how many commits on one reading of the whole table is cheaper than looking them up."""


class Line(NamedTuple):
    """What a log shows of one commit; ``at`` is in microseconds."""

    id: CommitId
    at: int
    author: str
    verb: str
    batch: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which commits a log shows. Patterns are regular expressions; of several of a kind one has to match.

    Raises :class:`InvalidInput` for a pattern that is none.
    """

    since: int | None = None
    until: int | None = None
    authors: tuple[str, ...] = ()
    greps: tuple[str, ...] = ()
    ignore_case: bool = False

    def __post_init__(self) -> None:
        for name in ("authors", "greps"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise InvalidInput(
                        f"{pattern!r} is no pattern: {error}",
                        field=name.removesuffix("s"),
                        remedy="Write a regular expression.",
                    ) from None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return not (self.authors or self.greps) and self.since is None and self.until is None

    def keep(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines that are wanted, in their order. A message matches where one of its lines does."""
        flags = re.MULTILINE | (re.IGNORECASE if self.ignore_case else 0)
        authors = [re.compile(pattern, flags) for pattern in self.authors]
        greps = [re.compile(pattern, flags) for pattern in self.greps]
        for line in lines:
            if self.since is not None and line.at < self.since:
                continue
            if self.until is not None and line.at > self.until:
                continue
            if authors and not any(pattern.search(line.author) for pattern in authors):
                continue
            if greps and not any(pattern.search(line.message) for pattern in greps):
                continue
            yield line


def read_lines(session: Session, commits: Sequence[CommitId]) -> list[Line]:
    """The lines of ``commits``, in their order."""
    columns = select(*(_COMMITS.c[name] for name in ("id", "created_at", "author", "verb", "batch_id", "message")))
    connection = session.connection()
    found: dict[str, Line] = {}
    if len(commits) >= WHOLE:
        found = {row[0]: Line._make(row) for row in connection.execute(columns)}
    else:
        for part in _parts(commits):
            found.update(
                (row[0], Line._make(row)) for row in connection.execute(columns.where(_COMMITS.c.id.in_(part)))
            )
    return [found[commit] for commit in commits]


def count_changes(session: Session, batches: Collection[str]) -> dict[str, int]:
    """How many changes each of these batches holds; an empty one is left out."""
    columns = select(_CHANGES.c.batch_id, func.count()).group_by(_CHANGES.c.batch_id)
    connection = session.connection()
    if len(batches) >= WHOLE:
        return {row[0]: row[1] for row in connection.execute(columns)}
    found: dict[str, int] = {}
    for part in _parts(list(batches)):
        found.update(
            (batch, count) for batch, count in connection.execute(columns.where(_CHANGES.c.batch_id.in_(part)))
        )
    return found


def _parts(values: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(values)
    while part := list(islice(rest, _CHUNK)):
        yield part
