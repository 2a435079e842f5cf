"""Do the refs hold: targets, logs, fences, leases, the vault's facts about itself, and the audit chain.

Every move of a ref was written twice, in its log and in the audit chain, so a changed row of either shows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from sqlalchemy import text
from sqlmodel import Session, col, select

from kvault.errors import KvaultError
from kvault.history import audit
from kvault.history.commits import CommitBody
from kvault.history.findings import Code, Finding
from kvault.history.leases import LONGEST
from kvault.history.meta import Meta
from kvault.history.needs import Needs
from kvault.history.refs import RefKind
from kvault.history.tables import CommitRow, LeaseRow, MetaRow, ReflogRow, RefRow
from kvault.ids import CommitId, Digest

Step: TypeAlias = tuple[str | None, str | None, str, str, str, int]
"""Old, new, actor, verb, reason, time."""


def ref_rows(session: Session, commits: Mapping[CommitId, CommitBody]) -> Iterator[Finding]:
    """Each ref is of a known kind and stands at a commit that is there and sound."""
    for row in session.exec(select(RefRow).order_by(col(RefRow.name))):
        if row.target not in commits:
            yield Finding(Code.REF_TARGET, row.name, f"commit {row.target[:12]} is missing or damaged", row.name)
        if row.kind not in {kind.value for kind in RefKind}:
            yield Finding(Code.REF_ROW, row.name, f"{row.kind!r} is no kind of ref", row.name)


def reflogs(session: Session) -> Iterator[Finding]:
    """Each log is a chain from nothing to where its ref stands, and the audit chain tells the same."""
    logs: dict[str, list[Step]] = defaultdict(list)
    for row in session.exec(select(ReflogRow).order_by(col(ReflogRow.id))):
        logs[row.ref].append((row.old, row.new, row.actor, row.verb, row.reason, row.at))
    told = _audited(session)
    targets = dict(session.exec(select(RefRow.name, RefRow.target)).all())
    for name in sorted(set(logs) | set(targets) | set(told)):
        steps = logs.get(name, [])
        place: str | None = None
        for number, step in enumerate(steps, start=1):
            if step[0] != place:
                yield Finding(
                    Code.REFLOG_CHAIN, name, f"move {number} does not start where move {number - 1} ended", name
                )
            place = step[1]
        if place != targets.get(name):
            yield Finding(
                Code.REFLOG_CHAIN,
                name,
                f"its log ends at {_short(place)}, and it stands at {_short(targets.get(name))}",
                name,
            )
        if steps != [step for step, _ in told.get(name, [])]:
            yield Finding(Code.REFLOG_AUDIT, name, "its log and the audit chain tell different moves", name)


def named_commits(session: Session) -> Iterator[Finding]:
    """Nothing that a log or the audit chain names was deleted: every commit that a ref ever stood at is there."""
    known = set(session.exec(select(CommitRow.id)))
    named: dict[str, str] = {}
    for row in session.exec(select(ReflogRow).order_by(col(ReflogRow.id))):
        for commit in (row.old, row.new):
            if commit is not None:
                named.setdefault(commit, f"reflog of {row.ref}")
    for name, steps in _audited(session).items():
        for (old, new, *_), _detail in steps:
            for commit in (old, new):
                if commit is not None:
                    named.setdefault(str(commit), f"audit rows of {name}")
    for commit in sorted(named.keys() - known):
        yield Finding(Code.COMMIT_GONE, commit, "a ref stood at it, and it is not there", named[commit])


def fences(session: Session, now: int) -> Iterator[Finding]:
    """Kinds and fences are those last written down; at most one live lease a branch, under the fence of the day."""
    told = _audited(session)
    leases = {row.ref: row for row in session.exec(select(LeaseRow))}
    for row in session.exec(select(RefRow).order_by(col(RefRow.name))):
        last: Mapping[str, Any] = told[row.name][-1][1] if told.get(row.name) else {}
        if last and last.get("kind") != row.kind:
            yield Finding(Code.REF_ROW, row.name, f"it is a {row.kind}, and was made a {last.get('kind')}", row.name)
        lease = leases.pop(row.name, None)
        held = lease.fence if lease else 0
        if row.fence < max(held, int(last.get("fence", 0))):
            yield Finding(Code.FENCE, row.name, f"its fence fell to {row.fence}", row.name)
        if lease and lease.holder and lease.fence != row.fence:
            yield Finding(Code.LEASE, row.name, f"{lease.holder} holds fence {lease.fence}, not {row.fence}", row.name)
        if lease and lease.holder and lease.expires_at > now + LONGEST:
            yield Finding(Code.LEASE, row.name, f"{lease.holder} holds it longer than any lease lasts", row.name)
    for name, lease in sorted(leases.items()):
        if lease.holder:
            yield Finding(Code.LEASE, name, f"{lease.holder} holds a ref that is not there", name)


def recipes(session: Session, needs: Needs) -> None:
    """Add the recipes that branches are bound to to what is needed."""
    for name, recipe in session.exec(select(RefRow.name, RefRow.recipe)):
        if recipe is not None:
            needs.recipe(Digest(recipe), f"ref {name}")


def vault_facts(session: Session, needs: Needs) -> Iterator[Finding]:
    """The current branch is there, and the base model is the one that the refs' trees stand on."""
    facts = dict(session.exec(select(MetaRow.name, MetaRow.value)).all())
    branches = set(session.exec(select(RefRow.name).where(RefRow.kind == RefKind.BRANCH.value)))
    head = facts.get(Meta.HEAD)
    if head not in branches:
        yield Finding(Code.HEAD, head or "head", "the current branch is not there", "vault")
    bases = {tree.base for tree in needs.trees.values()}
    if bases and facts.get(Meta.BASE) not in bases:
        yield Finding(Code.BASE, facts.get(Meta.BASE, "base"), "no version stands on the vault's base model", "vault")


def audit_chain(session: Session) -> Iterator[Finding]:
    """The audit chain verifies from the first row to its head."""
    try:
        for fault in audit.verify(session):
            yield Finding(Code.AUDIT_CHAIN, f"audit row {fault.seq}", fault.message, "audit")
    except KvaultError as error:
        yield Finding(Code.AUDIT_CHAIN, "audit head", error.message, "audit")


def database_file(session: Session) -> Iterator[Finding]:
    """SQLite's own check of its file and of every reference between rows; PostgreSQL checks its pages itself."""
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return
    for (message,) in connection.execute(text("PRAGMA quick_check(20)")):
        if message != "ok":
            yield Finding(Code.DATABASE, "file", str(message))
    for table, row, other, _ in connection.execute(text("PRAGMA foreign_key_check")):
        yield Finding(Code.DATABASE, str(table), f"row {row} names a row of {other} that is not there")


def _audited(session: Session) -> dict[str, list[tuple[Step, Mapping[str, Any]]]]:
    """The moves of each ref as the audit chain tells them, with their details."""
    found: dict[str, list[tuple[Step, Mapping[str, Any]]]] = defaultdict(list)
    for row in audit.stream(session):
        detail = row["detail"]
        if row["verb"].startswith("ref.") and isinstance(detail, dict):
            old, new, verb, reason = (detail.get(name) for name in ("old", "new", "verb", "reason"))
            found[row["subject"]].append(((old, new, row["actor"], str(verb), str(reason), row["at"]), detail))
    return found


def _short(target: str | None) -> str:
    return "nothing" if target is None else target[:12]
