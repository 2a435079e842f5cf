"""Notes and worktrees: rows with an author, a link of the audit chain for each change. On both databases."""

from __future__ import annotations

import pytest

from kvault.db import Database
from kvault.errors import Conflict, InvalidInput, NotFound
from kvault.history import audit, meta, notes, refs, worktrees
from kvault.history.meta import Meta
from kvault.history.notes import NoteMissing
from kvault.history.refs import Move, RefKind
from kvault.history.worktrees import BranchInUse, WorktreeMissing
from kvault.ids import CommitId, digest_of
from kvault.objects.store import ObjectStore
from tests.db.worlds import World


@pytest.fixture
def world(database: Database, store: ObjectStore) -> World:
    """A vault with main and side."""
    world = World(database, store)
    first = world.root()
    with database.writing() as session:
        refs.create(session, "side", RefKind.BRANCH, first, Move("ann", "branch", world.tick()))
        refs.create(session, "v1", RefKind.TAG, first, Move("ann", "tag", world.tick()))
    return world


def head(world: World, folder: str = "") -> str:
    """The current branch as a folder's sessions see it."""
    with Database(world.database.engine, {"worktree": folder}).reading() as session:
        return meta.read(session, Meta.HEAD)


def test_notes_have_an_author_and_a_time_and_leave_the_commit_alone(world: World) -> None:
    with world.database.writing() as session:
        commit = refs.read(session, "main").target
        first = notes.add(session, commit, " Checked by the press office \r\n twice ", "ann", world.tick())
        second = notes.add(session, commit, "Not yet approved", "bob", world.tick())
        assert notes.of_commits(session, [commit]) == {commit: [first, second]} == notes.of_commits(session)
        assert first.text == "Checked by the press office \n twice"
        assert notes.of_commits(session, []) == {}
        assert refs.read(session, "main").target == commit
        assert notes.remove(session, commit, first.id, "cid", world.tick()) == [first]
        with pytest.raises(NoteMissing, match=f"no note {first.id}"):
            notes.remove(session, commit, first.id, "cid", world.tick())
        assert notes.remove(session, commit, None, "cid", world.tick()) == [second]
        with pytest.raises(NoteMissing, match="no note"):
            notes.remove(session, commit, None, "cid", world.tick())
        assert [row.verb for row in audit.rows(session, limit=4)] == ["note.remove"] * 2 + ["note.add"] * 2
        assert list(audit.verify(session)) == []


def test_a_note_needs_a_commit_and_a_text(world: World) -> None:
    with world.database.writing() as session:
        with pytest.raises(NotFound, match="no such commit"):
            notes.add(session, CommitId(digest_of("none")), "x", "ann", 1)
        for text in ("", " \n ", "a\0b"):
            with pytest.raises(InvalidInput, match="note"):
                notes.add(session, refs.read(session, "main").target, text, "ann", 1)


def test_each_folder_has_its_own_head(world: World) -> None:
    with world.database.writing() as session:
        worktrees.add(session, "/w/side", "side", "ann", world.tick())
    assert (head(world), head(world, "/w/side")) == ("main", "side")
    with world.database.writing() as session:
        refs.create(session, "third", RefKind.BRANCH, refs.read(session, "main").target, Move("ann", "b", 1))
    with Database(world.database.engine, {"worktree": "/w/side"}).writing() as session:
        worktrees.check_free(session, "side")
        with pytest.raises(BranchInUse, match="own folder"):
            worktrees.check_free(session, "main")
        meta.write(session, Meta.HEAD, "third")
    assert (head(world), head(world, "/w/side")) == ("main", "third")
    with world.database.reading() as session:
        worktrees.check_free(session, "side")
        with pytest.raises(BranchInUse, match="/w/side"):
            worktrees.check_free(session, "third")
    with pytest.raises(NotFound, match="worktree add"):
        head(world, "/w/unknown")


def test_no_branch_is_current_in_two_places(world: World) -> None:
    with world.database.writing() as session:
        made = worktrees.add(session, "/w/side", "side", "ann", world.tick())
        assert worktrees.listing(session) == [made]
        for path, branch, error in (
            ("/w/other", "main", BranchInUse),
            ("/w/other", "side", BranchInUse),
            ("/w/side", "side", Conflict),
            ("/w/other", "v1", Conflict),
            ("/w/other", "nowhere", NotFound),
            ("/" + "x" * 2000, "side", InvalidInput),
        ):
            with pytest.raises(error):
                worktrees.add(session, path, branch, "ann", world.tick())
        assert worktrees.remove(session, "/w/side", "bob", world.tick()) == made
        with pytest.raises(WorktreeMissing):
            worktrees.remove(session, "/w/side", "bob", world.tick())
        assert [row.verb for row in audit.rows(session, limit=2)] == ["worktree.remove", "worktree.add"]
