"""Moves of an alias on both databases: all of it or nothing, and only what the plan names."""

from __future__ import annotations

import threading

import pytest
from sqlmodel import Session, select

from kvault.checks.tables import ReportRow
from kvault.db import Database
from kvault.errors import Conflict, InvalidInput, KvaultError
from kvault.history import audit, refs
from kvault.history.commits import CommitBody
from kvault.history.publish import insert_commit
from kvault.ids import CommitId, Digest, digest_of
from kvault.promotion import moves
from kvault.promotion.moves import MoveKind, MovePlan, NoAlias, NothingToRollBack, PlanStale
from kvault.promotion.policy import parse
from kvault.promotion.tables import PromotionRow

NOW = 1_700_000_000_000_000


@pytest.fixture
def commits(database: Database) -> list[CommitId]:
    """Three commits in a line, each with a report."""
    found: list[CommitId] = []
    with database.writing() as session:
        for number in range(3):
            body = CommitBody(
                tree=digest_of({"tree": number}),
                ledger_root=digest_of({"ledger": number}),
                parents=tuple(found[-1:]),
                verb="commit",
                author="ann",
                committer="ann",
                authored_at=NOW + number,
                committed_at=NOW + number,
            )
            commit = insert_commit(session, body)
            session.flush()
            session.add(
                ReportRow(
                    digest=report_of(commit),
                    commit_id=commit,
                    tree=body.tree,
                    suite="0" * 64,
                    verdict="",
                    created_at=NOW,
                )
            )
            found.append(commit)
    return found


def report_of(commit: CommitId) -> Digest:
    """The report of a commit."""
    return digest_of({"report": commit})


def plan(session: Session, old: CommitId | None, new: CommitId, kind: MoveKind = MoveKind.PROMOTION) -> MovePlan:
    """A plan under the policy in force."""
    policy = moves.policy_of(session, "production").digest
    return MovePlan("production", kind, old, new, policy, (report_of(new),))


def move(database: Database, old: CommitId | None, new: CommitId, kind: MoveKind = MoveKind.PROMOTION) -> None:
    """Plan a move and do it."""
    with database.writing() as session:
        moves.move_alias(session, plan(session, old, new, kind), "ann", "because", NOW)


def stands(database: Database) -> tuple[CommitId | None, int]:
    """Where the alias is, and how many promotions there are."""
    with database.reading() as session:
        ref = refs.find(session, "production")
        return (None if ref is None else ref.target), len(list(session.exec(select(PromotionRow))))


def test_an_alias_moves_with_its_row_its_reflog_and_its_audit(database: Database, commits: list[CommitId]) -> None:
    move(database, None, commits[0])
    move(database, commits[0], commits[1])
    assert stands(database) == (commits[1], 2)
    with database.reading() as session:
        row = session.exec(select(PromotionRow).where(PromotionRow.new == commits[1])).one()
        assert (row.old, row.kind, row.reports, row.actor) == (commits[0], "promotion", [report_of(commits[1])], "ann")
        assert row.plan == plan(session, commits[0], commits[1]).digest
        assert [each.new for each in refs.reflog(session, "production")] == [commits[1], commits[0]]
        assert [each.verb for each in audit.rows(session, limit=2)] == ["promotion", "ref.move"]
        assert list(audit.verify(session)) == []


def test_a_rollback_walks_back_and_no_further(database: Database, commits: list[CommitId]) -> None:
    for old, new in zip([None, *commits], commits, strict=False):
        move(database, old, new)
    for expected in (commits[1], commits[0]):
        with database.writing() as session:
            now, former, reports = moves.former_target(session, "production")
            assert former == expected
            assert list(reports) == [report_of(expected)]
            moves.move_alias(session, plan(session, now, former, MoveKind.ROLLBACK), "ann", "", NOW)
    with database.reading() as session, pytest.raises(NothingToRollBack):
        moves.former_target(session, "production")
    move(database, commits[0], commits[2])
    with database.reading() as session:
        assert moves.former_target(session, "production")[1] == commits[0]


def refused(database: Database, made: MovePlan, error: type[KvaultError]) -> None:
    """The move is refused and leaves nothing behind."""
    before = stands(database)
    with pytest.raises(error), database.writing() as session:
        moves.move_alias(session, made, "ann", "", NOW)
    assert stands(database) == before


def test_a_stale_plan_moves_nothing(database: Database, commits: list[CommitId]) -> None:
    move(database, None, commits[0])
    with database.reading() as session:
        good = plan(session, commits[0], commits[1])
        policy = good.policy
    refused(database, MovePlan("production", good.kind, None, commits[1], policy, good.reports), PlanStale)
    refused(database, MovePlan("production", good.kind, commits[2], commits[1], policy, good.reports), PlanStale)
    refused(database, MovePlan("production", good.kind, commits[0], commits[1], policy, ()), PlanStale)
    other = (report_of(commits[2]),)
    refused(database, MovePlan("production", good.kind, commits[0], commits[1], policy, other), PlanStale)
    same = MovePlan("production", good.kind, commits[0], commits[0], policy, (report_of(commits[0]),))
    refused(database, same, Conflict)
    with database.writing() as session:
        moves.set_policy(session, "production", parse("figures: {efficacy: {min: 50}}"), "bob", NOW)
    refused(database, good, PlanStale)


def test_a_branch_is_no_alias(database: Database, commits: list[CommitId]) -> None:
    with database.writing() as session:
        refs.create(session, "production", refs.RefKind.BRANCH, commits[0], refs.Move("ann", "branch", NOW))
    with database.reading() as session:
        made = plan(session, commits[0], commits[1])
    refused(database, made, NoAlias)
    with database.writing() as session:
        for act in (
            lambda: moves.find_alias(session, "production"),
            lambda: moves.former_target(session, "production"),
            lambda: moves.set_policy(session, "production", parse("figures: {efficacy: {min: 50}}"), "bob", NOW),
        ):
            with pytest.raises(NoAlias, match="production is a branch") as caught:
                act()
            assert (caught.value.exit_status, "Name an alias" in caught.value.remedy) == (4, True)


def test_the_names_of_aliases_are_kept_for_them(database: Database, commits: list[CommitId]) -> None:
    with database.writing() as session:
        moves.set_policy(session, "staging", parse("figures: {efficacy: {min: 50}}"), "bob", NOW)
        for name in ("production", "staging"):
            with pytest.raises(NoAlias) as caught:
                moves.refuse_alias_name(session, name)
            assert caught.value.exit_status == 4
            assert caught.value.remedy
        moves.refuse_alias_name(session, "release")
        with pytest.raises(NothingToRollBack):
            moves.former_target(session, "production")


def test_the_newest_policy_is_in_force(database: Database) -> None:
    with database.writing() as session:
        before = moves.policy_of(session, "production").digest
        changed = parse("figures: {efficacy: {min: 50}}")
        moves.set_policy(session, "production", changed, "bob", NOW)
        assert moves.policy_of(session, "production").digest == changed.digest != before
        assert moves.policy_of(session, "staging").digest == before
        with pytest.raises(InvalidInput):
            moves.set_policy(session, "..", changed, "bob", NOW)


def test_what_a_plans_name_depends_on(commits: list[CommitId]) -> None:
    policy, report = digest_of("p"), digest_of("r")
    base = MovePlan("production", MoveKind.PROMOTION, commits[0], commits[1], policy, (report,))
    others = [
        MovePlan("staging", base.kind, base.old, base.new, policy, (report,)),
        MovePlan("production", MoveKind.ROLLBACK, base.old, base.new, policy, (report,)),
        MovePlan("production", base.kind, None, base.new, policy, (report,)),
        MovePlan("production", base.kind, base.old, commits[2], policy, (report,)),
        MovePlan("production", base.kind, base.old, base.new, report, (report,)),
        MovePlan("production", base.kind, base.old, base.new, policy, (policy,)),
    ]
    assert len({each.digest for each in (base, *others)}) == 7


def test_of_two_promotions_at_once_one_is_done(database: Database, commits: list[CommitId]) -> None:
    move(database, None, commits[0])
    with database.reading() as session:
        made = [plan(session, commits[0], commit) for commit in commits[1:]]
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def promote(wanted: MovePlan) -> None:
        barrier.wait(10)
        try:
            with database.writing() as session:
                moves.move_alias(session, wanted, "ann", "", NOW)
            outcomes.append("done")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=promote, args=(each,)) for each in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["done", "refused"]
    assert stands(database)[1] == 2
    with database.reading() as session:
        assert list(audit.verify(session)) == []
