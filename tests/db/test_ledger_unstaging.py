"""Taking staged changes back, and what a change without a day may not pass over. On both databases."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from kvault.clock import Clock
from kvault.db import Database
from kvault.ids import FactId, RevisionId
from kvault.ledger import batches, service
from kvault.ledger.importing import ImportOptions, ImportResult, import_rows
from kvault.ledger.reading import parse_rows
from kvault.ledger.refusals import Contradiction, UnknownFact
from kvault.ledger.relations import parse_relations, register
from kvault.ledger.service import Statement
from kvault.ledger.staging import Ledger, outcome
from kvault.ledger.unstaging import NotStaged, unstage
from kvault.ledger.values import Action, Change

RELATIONS = """
- {id: head, statement: "The head of {subject} is"}
- {id: border, statement: "{subject} borders", cardinality: many}
"""
YEARS = "subject,relation,object,valid_from\n" + "".join(f"Peru,head,P{y},{y}-05-01\n" for y in (2015, 2016, 2099))
Bring = Callable[..., ImportResult]


@pytest.fixture
def clock() -> Clock:
    """A clock that moves one microsecond a reading."""
    ticks = iter(range(1_700_000_000_000_000, 1_700_000_001_000_000))
    return Clock(lambda: next(ticks))


@pytest.fixture
def bring(database: Database, clock: Clock) -> Bring:
    """Imports rows given as text."""
    with database.writing() as session:
        register(session, parse_relations(RELATIONS, "a.yaml"), clock)

    def run(rows: str, ledger: dict[FactId, RevisionId] | None = None, **options: bool) -> ImportResult:
        with database.writing() as session:
            parsed = parse_rows(rows.encode(), "a.csv")
            return import_rows(session, "main", "ann", Ledger(ledger or {}), parsed, clock, ImportOptions(**options))

    return run


def staged(database: Database) -> list[Change]:
    """What is staged on main."""
    with database.reading() as session:
        return batches.staged(session, "main")


def test_a_fact_is_taken_back_and_nothing_else(database: Database, bring: Bring) -> None:
    bring(YEARS + "Chile,head,C,\n")
    with database.writing() as session:
        taken = unstage(session, "main", Ledger(), "Peru/head")
    assert [each.effective for each in taken] == [date(y, 5, 1) for y in (2015, 2016, 2099)]
    assert len(staged(database)) == 1
    with database.writing() as session:
        left = staged(database)[0]
        assert unstage(session, "main", Ledger(), left.fact[:12]) == [left]
    assert staged(database) == []


def test_one_of_several_dated_changes_is_taken_back(database: Database, bring: Bring) -> None:
    first, second, third = bring(YEARS).changes
    with database.writing() as session:
        assert unstage(session, "main", Ledger(), "Peru/head", date(2015, 5, 1)) == [first]
    left = staged(database)
    assert [(each.action, each.before, each.after) for each in left] == [
        (Action.ADD, None, second.after),
        (Action.AMEND, second.after, third.after),
    ]
    assert outcome(left, {}) == {first.fact: third.after}


def test_what_has_nothing_left_to_do_goes_along_and_is_told(database: Database, bring: Bring, clock: Clock) -> None:
    bring("subject,relation,object,valid_from\nPeru,head,A,2015-05-01\n")
    with database.writing() as session:
        said = Statement("Peru", "head", "", date(2016, 1, 1))
        gone = service.retract(session, "main", "ann", Ledger(), said, clock)
        taken = unstage(session, "main", Ledger(), "Peru/head", date(2015, 5, 1))
    assert len(taken) == 2
    assert taken[1] == gone
    assert staged(database) == []


def test_everything_is_taken_back(database: Database, bring: Bring) -> None:
    rows = YEARS + "Chile,head,C,\n"
    bring(rows)
    with database.writing() as session:
        assert len(unstage(session, "main", Ledger())) == 4
    assert staged(database) == []
    assert len(bring(rows).changes) == 4


def test_what_was_taken_back_counts_as_never_said(database: Database, bring: Bring, clock: Clock) -> None:
    bring(YEARS)
    with database.writing() as session:
        unstage(session, "main", Ledger(), "Peru/head")
    with database.writing() as session, pytest.raises(UnknownFact):
        service.amend(session, "main", "ann", Ledger(), Statement("Peru", "head", "P2015", date(2015, 5, 1)), clock)
    assert bring("subject,relation,object,valid_from\nPeru,head,Other,2016-05-01\n").refused == ()


@pytest.mark.parametrize(("fact", "day"), [("Peru/border", None), ("Peru/head", date(2001, 1, 1)), ("ffff", None)])
def test_what_is_not_staged_is_not_found(database: Database, bring: Bring, fact: str, day: date | None) -> None:
    bring(YEARS)
    with database.writing() as session, pytest.raises(NotStaged) as caught:
        unstage(session, "main", Ledger(), fact, day)
    assert caught.value.exit_status == 3
    assert caught.value.remedy
    assert len(staged(database)) == 3


def test_nothing_staged_at_all_is_not_found(database: Database, bring: Bring) -> None:
    with database.writing() as session, pytest.raises(NotStaged):
        unstage(session, "main", Ledger())


def test_facts_of_one_name_are_told_apart_by_id(database: Database, bring: Bring) -> None:
    changes = bring("subject,relation,object\nPeru,border,Chile\nPeru,border,Brazil\n").changes
    with database.writing() as session, pytest.raises(NotStaged) as caught:
        unstage(session, "main", Ledger(), "Peru/border")
    assert all(each.fact[:12] in caught.value.remedy for each in changes)
    assert "(Chile)" in caught.value.remedy


def test_an_undated_change_never_buries_a_staged_one(database: Database, bring: Bring, clock: Clock) -> None:
    bring(YEARS)
    before = staged(database)
    with database.writing() as session, pytest.raises(Contradiction) as caught:
        service.amend(session, "main", "ann", Ledger(), Statement("Peru", "head", "X"), clock)
    assert caught.value.sides == ("Peru · head: P2099 from 2099-05-01 (staged)", "Peru · head: X (this change)")
    assert "`kvault unstage Peru/head --valid-from 2099-05-01`" in caught.value.remedy
    with database.writing() as session, pytest.raises(Contradiction):
        service.retract(session, "main", "ann", Ledger(), Statement("Peru", "head"), clock)
    refused = bring("subject,relation,object\nPeru,head,X\n").refused
    assert [each.code for each in refused] == ["contradiction"]
    assert staged(database) == before


def test_after_an_undated_amendment_old_rows_are_refused_as_before(
    database: Database, bring: Bring, clock: Clock
) -> None:
    rows = "subject,relation,object,valid_from\nPeru,head,A,2015-05-01\nPeru,head,B,2016-05-01\n"
    other = "subject,relation,object,valid_from\nPeru,head,Other,2016-05-01\n"
    bring(rows)
    with database.writing() as session:
        sealed = batches.seal(session, "main", None, clock)
        batches.mark_applied(session, sealed.id)
        ledger = {fact: name for fact, name in outcome(sealed.changes, {}).items() if name is not None}
        change = service.amend(session, "main", "ann", Ledger(ledger), Statement("Peru", "head", "C"), clock)
        unstage(session, "main", Ledger(ledger), "Peru/head")
        change = service.amend(session, "main", "ann", Ledger(ledger), Statement("Peru", "head", "C"), clock)
        sealed = batches.seal(session, "main", None, clock)
        batches.mark_applied(session, sealed.id)
    assert change.after is not None
    ledger = {change.fact: change.after}
    again = bring(rows, ledger)
    assert (len(again.changes), again.unchanged) == (0, 2)
    assert [each.code for each in bring(other, ledger).refused] == ["contradiction"]


def test_the_hint_at_a_baseline_can_be_followed(database: Database, bring: Bring) -> None:
    rows = "subject,relation,object,as_of\nPeru,head,A,2015-05-01\n"
    assert "use --baseline" in bring(rows, dry_run=True).warnings[0]
    assert "`kvault unstage`" in bring(rows).warnings[0]
    with database.writing() as session:
        unstage(session, "main", Ledger())
    assert len(bring(rows, baseline=True).changes) == 1
