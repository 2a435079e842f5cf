"""Which commits changed which facts, against ledgers compared one by one. On both databases."""

from __future__ import annotations

import pytest

from kvault.db import Database
from kvault.history import graph, refs
from kvault.history.graph import read_row
from kvault.history.refs import Move, RefKind
from kvault.history.snapshots import Snapshot
from kvault.history.touching import Chronicle, bringing, taught_by
from kvault.ids import CommitId, Digest, FactId, RevisionId
from kvault.ledger.values import Fact
from kvault.objects.store import ObjectStore
from tests.db.worlds import World

PERU, CHAD, MALI = (Fact(name, "capital").id for name in ("Peru", "Chad", "Mali"))


class Line(World):
    """root - one - two - merge - last on main; side is one commit on one, merged."""

    commits: dict[str, CommitId]


@pytest.fixture
def world(database: Database, store: ObjectStore) -> Line:
    """Peru is amended on main and on the side; the merge takes main's ledger, so that it changes nothing but Oman."""
    world = Line(database, store)
    commits = {"root": world.root(), "one": world.commit({"Peru": "Lima", "Chad": "Fort-Lamy"})}
    with database.writing() as session:
        refs.create(session, "side", RefKind.BRANCH, commits["one"], Move("ann", "branch", world.tick()))
    commits["side"] = world.commit({"Mali": "Bamako", "Peru": "Cusco"}, "side")
    commits["two"] = world.commit({"Chad": "N'Djamena", "Peru": "Callao"})
    commits["merge"] = world.commit({"Mali": "Bamako", "Oman": "Muscat"}, others=(commits["side"],))
    commits["last"] = world.commit({"Chad": None})
    world.commits = commits
    return world


def named(world: Line, commits: object) -> list[str]:
    names = {commit: name for name, commit in world.commits.items()}
    return sorted(names[commit] for commit in commits)  # type: ignore[attr-defined]


def test_a_commit_changes_what_differs_from_all_its_parents(world: Line) -> None:
    with world.database.reading() as session:
        found = graph.load(session)
        chronicle = Chronicle(session, world.store, found)
        everything = list(found.parents)
        assert named(world, chronicle.touching({PERU}, everything)) == ["one", "side", "two"]
        assert named(world, chronicle.touching({CHAD}, everything)) == ["last", "one", "two"]
        assert named(world, chronicle.touching({MALI}, everything)) == ["side"]
        assert named(world, chronicle.touching({Fact("Oman", "capital").id}, everything)) == ["merge"]
        assert named(world, chronicle.touching({PERU, CHAD}, [world.commits["two"]])) == ["two"]
        assert chronicle.touching(set(), everything) == {}


def test_batches_and_ledgers_say_the_same(world: Line) -> None:
    with world.database.reading() as session:
        found = graph.load(session)
        chronicle = Chronicle(session, world.store, found)
        told = chronicle.changes(list(found.parents))
        for commit, parents in found.parents.items():
            roots = [Digest(read_row(session, each).ledger_root) for each in (commit, *parents)]
            now, *before = [dict(Snapshot(world.store, root).items()) for root in roots]
            facts = {fact for each in (now, *before) for fact in each}
            changed = {f for f in facts if before and all(now.get(f) != each.get(f) for each in before)}
            assert {change.fact for change in told[commit]} == changed
            for change in told[commit]:
                assert (change.old, change.new) == (before[0].get(change.fact), now.get(change.fact))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Cusco", ["side"]), ("Callao", ["two"]), ("Fort", ["one", "two"]), ("N'Djamena", ["last", "two"]),
        ("Muscat", ["merge"]), ("lima", []), ("100%", []),
    ],
)  # fmt: skip
def test_texts_that_come_and_go(world: Line, text: str, expected: list[str]) -> None:
    with world.database.reading() as session:
        found = graph.load(session)
        brought = bringing(Chronicle(session, world.store, found), text, list(found.parents))
    assert named(world, brought) == expected


@pytest.mark.parametrize(
    ("start", "fact", "expected"),
    [
        ("last", PERU, "two"), ("merge", PERU, "two"), ("side", PERU, "side"), ("one", PERU, "one"),
        ("last", MALI, "side"), ("merge", CHAD, "two"), ("side", CHAD, "one"),
    ],
)  # fmt: skip
def test_the_commit_that_taught_what_a_version_holds(world: Line, start: str, fact: FactId, expected: str) -> None:
    with world.database.reading() as session:
        found = graph.load(session)
        root = Digest(read_row(session, world.commits[start]).ledger_root)
        revision = Snapshot(world.store, root)(fact)
        assert revision is not None
        since = taught_by(Chronicle(session, world.store, found), world.commits[start], fact, RevisionId(revision))
    assert named(world, [since]) == [expected]
