"""Do the branches' leases hold: whoever works on a branch is a run of that branch.

A lease that has run out names a past holder and harms nobody. Damage is found, never raised.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session, col, select

from kvault.history.findings import Code, Finding
from kvault.history.tables import LeaseRow
from kvault.runs.tables import RunRow

HOLDER = "run "
"""What stands before a run's id in the name of a lease's holder."""


def lease_holders(session: Session, now: int) -> Iterator[Finding]:
    """Each live lease is held by a run that is there, was begun, and is of that branch."""
    begun = {
        run: branch
        for run, branch, attempts in session.exec(select(RunRow.id, RunRow.branch, RunRow.attempts))
        if attempts
    }
    for lease in session.exec(select(LeaseRow).where(col(LeaseRow.expires_at) > now).order_by(col(LeaseRow.ref))):
        if not lease.holder:
            yield Finding(Code.LEASE, lease.ref, "its lease runs and names no holder", lease.ref)
        elif begun.get(lease.holder.removeprefix(HOLDER)) != lease.ref or not lease.holder.startswith(HOLDER):
            yield Finding(Code.LEASE, lease.ref, f"{lease.holder} holds it and is no run of this branch", lease.ref)
