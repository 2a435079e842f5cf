"""fsck names every changed row of what is said beside commits and of what is under way."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlmodel import Session

from kvault.db import Database
from kvault.history import notes, operations, refs, signatures
from kvault.history.findings import Code
from kvault.history.fsck import fsck
from kvault.history.operations import Doing
from kvault.history.refs import Move, RefKind
from kvault.history.signatures import Scheme, Signature, Signed, Statement
from kvault.history.tables import BisectRow, WorktreeRow
from kvault.ids import CommitId
from kvault.ledger.batches import verify_sealed
from kvault.objects.store import ObjectStore
from tests.db.worlds import World


@pytest.fixture
def world(database: Database, store: ObjectStore) -> World:
    """Two notes, one of them removed; a signature; a search, a folder and a merge under way on branches."""
    world = World(database, store)
    root = world.root()
    with database.writing() as session:
        for name in ("side", "other"):
            refs.create(session, name, RefKind.BRANCH, root, Move("ann", "branch", world.tick()))
    commit = world.commit({"Peru": "Lima"})
    with database.writing() as session:
        notes.add(session, commit, "looked at", "ann", world.tick())
        gone = notes.add(session, commit, "a slip", "ann", world.tick())
        notes.remove(session, commit, gone.id, "ann", world.tick())
        signatures.add(session, _signature(commit, world.tick()))
        session.add(BisectRow(branch="side", steps=[], started_at=world.now))
        session.add(WorktreeRow(path="/somewhere", branch="other", actor="ann", created_at=world.now))
        operations.begin(session, Doing.MERGE, "main", commit, actor="ann", at=world.tick(), theirs=root)
    return world


def _signature(commit: CommitId, at: int) -> Signature:
    return Signature(Statement(Signed.COMMIT, commit), Scheme.ED25519, "ssh-ed25519 AAAA", "c2lnbmVk", "ann", at)


def _found(world: World) -> set[Code]:
    with world.database.reading() as session:
        checkup = fsck(session, world.store, now=world.now, verify_batch=verify_sealed)
    return {each.code for each in checkup.findings}


def test_a_sound_vault_has_no_finding(world: World) -> None:
    assert _found(world) == set()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("UPDATE note SET text = 'looked over'", Code.NOTE_ROW),
        ("UPDATE note SET author = 'bob'", Code.NOTE_ROW),
        ("UPDATE note SET created_at = created_at + 1", Code.NOTE_ROW),
        ("DELETE FROM note", Code.NOTE_ROW),
        ("UPDATE signature SET signature = 'b3RoZXI='", Code.SIGNATURE_ROW),
        ("UPDATE signature SET key = 'ssh-ed25519 BBBB'", Code.SIGNATURE_ROW),
        ("UPDATE signature SET kind = 'tag'", Code.SIGNATURE_ROW),
        ("UPDATE signature SET scheme = 'none'", Code.SIGNATURE_ROW),
        ("UPDATE signature SET signer = 'bob'", Code.SIGNATURE_ROW),
        ("UPDATE signature SET created_at = 5", Code.SIGNATURE_ROW),
        ("DELETE FROM signature", Code.SIGNATURE_ROW),
        ("UPDATE bisect SET branch = 'gone'", Code.BISECT_ROW),
        ("UPDATE worktree SET branch = 'gone'", Code.WORKTREE_ROW),
        ("UPDATE operation SET branch = 'gone'", Code.OPERATION_ROW),
        ("UPDATE operation SET state = 'asleep'", Code.OPERATION_ROW),
    ],
)
def test_a_changed_row_is_named(world: World, change: str, code: Code) -> None:
    with world.database.writing() as session:
        _run(session, change)
    assert code in _found(world)


def _run(session: Session, change: str) -> None:
    assert session.connection().execute(text(change)).rowcount == 1
