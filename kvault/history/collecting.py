"""Collecting what nothing wants, in two steps with a time of grace between them.

The first step marks: an object that nothing names gets a row with the time. A later step takes away what has been
marked for longer than the grace, is still named by nothing, and was not put again meanwhile. Whoever puts an object
that is there already makes it new again, so that a writer at work never loses one; what is newer than the oldest work
under way is not even marked. Readers only ever follow names, and what is named is never touched.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete
from sqlmodel import Session, col, select

from kvault.db import Database
from kvault.errors import InvalidInput
from kvault.history import audit
from kvault.history.leases import LONGEST
from kvault.history.reachable import reach
from kvault.history.storing import GarbageRow
from kvault.history.tables import LeaseRow
from kvault.ids import Canonical, Digest
from kvault.ledger.store import chunks, store_missing
from kvault.objects import headers
from kvault.objects.failures import ObjectMissing
from kvault.objects.folder import Stored
from kvault.objects.store import ObjectStore

DAY = 86_400_000_000
GRACE = 14 * DAY
LEAST_GRACE = 2 * LONGEST
"""No lease lasts longer than half of this, so a writer that was at work when an object was marked is over."""
_TOGETHER = 500


class Fate(StrEnum):
    """What becomes of an object that nothing names."""

    TAKEN = "taken away"
    WAITING = "marked, waits for the grace to end"
    MARKED = "marked now"
    NEWER = "newer than work under way"
    LEFTOVER = "left behind by an interrupted writer"


@dataclass(frozen=True, slots=True)
class Pile:
    """Objects of one fate and form."""

    fate: Fate
    form: str
    objects: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Collection:
    """What a collection found and did, or would do."""

    wanted: int
    wanted_bytes: int
    piles: tuple[Pile, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """A collection as it is asked for; times are microseconds."""

    now: int
    actor: str
    grace: int = GRACE
    dry_run: bool = False

    def __post_init__(self) -> None:
        if self.grace < LEAST_GRACE:
            raise InvalidInput(
                "a writer at work may need longer than this grace", field="grace", remedy="Give at least 2h."
            )


@dataclass(frozen=True, slots=True)
class _Unnamed:
    """An object that nothing names."""

    digest: Digest
    size: int
    form: str
    fate: Fate
    marked_at: int | None


def collect(
    database: Database,
    store: ObjectStore,
    order: Order,
    busy_since: Callable[[Session], int],
    also_wanted: Iterable[Digest] = (),
) -> Collection:
    """Take away what has been marked for the grace, and mark what nothing names now.

    ``busy_since`` tells when the oldest work under way began. Raises
    :class:`~kvault.history.reachable.CannotCollect` where something wanted is damaged. Interrupted anywhere, the vault
    is as sound as before, and the next collection goes on.
    """
    if not order.dry_run:
        store.recover()
    leftovers = store.leftovers()
    found = dict(store.stored())
    with database.reading() as session:
        since = min(order.now, busy_since(session), _leased_since(session, order.now))
        reached = reach(session, store, {digest: each.size for digest, each in found.items()}, also_wanted)
        marked = {Digest(row.digest): row.marked_at for row in session.exec(select(GarbageRow))}
    unnamed = [_unnamed(store, d, each, marked.get(d), since, order) for d, each in found.items()
               if d not in reached.wanted]  # fmt: skip
    old = [each for each in leftovers if each.at < min(since, order.now - LEAST_GRACE)]
    if not order.dry_run:
        unnamed = [each for each in unnamed if each.fate is not Fate.TAKEN or _discard(store, each)]
        old = [each for each in old if store.discard_leftover(each.name, each.at + 1)]
        _write(database, order, unnamed, set(marked))
    sizes = [found[digest].size for digest in reached.wanted]
    return Collection(len(sizes), sum(sizes), _piles(unnamed, old))


def _unnamed(
    store: ObjectStore, digest: Digest, found: Stored, marked_at: int | None, since: int, order: Order
) -> _Unnamed:
    if found.at >= since:
        fate = Fate.NEWER
    elif marked_at is None or found.at >= marked_at:
        fate = Fate.MARKED  # never marked, or put again since: the grace begins anew
    else:
        fate = Fate.TAKEN if marked_at + order.grace <= order.now else Fate.WAITING
    try:
        form = headers.form_of(store.head(digest), found.size).value
    except ObjectMissing:
        form = headers.Form.BYTES.value
    return _Unnamed(digest, found.size, form, fate, marked_at)


def _discard(store: ObjectStore, each: _Unnamed) -> bool:
    return each.marked_at is not None and store.discard(each.digest, each.marked_at)


def _leased_since(session: Session, now: int) -> int:
    """When the oldest live lease may have begun."""
    live = select(LeaseRow.expires_at).where(col(LeaseRow.holder) != "", col(LeaseRow.expires_at) > now)
    return min((ends - LONGEST for ends in session.exec(live)), default=now)


def _write(database: Database, order: Order, unnamed: Sequence[_Unnamed], marked: set[Digest]) -> None:
    """Note the marks of now, forget those that are over, and put what was taken away into the audit chain."""
    by_fate: dict[Fate, list[_Unnamed]] = defaultdict(list)
    for each in unnamed:
        by_fate[each.fate].append(each)
    kept = {each.digest for each in by_fate[Fate.WAITING]}
    taken = by_fate[Fate.TAKEN]
    rows = [{"digest": each.digest, "bytes": each.size, "marked_at": order.now} for each in by_fate[Fate.MARKED]]
    over = sorted(marked - kept)
    if not (rows or over or taken):
        return
    with database.writing() as session:
        for some in chunks(over, _TOGETHER):
            session.connection().execute(delete(GarbageRow).where(col(GarbageRow.digest).in_(some)))
        store_missing(session, GarbageRow, "digest", rows)
        if taken:
            detail: dict[str, Canonical] = {"objects": len(taken), "bytes": sum(each.size for each in taken)}
            audit.append(session, actor=order.actor, verb="gc", subject="objects", detail=detail, at=order.now)


def _piles(unnamed: Iterable[_Unnamed], leftovers: Sequence[Stored]) -> tuple[Pile, ...]:
    sums: dict[tuple[Fate, str], list[int]] = defaultdict(list)
    for each in unnamed:
        sums[each.fate, each.form].append(each.size)
    if leftovers:
        sums[Fate.LEFTOVER, "temporary files"] = [each.size for each in leftovers]
    order = list(Fate)
    ranked = sorted(sums.items(), key=lambda item: (order.index(item[0][0]), item[0][1]))
    return tuple(Pile(fate, form, len(sizes), sum(sizes)) for (fate, form), sizes in ranked)
