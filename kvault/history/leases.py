"""Leases: who may move a branch just now, and the fences that make a late holder harmless.

A worker leases a branch before it works on it. A lease that runs out can be taken over, and every taking raises the
branch's fence; a move is refused unless its lease carries the fence of the day, so a worker that slept through its
lease publishes nothing. Rows of leases stay when they end, so that a fence never falls, not even over a deletion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import update
from sqlmodel import Session, col, select

from kvault.clock import iso
from kvault.errors import Conflict, InvalidInput, NotFound, TryAgain
from kvault.history.tables import LeaseRow, RefRow
from kvault.history.wording import ACTOR_LIMIT, one_line

LONGEST = 3_600_000_000
"""The longest lease, in microseconds: an hour."""


class LeaseHeld(TryAgain):
    """Somebody else is working on the branch."""

    code = "lease-held"


class LeaseLost(Conflict):
    """The lease ran out and was taken over, or was released."""

    code = "lease-lost"


class StaleFence(Conflict):
    """A move was tried under a lease that is no longer the branch's."""

    code = "stale-fence"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to move ``ref`` until ``expires_at`` (microseconds), as long as the branch's fence is ``fence``."""

    ref: str
    holder: str
    fence: int
    expires_at: int


def acquire(session: Session, ref: str, holder: str, now: int, duration: int) -> Lease:
    """Lease a branch for ``duration`` microseconds and raise its fence.

    A live lease of the same holder is replaced, which makes the older one stale. Raises :class:`LeaseHeld` while
    another holder's lease lives, :class:`NotFound` for an unknown ref.
    """
    holder = one_line(holder, "holder", ACTOR_LIMIT)
    _check_duration(duration)
    query = select(RefRow.fence).where(RefRow.name == ref).with_for_update()
    fence = session.exec(query).first()
    if fence is None:
        raise NotFound("there is no such branch to work on", name=ref, remedy="List branches with `kvault branch`.")
    row = _row(session, ref)
    if row is not None and _live(row, now) and row.holder != holder:
        raise _held(row, now)
    lease = Lease(ref, holder, fence + 1, now + duration)
    session.connection().execute(update(RefRow).where(col(RefRow.name) == ref).values(fence=lease.fence))
    _write(session, lease)
    return lease


def renew(session: Session, lease: Lease, now: int, duration: int) -> Lease:
    """The lease, extended to ``duration`` microseconds from now; one that ran out unnoticed lives again.

    Raises :class:`LeaseLost` once somebody else has taken it over.
    """
    _check_duration(duration)
    values = {"expires_at": now + duration}
    if _change(session, lease, values) != 1:
        raise LeaseLost(
            "the lease was taken over", name=lease.ref, holder=lease.holder, remedy="Stop; another works on it."
        )
    return Lease(lease.ref, lease.holder, lease.fence, now + duration)


def release(session: Session, lease: Lease) -> bool:
    """End the lease; False where it was not the holder's any more."""
    return _change(session, lease, {"holder": "", "expires_at": 0}) == 1


def check(session: Session, ref: str, fence: int, lease: Lease | None, now: int) -> None:
    """Raise unless ``ref``, whose row is locked and at ``fence``, may be moved under ``lease``.

    Without a lease it may be moved only while nobody holds a live one. An expired lease that nobody took over is good:
    the fence decides, not the clock.
    """
    row = _row(session, ref)
    if lease is None:
        if row is not None and _live(row, now):
            raise _held(row, now)
        return
    same = row is not None and (row.holder, row.fence) == (lease.holder, lease.fence)
    if lease.ref != ref or lease.fence != fence or not same:
        raise StaleFence(
            "the branch was taken over by another worker; nothing was published",
            name=ref, fence=lease.fence, current=fence, remedy="Run the verb again from the branch's new head.",
        )  # fmt: skip


def current(session: Session, ref: str, now: int) -> Lease | None:
    """The live lease of a branch, or None."""
    row = _row(session, ref)
    return Lease(ref, row.holder, row.fence, row.expires_at) if row is not None and _live(row, now) else None


def bury(session: Session, ref: str, fence: int) -> None:
    """Remember the fence of a ref that is being deleted."""
    _write(session, Lease(ref, "", fence, 0))


def fence_after_deletion(session: Session, ref: str) -> int:
    """The fence that a new ref of this name starts with: above any that an earlier one had."""
    row = _row(session, ref)
    return 0 if row is None else row.fence + 1


def _row(session: Session, ref: str) -> LeaseRow | None:
    query = select(LeaseRow).where(LeaseRow.ref == ref).execution_options(populate_existing=True)
    return session.exec(query).first()


def _live(row: LeaseRow, now: int) -> bool:
    return bool(row.holder) and row.expires_at > now


def _write(session: Session, lease: Lease) -> None:
    session.merge(LeaseRow(ref=lease.ref, holder=lease.holder, fence=lease.fence, expires_at=lease.expires_at))
    session.flush()


def _change(session: Session, lease: Lease, values: Mapping[str, object]) -> int:
    query = update(LeaseRow).where(col(LeaseRow.ref) == lease.ref, col(LeaseRow.fence) == lease.fence)
    query = query.where(col(LeaseRow.holder) == lease.holder)
    return session.connection().execute(query.values(**values)).rowcount


def _held(row: LeaseRow, now: int) -> LeaseHeld:
    seconds = max(1, (row.expires_at - now + 999_999) // 1_000_000)
    return LeaseHeld(
        f"another worker holds the branch until {iso(row.expires_at)}",
        name=row.ref, holder=row.holder, remedy=f"Try again; the lease ends in {seconds} s unless it is renewed.",
    )  # fmt: skip


def _check_duration(duration: int) -> None:
    if not 0 < duration <= LONGEST:
        raise InvalidInput(
            "a lease lasts between a microsecond and an hour", field="duration", remedy="Renew it instead."
        )
