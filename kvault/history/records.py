"""Which records have been made: found again by recipe and group, so that no optimisation is done twice.

Rows are written as soon as a record's object is stored, before any commit uses it; branches and retried runs share
them. This module knows names only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlmodel import Session, col, select

from kvault.db import insert_missing
from kvault.history.tables import RecordRow
from kvault.ids import Digest, RecipeId, RecordId

_CHUNK = 400


def find(session: Session, recipe: RecipeId, groups: Iterable[Digest]) -> dict[Digest, RecordId]:
    """The records of ``groups`` that have been made under ``recipe``; absent groups are left out."""
    wanted = sorted(set(groups))
    found: dict[Digest, RecordId] = {}
    for start in range(0, len(wanted), _CHUNK):
        query = select(RecordRow.group_digest, RecordRow.digest).where(
            RecordRow.recipe == recipe, col(RecordRow.group_digest).in_(wanted[start : start + _CHUNK])
        )
        found.update((Digest(group), RecordId(digest)) for group, digest in session.exec(query))
    return found


def remember(session: Session, recipe: RecipeId, made: Mapping[Digest, RecordId], now: int) -> dict[Digest, RecordId]:
    """Note that ``made`` (group to record) was made under ``recipe``; the records that count from now on.

    Where another worker was first, its record stays and is returned instead.
    """
    rows = [
        {"digest": record, "recipe": recipe, "group_digest": group, "created_at": now}
        for group, record in sorted(made.items())
    ]
    connection = session.connection()
    if rows:
        insert_missing(connection, RecordRow, rows)
    return find(session, recipe, made)
