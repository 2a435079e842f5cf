"""The rows of a log, and which of them a person asked for.

Only columns that a log shows are read, never a commit's body; filters are pure functions over those rows. What a
commit changed is found elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy import Select, Table, func, select
from sqlmodel import Session

from kvault.db import plain_rows
from kvault.errors import InvalidInput
from kvault.history.tables import CommitRow
from kvault.ids import CommitId
from kvault.ledger.tables import ChangeRow

_COMMITS: Table = CommitRow.__table__  # type: ignore[attr-defined]
_CHANGES: Table = ChangeRow.__table__  # type: ignore[attr-defined]
_CHUNK = 400
WHOLE = 2000
"""From how many commits on one reading of the whole table is cheaper than looking them up."""


Line: TypeAlias = tuple[CommitId, int, str, str, str | None, str]
"""What a log shows of one commit: id, time in microseconds, author, verb, batch, message.

The database driver's own tuples, because a long log holds ten thousand of them.
"""


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
        return iter(lines) if self.everything else self._kept(lines)

    def _kept(self, lines: Iterable[Line]) -> Iterator[Line]:
        flags = re.MULTILINE | (re.IGNORECASE if self.ignore_case else 0)
        authors = [re.compile(pattern, flags) for pattern in self.authors]
        greps = [re.compile(pattern, flags) for pattern in self.greps]
        for line in lines:
            _, at, author, _, _, message = line
            if self.since is not None and at < self.since:
                continue
            if self.until is not None and at > self.until:
                continue
            if authors and not any(pattern.search(author) for pattern in authors):
                continue
            if greps and not any(pattern.search(message) for pattern in greps):
                continue
            yield line


def read_all(session: Session) -> dict[CommitId, Line]:
    """The line of every commit of the vault."""
    return {line[0]: line for line in plain_rows(session, _lines())}


def read_lines(session: Session, commits: Sequence[CommitId]) -> list[Line]:
    """The lines of ``commits``, in their order."""
    if len(commits) >= WHOLE:
        found = read_all(session)
    else:
        found = {}
        for part in _parts(commits):
            rows = session.connection().execute(_lines().where(_COMMITS.c.id.in_(part)))
            found.update((row[0], tuple(row)) for row in rows)
    return [found[commit] for commit in commits]


def count_changes(session: Session, batches: Collection[str]) -> dict[str, int]:
    """How many changes each of these batches holds; an empty one is left out."""
    columns = select(_CHANGES.c.batch_id, func.count()).group_by(_CHANGES.c.batch_id)
    if len(batches) >= WHOLE:
        return {batch: count for batch, count in plain_rows(session, columns)}  # noqa: C416 - dict() knows no types here
    found: dict[str, int] = {}
    for part in _parts(list(batches)):
        rows = session.connection().execute(columns.where(_CHANGES.c.batch_id.in_(part)))
        found.update((row[0], row[1]) for row in rows)
    return found


def _lines() -> Select[Any]:
    return select(*(_COMMITS.c[name] for name in ("id", "created_at", "author", "verb", "batch_id", "message")))


def _parts(values: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(values)
    while part := list(islice(rest, _CHUNK)):
        yield part
