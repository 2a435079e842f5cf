"""The rows of operations in progress, on both engines."""

from __future__ import annotations

import pytest
from sqlmodel import Session

from kvault.db import Database
from kvault.history import audit, graph, operations, refs
from kvault.history.conflicts import Choice, Kind
from kvault.history.operations import Dispute, Doing, NoOperation, Operation, OperationOpen, State
from kvault.ids import CommitId
from kvault.ledger.values import Fact
from kvault.objects.store import ObjectStore
from tests.db.worlds import World


@pytest.fixture
def world(database: Database, store: ObjectStore) -> World:
    """A history of three commits."""
    world = World(database, store)
    world.root()
    world.commit({"Peru": "Lima"})
    world.commit({"Chile": "Santiago"})
    return world


def line(session: Session) -> list[CommitId]:
    return list(graph.load(session).first_parents(refs.read(session, "main").target))


def begun(session: Session, world: World, doing: Doing = Doing.MERGE) -> Operation:
    tip, before, root = line(session)
    return operations.begin(
        session, doing, "main", tip, actor="ann", at=world.tick(), theirs=before, message="why", todo=[before, root],
        options={"side": "x"},
    )  # fmt: skip


def test_a_branch_has_one_operation_at_a_time(world: World) -> None:
    with world.database.writing() as session:
        made = begun(session, world)
        with pytest.raises(OperationOpen, match="merge --continue"):
            begun(session, world)
        assert operations.current(session, "main") == made == operations.expect(session, "main", Doing.MERGE)
        with pytest.raises(NoOperation, match="kvault merge"):
            operations.expect(session, "main", Doing.PICK)
        assert operations.current(session, "other") is None
        operations.end(session, made, State.ABORTED, None, actor="ann", at=world.tick())
        with pytest.raises(NoOperation):
            operations.end(session, made, State.DONE, None, actor="ann", at=world.tick())
        assert begun(session, world).state is State.OPEN
        assert not list(audit.verify(session))


def test_conflicts_are_kept_by_step_and_decided(world: World) -> None:
    with world.database.writing() as session:
        made = begun(session, world, Doing.PICK)
        fact = Fact("Peru", "capital").id
        found = [Dispute(Kind.RETRACTED, fact), Dispute(Kind.COLLIDING, note="two of a kind")]
        operations.note(session, made.id, made.step, found, "ann", world.tick())
        with pytest.raises(OperationOpen, match="decide the conflict"):
            operations.refuse(session, "main")
        first, warning = operations.disputes(session, made)
        assert (first.open, first.fact, warning.open, warning.note) == (True, fact, False, "two of a kind")
        operations.settle(session, made, first, Choice.THEIRS, None, actor="ann", at=world.tick())
        assert not any(each.open for each in operations.disputes(session, made))
        after = operations.advance(session, made, made.todo[0])
        assert (after.todo, after.made, after.step) == (made.todo[1:], made.todo[:1], 1)
        assert operations.disputes(session, after) == []
        assert len(operations.disputes(session, after, step=0)) == 2
        operations.end(session, after, State.DONE, after.made[0], actor="ann", at=world.tick())
        over = operations.of_result(session, after.made[0])
        assert over is not None
        assert over.state is State.DONE
        with pytest.raises(NoOperation):
            operations.advance(session, after, None)


def test_nothing_stays_of_an_operation_whose_transaction_failed(world: World) -> None:
    with world.database.engine.connect() as connection, Session(connection) as session:
        begun(session, world)
        session.rollback()
    with world.database.reading() as session:
        assert operations.current(session, "main") is None
