"""fsck works every merge out again from its parents and its own resolutions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvault.db import Database
from kvault.history import leases, publish, refs
from kvault.history.findings import Code
from kvault.history.fsck import fsck
from kvault.history.graph import read_body
from kvault.history.refs import Move, RefKind
from kvault.history.snapshots import Snapshot
from kvault.ids import CommitId, FactId
from kvault.ledger.batches import verify_sealed
from kvault.ledger.values import Fact
from kvault.objects.store import ObjectStore
from tests.db.worlds import SECOND, World

PERU, CHILE = Fact("Peru", "capital").id, Fact("Chile", "capital").id


@pytest.fixture
def world(database: Database, store: ObjectStore) -> World:
    """main and side disagree on Peru; side alone has Chile."""
    world = World(database, store)
    root = world.root()
    with database.writing() as session:
        refs.create(session, "side", RefKind.BRANCH, root, Move("ann", "branch", world.tick()))
    world.commit({"Peru": "Lima"})
    world.commit({"Peru": "Cusco", "Chile": "Santiago"}, "side")
    return world


def merge(world: World, changes: dict[str, str | None], resolutions: dict[str, str | None]) -> CommitId:
    """A merge of side into main that changes this and claims these resolutions."""
    with world.database.reading() as session:
        theirs = refs.read(session, "side").target
    made = world.prepare(changes, "main", "merge", (theirs,))
    body = replace(made.body, verb="merge", arguments={"theirs": theirs, "resolutions": resolutions})
    with world.database.writing() as session:
        lease = leases.acquire(session, "main", "worker", world.now, 60 * SECOND)
        commit = publish.publish(session, replace(made, body=body, lease=lease))
        leases.release(session, lease)
    return commit


def found(world: World) -> list[tuple[Code, str]]:
    with world.database.reading() as session:
        checkup = fsck(session, world.store, now=world.now, verify_batch=verify_sealed)
    return [(each.code, each.object) for each in checkup.findings]


def revision(world: World, fact: FactId, branch: str) -> str:
    with world.database.reading() as session:
        root = read_body(session, refs.read(session, branch).target).ledger_root
    return str(Snapshot(world.store, root)(fact))


def test_a_merge_that_is_its_resolution_is_sound(world: World) -> None:
    merge(world, {"Chile": "Santiago", "Peru": "Cusco"}, {PERU: revision(world, PERU, "side")})
    assert found(world) == []


@pytest.mark.parametrize(
    ("changes", "resolved"),
    [
        ({"Chile": "Santiago"}, False),
        ({"Chile": "Santiago", "Peru": "Cusco"}, False),
        ({"Peru": "Cusco"}, True),
        ({"Chile": "Santiago", "Peru": "Arequipa"}, True),
        ({"Chile": "Santiago", "Peru": "Cusco", "Kenya": "Nairobi"}, True),
    ],
)
def test_what_nobody_decided_is_named(world: World, changes: dict[str, str | None], resolved: bool) -> None:
    commit = merge(world, changes, {PERU: revision(world, PERU, "side")} if resolved else {})
    assert found(world) == [(Code.MERGE_RESOLUTION, commit)]
