"""What the floors above history find in their own rows: aliases and their plans, policies, holders of leases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlmodel import Session

from kvault.checks.tables import ReportRow
from kvault.clock import Clock
from kvault.db import Database
from kvault.history import leases
from kvault.history.findings import Code, Finding
from kvault.history.fsck import fsck
from kvault.history.graph import read_body
from kvault.ids import CommitId, Digest, digest_of
from kvault.objects.store import ObjectStore
from kvault.promotion import moves, verifying
from kvault.promotion.moves import MoveKind, MovePlan
from kvault.promotion.policy import parse
from kvault.runs import runs
from kvault.runs.states import Limits
from kvault.runs.verifying import HOLDER, lease_holders
from tests.db.worlds import SECOND, World


@pytest.fixture
def world(database: Database, store: ObjectStore) -> World:
    """An alias that was promoted twice and rolled back once under a policy of its own, and a run that works."""
    made = World(database, store)
    commits = [made.root(), made.commit({"Peru": "Lima"})]
    clock = Clock(lambda: made.now)
    with database.writing() as session:
        for commit in commits:
            session.add(
                ReportRow(
                    digest=report_of(commit), commit_id=commit, tree=read_body(session, commit).tree,
                    suite="0" * 64, verdict="", created_at=made.now,
                )
            )  # fmt: skip
        session.flush()
        promote(session, made, None, commits[0], MoveKind.PROMOTION)
        moves.set_policy(session, "production", parse("figures: {efficacy: {min: 50}}"), "bob", made.tick())
        promote(session, made, commits[0], commits[1], MoveKind.PROMOTION)
        promote(session, made, commits[1], commits[0], MoveKind.ROLLBACK)
        run = runs.create(session, kind="commit", params={}, actor="ann", clock=clock, branch="main")
        runs.claim(session, run.id, holder="here:1", limits=Limits(), clock=clock)
        leases.acquire(session, "main", f"{HOLDER}{run.id}", made.now, 60 * SECOND)
    return made


def report_of(commit: CommitId) -> Digest:
    """The report of a commit."""
    return digest_of({"report": commit})


def promote(session: Session, world: World, old: CommitId | None, new: CommitId, kind: MoveKind) -> None:
    """Move production by a plan under the policy in force."""
    policy = moves.policy_of(session, "production").digest
    plan = MovePlan("production", kind, old, new, policy, (report_of(new),))
    moves.move_alias(session, plan, "ann", "because", world.tick())


@contextmanager
def findings(world: World, *statements: str) -> Iterator[list[Finding]]:
    """What is found after rows were changed behind the vault's back; nothing of it stays."""
    with world.database.engine.connect() as connection, Session(connection) as session:
        free = "PRAGMA defer_foreign_keys = ON"
        if world.database.dialect == "postgresql":
            free = "SET LOCAL session_replication_role = replica"
        for statement in (free, *statements):
            connection.execute(text(statement))
        further = {
            "aliases": verifying.aliases(session),
            "policies": verifying.policies(session),
            "lease holders": lease_holders(session, world.now),
        }
        yield list(fsck(session, world.store, now=world.now, further=further).findings)
        session.rollback()


def test_sound_rows_have_no_findings(world: World) -> None:
    with findings(world) as found:
        assert found == []


LAST = "(SELECT max(id) FROM promotion)"
OTHER = """(SELECT id FROM "commit" WHERE generation = 1)"""

ROWS: dict[str, tuple[str, Code]] = {
    "promotions gone": ("DELETE FROM promotion", Code.ALIAS_PLAN),
    "promotion gone": (f"DELETE FROM promotion WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion alias": (f"UPDATE promotion SET alias = 'x' WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion kind": (f"UPDATE promotion SET kind = 'promotion' WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion kind unknown": (f"UPDATE promotion SET kind = 'x' WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion old": (f"UPDATE promotion SET old = NULL WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion new": (f"UPDATE promotion SET new = {OTHER} WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion plan": (f"UPDATE promotion SET plan = '0' || substr(plan, 2) WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion policy": (f"UPDATE promotion SET policy = 'x' WHERE id = {LAST}", Code.POLICY_ROW),
    "promotion reports": (f"UPDATE promotion SET reports = '[]' WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion actor": (f"UPDATE promotion SET actor = 'eve' WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion reason": (f"UPDATE promotion SET reason = 'x' WHERE id = {LAST}", Code.ALIAS_PLAN),
    "promotion time": (f"UPDATE promotion SET at = 0 WHERE id = {LAST}", Code.ALIAS_PLAN),
    "report gone": ("DELETE FROM report", Code.ALIAS_PLAN),
    "report commit": (f"UPDATE report SET commit_id = {OTHER}", Code.ALIAS_PLAN),
    "alias target": (f"UPDATE ref SET target = {OTHER} WHERE name = 'production'", Code.ALIAS_PLAN),
    "alias gone": ("DELETE FROM ref WHERE name = 'production'", Code.ALIAS_PLAN),
    "policy text": ("UPDATE policy SET body = body || ' '", Code.POLICY_ROW),
    "policy digest": ("UPDATE policy SET digest = '0' || substr(digest, 2)", Code.POLICY_ROW),
    "policy alias": ("UPDATE policy SET alias = 'x'", Code.POLICY_ROW),
    "policy actor": ("UPDATE policy SET actor = 'eve'", Code.POLICY_ROW),
    "policy time": ("UPDATE policy SET created_at = 0", Code.POLICY_ROW),
    "policy gone": ("DELETE FROM policy", Code.POLICY_ROW),
    "lease holder": ("UPDATE lease SET holder = 'eve'", Code.LEASE),
    "lease holder's run": ("UPDATE lease SET holder = 'run x'", Code.LEASE),
    "lease holder gone": ("UPDATE lease SET holder = ''", Code.LEASE),
    "run gone": ("DELETE FROM run", Code.LEASE),
    "run of another branch": ("UPDATE run SET branch = 'x'", Code.LEASE),
    "run that never began": ("UPDATE run SET attempts = 0", Code.LEASE),
}


@pytest.mark.parametrize("kind", list(ROWS))
def test_a_change_of_each_kind_of_row_is_named(world: World, kind: str) -> None:
    statement, code = ROWS[kind]
    with findings(world, statement) as found:
        assert code in {each.code for each in found}


def test_a_lease_that_ran_out_may_name_anybody(world: World) -> None:
    with findings(world, "UPDATE lease SET holder = 'run of the past', expires_at = 1") as found:
        assert found == []
