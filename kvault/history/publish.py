"""Making a version visible: the one moment at which a finished commit becomes part of the vault.

Its objects are in the store before. Here its row, its edges, its packs, the move of its branch, the reflog, the audit
link and the end of its batch become true in the caller's one transaction, or none of them does. A branch moves only
from the commit's first parent and only under the fence of the day; a run that has its commit gets no second one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import insert, update
from sqlmodel import Session, col, select

from kvault.errors import Conflict, InvalidInput
from kvault.history import refs
from kvault.history.commits import CommitBody, encode
from kvault.history.graph import read_row
from kvault.history.leases import Lease
from kvault.history.tables import CommitRow, PackRow, ParentRow
from kvault.ids import BatchId, CommitId, Digest, RecipeId, RunId
from kvault.ledger.tables import BatchRow


class Pack(StrEnum):
    """What may be kept beside a commit to show or rebuild it faster; never part of its id."""

    DELTA = "delta"
    KEYFRAME = "keyframe"
    REPORT = "report"


class AlreadyPublished(Conflict):
    """The run has its commit; ``commit`` is its id."""

    code = "already-published"

    def __init__(self, run: str, commit: CommitId) -> None:
        super().__init__("the run has made its commit already", run=run, commit=commit, remedy="Take that commit.")
        self.commit = commit


class BatchNotSealed(Conflict):
    """The batch is not a sealed one with the digest that the commit names."""

    code = "batch-not-sealed"


@dataclass(frozen=True, slots=True)
class Publication:
    """A finished commit and where it goes.

    ``lease`` may be left out only for a commit that starts a new branch. ``recipe`` fixes the branch's ridge recipe.
    """

    branch: str
    body: CommitBody
    lease: Lease | None = None
    batch_id: BatchId | None = None
    packs: Mapping[Pack, Digest] = field(default_factory=dict)
    recipe: RecipeId | None = None
    reason: str = ""


def publish(session: Session, publication: Publication) -> CommitId:
    """Publish a commit in the caller's writing transaction and return its id; raise and change nothing otherwise.

    Raises :class:`AlreadyPublished`, :class:`~kvault.history.refs.RefMoved` when the branch is not at the first parent,
    :class:`~kvault.history.leases.StaleFence`, :class:`BatchNotSealed`, and ``NotFound`` for an unknown parent.
    """
    body = publication.body
    if body.run is not None and (made := commit_of_run(session, body.run)):
        raise AlreadyPublished(body.run, made)
    ref = refs.find(session, publication.branch)
    if ref is not None:
        ref = refs.lock(session, publication.branch)
        _check_base(publication, ref)
    commit = insert_commit(session, body, publication.batch_id, publication.packs)
    _apply_batch(session, publication)
    move = refs.Move(body.committer, body.verb, body.committed_at, publication.reason or _subject_line(body.message))
    if ref is None:
        branch = refs.RefKind.BRANCH
        refs.create(session, publication.branch, branch, commit, move, recipe=publication.recipe)
    else:
        refs.move_to(session, ref, commit, move, lease=publication.lease, recipe=publication.recipe)
    return commit


def insert_commit(
    session: Session, body: CommitBody, batch_id: BatchId | None = None, packs: Mapping[Pack, Digest] | None = None
) -> CommitId:
    """Write a commit's rows without moving a ref; a commit that is there already is left as it is."""
    commit = body.id
    if session.get(CommitRow, commit) is not None:
        return commit
    generation = 1 + max((read_row(session, parent).generation for parent in body.parents), default=-1)
    connection = session.connection()
    connection.execute(
        insert(CommitRow).values(
            id=commit,
            body=encode(body).decode("utf-8"),
            tree=body.tree,
            ledger_root=body.ledger_root,
            batch_id=batch_id,
            generation=generation,
            author=body.author,
            message=body.message,
            verb=body.verb,
            run=body.run,
            created_at=body.committed_at,
        )
    )
    for position, parent in enumerate(body.parents):
        connection.execute(insert(ParentRow).values(child=commit, position=position, parent=parent))
    for kind, digest in sorted((packs or {}).items()):
        connection.execute(insert(PackRow).values(commit_id=commit, kind=kind.value, digest=digest))
    return commit


def commit_of_run(session: Session, run: RunId) -> CommitId | None:
    """The commit that a run made, or None."""
    found = session.exec(select(CommitRow.id).where(CommitRow.run == run)).first()
    return None if found is None else CommitId(found)


def packs_of(session: Session, commit: CommitId) -> dict[Pack, Digest]:
    """What is kept beside a commit."""
    rows = session.exec(select(PackRow).where(PackRow.commit_id == commit))
    return {Pack(row.kind): Digest(row.digest) for row in rows}


def _check_base(publication: Publication, ref: refs.Ref) -> None:
    body = publication.body
    if ref.kind is not refs.RefKind.BRANCH:
        raise InvalidInput(f"{ref.name} is a {ref.kind.value}", field="branch", remedy="Commit on a branch.")
    if publication.lease is None:
        raise InvalidInput("the branch is there and no lease was given", name=ref.name, remedy="Lease it first.")
    if not body.parents or body.parents[0] != ref.target:
        raise refs.RefMoved(
            f"{ref.name} has moved on to {ref.target[:12]}",
            name=ref.name, remedy="Solve again from its new head and publish that.",
        )  # fmt: skip


def _apply_batch(session: Session, publication: Publication) -> None:
    if publication.batch_id is None:
        return
    query = update(BatchRow).where(col(BatchRow.id) == publication.batch_id, col(BatchRow.state) == "sealed")
    query = query.where(col(BatchRow.digest) == publication.body.batch)
    if session.connection().execute(query.values(state="applied")).rowcount != 1:
        raise BatchNotSealed(
            "the batch is not sealed as the commit says, or was applied before; nothing was published",
            batch=publication.batch_id, remedy="Seal the batch again and repeat the commit.",
        )  # fmt: skip


def _subject_line(message: str) -> str:
    return message.partition("\n")[0][: refs.REASON_LIMIT]
