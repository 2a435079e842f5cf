"""Publishing: all of a commit or none of it, once a run, and only on the head it was made from."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlmodel import select

from kvault.db import Database
from kvault.errors import InvalidInput, KvaultError, NotFound
from kvault.history import audit, leases, records, refs
from kvault.history.commits import decode
from kvault.history.diff import commit_diff
from kvault.history.graph import load, read_row
from kvault.history.publish import AlreadyPublished, BatchNotSealed, Publication, commit_of_run, packs_of, publish
from kvault.history.refs import Move, RefKind
from kvault.ids import CommitId, RecordId, RunId
from kvault.ledger.tables import BatchRow
from kvault.objects.store import ObjectStore
from tests.db.worlds import SECOND, World, name


@pytest.fixture
def world(database: Database, store: ObjectStore) -> World:
    """A vault with its first commit."""
    world = World(database, store)
    world.root()
    return world


def counts(database: Database) -> tuple[int, int, int, int]:
    """How many commits, moves, audit rows and applied batches there are."""
    with database.reading() as session:
        return (
            len(load(session).parents),
            len(refs.reflog(session, "main")),
            audit.head(session).seq,
            len(session.exec(select(BatchRow.id).where(BatchRow.state == "applied")).all()),
        )


def attempt(world: World, publication: Publication) -> CommitId:
    """Lease the branch and publish, in one transaction each as a worker does."""
    with world.database.writing() as session:
        lease = leases.acquire(session, publication.branch, f"worker {world.tick()}", world.now, 60 * SECOND)
    try:
        with world.database.writing() as session:
            return publish(session, replace(publication, lease=lease))
    finally:
        with world.database.writing() as session:
            leases.release(session, lease)


def test_all_of_a_commit_becomes_true_at_once(world: World) -> None:
    publication = world.prepare({"Peru": "Lima", "Chad": "N'Djamena"}, message="two capitals")
    commit = attempt(world, publication)
    with world.database.reading() as session:
        row = read_row(session, commit)
        assert decode(row.body.encode()) == publication.body
        assert (row.generation, row.message, row.batch_id) == (1, "two capitals", publication.batch_id)
        ref = refs.read(session, "main")
        assert (ref.target, ref.recipe) == (commit, world.recipe)
        assert packs_of(session, commit) == publication.packs
        assert refs.reflog(session, "main")[0].reason == "two capitals"
        batch = session.get(BatchRow, publication.batch_id)
        assert batch is not None
        assert batch.state == "applied"
    assert counts(world.database) == (2, 2, 2, 1)


def test_a_commit_on_a_moved_head_changes_nothing(world: World) -> None:
    late = world.prepare({"Peru": "Lima"})
    world.commit({"Chad": "N'Djamena"})
    before = counts(world.database)
    with pytest.raises(refs.RefMoved, match="Solve again"):
        attempt(world, late)
    assert counts(world.database) == before


def test_a_stale_fence_publishes_nothing(world: World) -> None:
    publication = world.prepare({"Peru": "Lima"})
    with world.database.writing() as session:
        slept = leases.acquire(session, "main", "one", world.now, SECOND)
    world.now += 10 * SECOND
    with world.database.writing() as session:
        taken = leases.acquire(session, "main", "two", world.now, 60 * SECOND)
    before = counts(world.database)

    def late() -> None:
        with world.database.writing() as session:
            publish(session, replace(publication, lease=slept))

    with pytest.raises(leases.StaleFence):
        late()
    assert counts(world.database) == before
    with world.database.writing() as session:
        publish(session, replace(publication, lease=taken))


def test_a_batch_is_applied_once_and_only_as_it_was_sealed(world: World) -> None:
    publication = world.prepare({"Peru": "Lima"})
    other = replace(publication, body=replace(publication.body, batch=name("another batch")))
    before = counts(world.database)
    with pytest.raises(BatchNotSealed):
        attempt(world, other)
    assert counts(world.database) == before
    commit = attempt(world, publication)
    again = replace(publication, body=replace(publication.body, parents=(commit,), records_added=(), message="again"))
    with pytest.raises(BatchNotSealed, match="applied before"):
        attempt(world, again)
    assert counts(world.database) == (2, 2, 2, 1)


def test_a_run_has_one_commit(world: World) -> None:
    publication = world.prepare({"Peru": "Lima"})
    publication = replace(publication, body=replace(publication.body, run=RunId("run-1")))
    commit = attempt(world, publication)
    before = counts(world.database)
    with pytest.raises(AlreadyPublished) as caught:
        attempt(world, publication)
    assert caught.value.commit == commit
    assert counts(world.database) == before
    with world.database.reading() as session:
        assert commit_of_run(session, RunId("run-1")) == commit
        assert commit_of_run(session, RunId("run-2")) is None


def test_what_a_commit_needs_is_asked_for(world: World) -> None:
    publication = world.prepare({"Peru": "Lima"})
    with world.database.writing() as session, pytest.raises(InvalidInput, match="lease"):
        publish(session, publication)
    orphan = replace(publication, branch="new", body=replace(publication.body, parents=(CommitId(name("none")),)))
    with world.database.writing() as session, pytest.raises(NotFound, match="commit"):
        publish(session, orphan)
    with world.database.writing() as session:
        tag = refs.create(
            session, "v1", RefKind.TAG, refs.read(session, "main").target, Move("ann", "tag", world.tick())
        )
    with world.database.writing() as session, pytest.raises(InvalidInput, match="branch"):
        publish(session, replace(publication, branch=tag.name))


def test_a_commit_may_start_a_branch(world: World) -> None:
    publication = replace(world.prepare({"Peru": "Lima"}), branch="eu")
    with world.database.writing() as session:
        commit = publish(session, publication)
        assert refs.read(session, "eu") == refs.Ref("eu", RefKind.BRANCH, commit, 0, world.recipe)


def test_a_merge_has_its_parents_in_order(world: World) -> None:
    first = world.commit({"Peru": "Lima"})
    with world.database.writing() as session:
        refs.create(session, "eu", RefKind.BRANCH, first, Move("ann", "branch", world.tick()))
    left = world.commit({"Chad": "N'Djamena"})
    right = world.commit({"Mali": "Bamako"}, "eu")
    merge = world.commit({"Oman": "Muscat"}, others=(right,))
    with world.database.reading() as session:
        graph = load(session)
        assert graph.parents[merge] == (left, right)
        assert graph.merge_bases(left, right) == [first]
        assert read_row(session, merge).generation == 3
        assert list(graph.log([merge]))[:3] == [merge, right, left]


def test_a_difference_of_commits_is_told_by_fact_and_record(world: World) -> None:
    first = world.commit({"Peru": "Lima", "Chad": "Fort-Lamy"})
    second = world.commit({"Chad": "N'Djamena", "Mali": "Bamako"})
    with world.database.reading() as session:
        old, new = (decode(read_row(session, commit).body.encode()) for commit in (first, second))
    found = commit_diff(world.store, old, new)
    assert sorted((change.old is None, change.new is None) for change in found.facts) == [(False, False), (True, False)]
    assert found.records_added == tuple(sorted(new.records_added))
    assert found.records_removed == ()
    assert commit_diff(world.store, old, old) == type(found)((), (), (), same_tree=True)


def test_the_first_record_of_a_group_counts(world: World) -> None:
    group, other = name("group"), name("other")
    with world.database.writing() as session:
        mine = records.remember(session, world.recipe, {group: RecordId(name("mine"))}, 1)
        late = records.remember(session, world.recipe, {group: RecordId(name("late")), other: RecordId(name("new"))}, 2)
        assert mine == {group: name("mine")}
        assert late == {group: name("mine"), other: name("new")}
        assert records.find(session, world.recipe, [group, name("never")]) == mine


def test_of_two_workers_on_one_head_one_wins(world: World) -> None:
    """Even without a common sense of leases, the branch moves once from one head."""
    rivals = [world.prepare({"Peru": "Lima"}), world.prepare({"Peru": "Cusco"})]
    with world.database.writing() as session:
        lease = leases.acquire(session, "main", "both", world.now, 600 * SECOND)

    def work(publication: Publication) -> CommitId | KvaultError:
        try:
            with world.database.writing() as session:
                return publish(session, replace(publication, lease=lease))
        except KvaultError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(work, rivals))
    assert sum(isinstance(result, refs.RefMoved) for result in results) == 1
    (winner,) = (result for result in results if not isinstance(result, KvaultError))
    with world.database.reading() as session:
        assert refs.read(session, "main").target == winner
        assert list(audit.verify(session)) == []
    assert counts(world.database) == (2, 2, 2, 1)


KILLED = """if True:
    import os, pickle, signal, sys
    from kvault.db import Database
    from kvault.history import publish, refs
    publication = pickle.loads(sys.stdin.buffer.read())
    step = sys.argv[2]
    if step == "reflog":
        refs._note = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    database = Database.open(sys.argv[1])
    with database.writing() as session:
        publish.publish(session, publication)
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("step", ["reflog", "commit"])
def test_a_killed_publisher_leaves_nothing(database_url: str, tmp_path: Path, step: str) -> None:
    world = World(Database.open(database_url), ObjectStore.open(str(tmp_path / "objects")))
    world.root()
    publication = world.prepare({"Peru": "Lima"})
    with world.database.writing() as session:
        lease = leases.acquire(session, "main", "one", world.now, 600 * SECOND)
    publication = replace(publication, lease=lease)
    before = counts(world.database)
    command = [sys.executable, "-c", KILLED, database_url, step]
    assert subprocess.run(command, input=pickle.dumps(publication), check=False).returncode == -9
    assert counts(world.database) == before
    with world.database.writing() as session:
        publish(session, publication)
    assert counts(world.database) == (2, 2, 2, 1)
    world.database.close()
