"""What is in progress on a branch: a merge, a cherry-pick or a rebase that waits for decisions, as rows.

A branch has at most one, and while it has one, verbs that would move the branch or leave it refuse and say what to
type. Nothing of an operation is visible in the branch before it publishes. Services take a session and never commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from kvault.errors import Conflict
from kvault.history import audit
from kvault.history.conflicts import Choice, Kind
from kvault.history.operation_tables import ConflictRow, OperationRow
from kvault.ids import Canonical, CommitId, FactId, RevisionId, digest_of


class Doing(StrEnum):
    """What an operation does; the value is the verb that continues it."""

    MERGE = "merge"
    PICK = "cherry-pick"
    REBASE = "rebase"


class State(StrEnum):
    """Where an operation stands."""

    OPEN = "open"
    DONE = "done"
    ABORTED = "aborted"


class OperationOpen(Conflict):
    """Something is half done on the branch."""

    code = "operation-open"


class NoOperation(Conflict):
    """There is nothing to continue or to abort."""

    code = "no-operation"


@dataclass(frozen=True, slots=True)
class Dispute:
    """One conflict or warning; ``id`` is 0 until it is stored."""

    kind: Kind
    fact: FactId | None = None
    other: FactId | None = None
    base: RevisionId | None = None
    ours: RevisionId | None = None
    theirs: RevisionId | None = None
    note: str = ""
    choice: Choice | None = None
    result: RevisionId | None = None
    id: int = 0

    @property
    def open(self) -> bool:
        """Whether it waits for a decision."""
        return self.choice is None and not self.kind.warning


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as it stands. ``todo`` are the commits that are still to be applied, ``made`` what became of the
    others; a merge has neither."""

    id: str
    branch: str
    doing: Doing
    state: State
    head: CommitId
    theirs: CommitId | None
    message: str
    actor: str
    options: Mapping[str, Canonical]
    todo: tuple[CommitId, ...] = ()
    made: tuple[CommitId, ...] = ()
    step: int = 0


def begin(
    session: Session, doing: Doing, branch: str, head: CommitId, *, actor: str, at: int, theirs: CommitId | None = None,
    message: str = "", options: Mapping[str, Canonical] | None = None, todo: Iterable[CommitId] = (),
) -> Operation:  # fmt: skip
    """Open an operation on a branch. Raises :class:`OperationOpen` where it has one."""
    refuse(session, branch)
    plan = list(todo)
    name = digest_of([doing.value, branch, head, theirs, plan, actor, at])
    detail: dict[str, Canonical] = {"options": dict(options or {}), "todo": plan, "made": [], "step": 0}
    row = OperationRow(
        id=name, branch=branch, kind=doing.value, state=State.OPEN.value, head=head, theirs=theirs, actor=actor,
        message=message, detail=dict(detail), created_at=at,
    )  # fmt: skip
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        raise OperationOpen("something was begun on this branch just now", branch=branch, remedy=_HOW) from error
    _audit(session, row, "begin", actor, at)
    return _read(row)


def current(session: Session, branch: str) -> Operation | None:
    """What is in progress on a branch."""
    row = session.exec(
        select(OperationRow).where(OperationRow.branch == branch, OperationRow.state == State.OPEN.value)
    ).first()
    return None if row is None else _read(row)


def get(session: Session, operation: str) -> Operation:
    """The operation of an id."""
    return _read(session.get_one(OperationRow, operation, populate_existing=True))


def expect(session: Session, branch: str, doing: Doing | None = None) -> Operation:
    """What is in progress on a branch. Raises :class:`NoOperation` where that is nothing, or something else."""
    found = current(session, branch)
    if found is None or (doing is not None and found.doing is not doing):
        what = "no operation" if doing is None else f"no {doing.value}"
        remedy = f"There is a {found.doing.value}: kvault {found.doing.value} --continue or --abort." if found else ""
        raise NoOperation(
            f"{what} is in progress on {branch}", branch=branch, remedy=remedy or "Nothing is to be done."
        )
    return found


def refuse(session: Session, branch: str) -> None:
    """Raise :class:`OperationOpen` where something is half done on the branch."""
    found = current(session, branch)
    if found is None:
        return
    verb = f"kvault {found.doing.value}"
    waiting = len([each for each in disputes(session, found) if each.open])
    some = "the conflict" if waiting == 1 else f"{waiting} conflicts"
    first = f"decide {some} (kvault conflicts, kvault resolve), then `{verb} --continue`"
    raise OperationOpen(
        f"a {found.doing.value} is in progress on {branch}",
        branch=branch,
        remedy=f"Either {first if waiting else f'`{verb} --continue`'}, or give it up with `{verb} --abort`.",
    )


def disputes(session: Session, operation: Operation, step: int | None = None) -> list[Dispute]:
    """The conflicts and warnings of an operation's present step, or of another one."""
    wanted = operation.step if step is None else step
    rows = session.exec(
        select(ConflictRow)
        .where(ConflictRow.operation_id == operation.id, ConflictRow.step == wanted)
        .order_by(col(ConflictRow.id))
    )
    return [_dispute(row) for row in rows]


def note(session: Session, operation: str, step: int, found: Iterable[Dispute], actor: str, at: int) -> None:
    """Add conflicts and warnings to an operation's step."""
    rows = [
        {
            "operation_id": operation,
            "step": step,
            "kind": each.kind.value,
            "fact_id": each.fact,
            "other_fact": each.other,
            "base": each.base,
            "ours": each.ours,
            "theirs": each.theirs,
            "choice": each.choice.value if each.choice else "",
            "result": each.result,
            "note": each.note,
            "actor": actor if each.choice else "",
            "decided_at": at if each.choice else None,
        }
        for each in found
    ]
    if rows:
        session.execute(insert(ConflictRow), rows)


def settle(
    session: Session, operation: Operation, dispute: Dispute, choice: Choice, result: RevisionId | None,
    *, actor: str, at: int,
) -> None:  # fmt: skip
    """Decide a conflict, or decide it anew."""
    query = update(ConflictRow).where(col(ConflictRow.id) == dispute.id)
    session.execute(query.values(choice=choice.value, result=result, actor=actor, decided_at=at))
    detail: dict[str, Canonical] = {"fact": dispute.fact, "choice": choice.value, "result": result}
    audit.append(
        session, actor=actor, verb=f"{operation.doing.value}.resolve", subject=operation.branch, detail=detail, at=at
    )


def advance(session: Session, operation: Operation, made: CommitId | None) -> Operation:
    """One commit of several is applied (None: it had nothing left to apply); the next is the present step."""
    row = session.get_one(OperationRow, operation.id, populate_existing=True)
    if row.state != State.OPEN:
        raise NoOperation("it is over already", branch=operation.branch, remedy="Nothing is to be done.")
    done = [*operation.made, *([made] if made else [])]
    row.detail = {
        "options": dict(operation.options), "todo": list(operation.todo[1:]), "made": done, "step": operation.step + 1
    }  # fmt: skip
    row.result = made or row.result
    session.add(row)
    session.flush()
    return _read(row)


def end(session: Session, operation: Operation, state: State, result: CommitId | None, *, actor: str, at: int) -> None:
    """Close an operation. Raises :class:`NoOperation` where it is closed already."""
    values = {"state": state.value, "ended_at": at, **({"result": result} if result else {})}
    query = update(OperationRow).where(col(OperationRow.id) == operation.id, col(OperationRow.state) == State.OPEN)
    if session.connection().execute(query.values(**values)).rowcount != 1:
        raise NoOperation("it is over already", branch=operation.branch, remedy="Nothing is to be done.")
    row = session.get_one(OperationRow, operation.id)
    session.refresh(row)
    _audit(session, row, state.value, actor, at)


def of_result(session: Session, commit: CommitId) -> Operation | None:
    """The finished operation whose last commit this is."""
    row = session.exec(select(OperationRow).where(OperationRow.result == commit)).first()
    return None if row is None else _read(row)


def _audit(session: Session, row: OperationRow, step: str, actor: str, at: int) -> None:
    detail: dict[str, Canonical] = {"head": row.head, "theirs": row.theirs, "result": row.result}
    audit.append(session, actor=actor, verb=f"{row.kind}.{step}", subject=row.branch, detail=detail, at=at)


def _read(row: OperationRow) -> Operation:
    options = row.detail.get("options")
    step = row.detail.get("step")
    return Operation(
        row.id,
        row.branch,
        Doing(row.kind),
        State(row.state),
        CommitId(row.head),
        CommitId(row.theirs) if row.theirs else None,
        row.message,
        row.actor,
        dict(options) if isinstance(options, Mapping) else {},
        _commits(row.detail.get("todo")),
        _commits(row.detail.get("made")),
        step if isinstance(step, int) else 0,
    )


def _commits(value: object) -> tuple[CommitId, ...]:
    return tuple(CommitId(str(each)) for each in value) if isinstance(value, list) else ()


def _dispute(row: ConflictRow) -> Dispute:
    return Dispute(
        Kind(row.kind),
        FactId(row.fact_id) if row.fact_id else None,
        FactId(row.other_fact) if row.other_fact else None,
        _revision(row.base),
        _revision(row.ours),
        _revision(row.theirs),
        row.note,
        Choice(row.choice) if row.choice else None,
        _revision(row.result),
        row.id or 0,
    )


def _revision(text: str | None) -> RevisionId | None:
    return None if text is None else RevisionId(text)


_HOW = "Look at it with `kvault conflicts`."
