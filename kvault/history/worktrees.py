"""Further folders on one vault, each with a current branch of its own.

Database and objects are shared, so a worktree is one row and one small file. No branch is current in two places: what
is staged on it would then be two people's at once. This module knows rows and no files.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlmodel import Session, col, select

from kvault.errors import Conflict, InvalidInput, NotFound
from kvault.history import audit, refs
from kvault.history.meta import WORKTREE, Meta
from kvault.history.tables import MetaRow, WorktreeRow

PATH_LIMIT = 1000
_REMEDY = "Work there, or switch that folder to another branch."


class BranchInUse(Conflict):
    """The branch is the current one of another folder."""

    code = "branch-in-use"


class WorktreeMissing(NotFound):
    """The vault has no such further folder."""

    code = "unknown-worktree"


@dataclass(frozen=True, slots=True)
class Worktree:
    """A further folder and its current branch."""

    path: str
    branch: str
    actor: str = ""
    at: int = 0


def listing(session: Session) -> list[Worktree]:
    """The further folders, by path."""
    rows = session.exec(select(WorktreeRow).order_by(col(WorktreeRow.path)))
    return [Worktree(row.path, row.branch, row.actor, row.created_at) for row in rows]


def check_free(session: Session, branch: str) -> None:
    """Raise :class:`BranchInUse` where a branch is current in another folder than the session's own."""
    here = session.info.get(WORKTREE, "")
    for other in listing(session):
        if other.branch == branch and other.path != here:
            raise BranchInUse("the branch is current elsewhere", name=branch, worktree=other.path, remedy=_REMEDY)
    if here and main_branch(session) == branch:
        raise BranchInUse("the branch is current in the vault's own folder", name=branch, remedy=_REMEDY)


def add(session: Session, path: str, branch: str, actor: str, at: int) -> Worktree:
    """Note a further folder with ``branch`` as its current one.

    Raises :class:`BranchInUse`, :class:`Conflict` for a folder that is noted already, and as :func:`refs.lock`.
    """
    if len(path) > PATH_LIMIT:
        raise InvalidInput("the path is too long", field="path", path=path, remedy="Choose a shorter one.")
    ref = refs.lock(session, branch)
    if ref.kind is not refs.RefKind.BRANCH:
        raise Conflict(f"{branch} is a {ref.kind.value}", name=branch, remedy="Name a branch.")
    if session.get(WorktreeRow, path) is not None:
        raise Conflict("this folder is a worktree already", path=path, remedy="See `kvault worktree list`.")
    check_free(session, branch)
    if branch in (main_branch(session), *(each.branch for each in listing(session))):
        raise BranchInUse(
            "the branch is current here", name=branch, remedy="Name another branch, or none for a new one."
        )
    session.add(WorktreeRow(path=path, branch=branch, actor=actor, created_at=at))
    session.flush()
    audit.append(session, actor=actor, verb="worktree.add", subject=branch, detail={"path": path}, at=at)
    return Worktree(path, branch, actor, at)


def remove(session: Session, path: str, actor: str, at: int) -> Worktree:
    """Forget a further folder; its branch stays. Raises :class:`WorktreeMissing`."""
    row = session.get(WorktreeRow, path)
    if row is None:
        raise WorktreeMissing("the vault has no such worktree", path=path, remedy="See `kvault worktree list`.")
    gone = Worktree(row.path, row.branch, row.actor, row.created_at)
    session.delete(row)
    session.flush()
    audit.append(session, actor=actor, verb="worktree.remove", subject=row.branch, detail={"path": path}, at=at)
    return gone


def main_branch(session: Session) -> str:
    """The current branch of the vault's own folder, whichever folder asks."""
    row = session.get(MetaRow, Meta.HEAD.value)
    return "" if row is None else row.value
