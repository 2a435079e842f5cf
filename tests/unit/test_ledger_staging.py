"""Decisions about changes: pure, from where a fact stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.errors import KvaultError
from kvault.ids import FactId, RevisionId
from kvault.ledger.batches import part
from kvault.ledger.refusals import AlreadySo, Contradiction, DatesBackwards, StaleChange, UnknownFact
from kvault.ledger.relations import NamedRelation, parse_relations
from kvault.ledger.staging import Desk, Request, fact_of, outcome, rechained
from kvault.ledger.values import Action, Change, batch_digest

_SINGLE, _MANY = (
    NamedRelation(each.digest, each)
    for each in parse_relations(
        "- {id: head, statement: 'The head of {subject} is'}\n"
        "- {id: border, statement: '{subject} borders', cardinality: many}",
        "a.yaml",
    )
)


def ask(
    action: str | None,
    answer: str,
    start: str | None = None,
    end: str | None = None,
    *,
    relation: NamedRelation = _SINGLE,
    origin: str = "this",
) -> Request:
    """A request about one subject."""
    return Request(
        action=None if action is None else Action(action),
        fact=fact_of(relation, "Peru", answer),
        relation=relation,
        object=answer,
        valid_from=None if start is None else date.fromisoformat(start),
        valid_to=None if end is None else date.fromisoformat(end),
        origin=origin,
    )


def decide(desk: Desk, request: Request) -> Change:
    """The change that a request makes."""
    return desk.decide(request, request.fact.id).change


def test_changes_of_one_fact_follow_one_another() -> None:
    desk = Desk({})
    first = decide(desk, ask("add", "A", "2015-01-01"))
    second = decide(desk, ask("amend", "B", "2016-01-01"))
    third = decide(desk, ask("amend", "A", "2017-01-01"))
    gone = decide(desk, ask("retract", "", "2018-01-01"))
    back = decide(desk, ask(None, "A", "2019-01-01"))
    chain = [first, second, third, gone, back]
    assert [each.before for each in chain] == [None, first.after, second.after, third.after, None]
    assert first.after != third.after
    assert back.action is Action.ADD
    assert outcome(chain, {}) == {first.fact: back.after}


def test_an_unstated_action_is_found() -> None:
    desk = Desk({})
    assert decide(desk, ask(None, "A")).action is Action.ADD
    assert decide(desk, ask(None, "B", "2016-01-01")).action is Action.AMEND


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (ask("add", "A", "2015-01-01"), AlreadySo),
        (ask("add", "A"), AlreadySo),
        (ask("amend", "A", "2015-01-01"), AlreadySo),
        (ask("add", "A", "2016-01-01"), AlreadySo),
        (ask("add", "B", "2016-01-01"), Contradiction),
        (ask("add", "B"), Contradiction),
        (ask("amend", "B", "2015-01-01"), Contradiction),
        (ask(None, "B", "2015-01-01"), Contradiction),
        (ask("amend", "B", "2014-01-01"), DatesBackwards),
        (ask("amend", "B", "2017-01-01", "2016-01-01"), DatesBackwards),
        (ask("retract", "", "2014-01-01"), DatesBackwards),
        (ask("retract", "B", "2016-01-01"), Contradiction),
        (ask("amend", "B"), Contradiction),
        (ask(None, "B"), Contradiction),
        (ask("amend", "A", None, "2016-01-01"), Contradiction),
        (ask("retract", ""), Contradiction),
    ],
)
def test_what_repeats_contradicts_or_precedes_is_refused(request_: Request, error: type[KvaultError]) -> None:
    desk = Desk({})
    decide(desk, ask("add", "A", "2015-01-01", origin="a.csv line 2"))
    with pytest.raises(error):
        decide(desk, request_)


def test_what_a_version_holds_may_be_replaced_without_a_day() -> None:
    for first in (ask("add", "A", "2015-01-01"), ask("add", "A")):
        desk = Desk({})
        decide(desk, first)
        standing = desk.standing(first.fact.id)
        assert standing.current is not None
        standing.current = replace(standing.current, staged=False)
        assert decide(desk, ask("amend", "B")).action is Action.AMEND


def test_a_staged_baseline_may_be_amended_without_a_day() -> None:
    desk = Desk({})
    decide(desk, replace(ask("add", "A"), baseline=True))
    assert decide(desk, ask("amend", "B")).action is Action.AMEND


def test_dates_are_kept_in_order_across_a_content_without_a_day() -> None:
    desk = Desk({})
    for answer, year in (("A", 2015), ("B", 2017)):
        decide(desk, ask(None, answer, f"{year}-01-01"))
    standing = desk.standing(ask(None, "B").fact.id)
    assert standing.current is not None
    standing.current = replace(standing.current, staged=False)
    decide(desk, ask("amend", "C"))
    with pytest.raises(AlreadySo):
        decide(desk, ask(None, "A", "2015-01-01"))
    with pytest.raises(Contradiction):
        decide(desk, ask(None, "D", "2017-01-01"))
    with pytest.raises(DatesBackwards):
        decide(desk, ask(None, "D", "2016-01-01"))
    assert decide(desk, ask(None, "D", "2018-01-01")).action is Action.AMEND


def test_the_remedy_for_overlapping_periods_can_be_followed() -> None:
    desk = Desk({})
    decide(desk, ask("add", "A", "2015-01-01", "2019-01-01"))
    with pytest.raises(Contradiction) as caught:
        decide(desk, ask("amend", "B", "2017-01-01"))
    assert "`kvault amend Peru head A --valid-from 2015-01-01 --valid-to 2017-01-01`" in caught.value.remedy
    decide(desk, ask("amend", "A", "2015-01-01", "2017-01-01"))
    assert decide(desk, ask("amend", "B", "2017-01-01")).action is Action.AMEND


def test_a_contradiction_shows_both_sides() -> None:
    desk = Desk({})
    decide(desk, ask("add", "A", "2015-01-01", origin="a.csv line 2"))
    with pytest.raises(Contradiction) as caught:
        decide(desk, ask("amend", "B", "2015-01-01", origin="a.csv line 9"))
    assert caught.value.sides == (
        "Peru · head: A from 2015-01-01 (a.csv line 2)",
        "Peru · head: B from 2015-01-01 (a.csv line 9)",
    )
    assert "a.csv line 9" in str(caught.value)
    assert caught.value.document()["sides"] == list(caught.value.sides)


def test_overlapping_periods_contradict() -> None:
    desk = Desk({})
    decide(desk, ask("add", "A", "2015-01-01", "2017-01-01"))
    with pytest.raises(Contradiction):
        decide(desk, ask("amend", "B", "2016-12-31"))
    assert decide(desk, ask("amend", "B", "2017-01-01")).action is Action.AMEND


def test_what_was_so_before_is_no_contradiction() -> None:
    desk = Desk({})
    for answer, year in (("A", 2015), ("B", 2016), ("C", 2017)):
        decide(desk, ask(None, answer, f"{year}-01-01"))
    with pytest.raises(AlreadySo):
        decide(desk, ask("amend", "B", "2016-01-01"))
    with pytest.raises(Contradiction):
        decide(desk, ask("amend", "D", "2016-01-01"))


def test_a_fact_that_is_not_there() -> None:
    with pytest.raises(UnknownFact):
        decide(Desk({}), ask("amend", "A"))
    with pytest.raises(UnknownFact):
        decide(Desk({}), ask("retract", ""))


def test_a_many_valued_relation_holds_several() -> None:
    desk = Desk({})
    one = decide(desk, ask("add", "Chile", relation=_MANY))
    other = decide(desk, ask("add", "Brazil", relation=_MANY))
    assert one.fact != other.fact


def _change(fact: int, before: int | None, after: int | None, day: date | None = None) -> Change:
    def name(number: int | None) -> RevisionId | None:
        return None if number is None else RevisionId(f"{number}")

    return Change(Action.AMEND, FactId(f"{fact}"), name(before), name(after), day)


def test_a_change_made_against_what_no_longer_stands_is_stale() -> None:
    with pytest.raises(StaleChange):
        outcome([_change(1, 1, 2)], {FactId("1"): RevisionId("9")})


def test_changes_are_made_anew_when_the_ledger_moved() -> None:
    ledger = {FactId("1"): RevisionId("9"), FactId("2"): RevisionId("5")}
    changes = [_change(1, 1, 2), _change(1, 2, 3), _change(2, 4, 5), _change(3, 7, None), _change(4, 1, 6)]
    anew = rechained(changes, ledger)
    assert outcome(anew, ledger) == {FactId("1"): RevisionId("3"), FactId("4"): RevisionId("6")}
    assert anew[-1].action is Action.ADD
    assert rechained(anew, ledger) == anew


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.none() | st.dates(date(2015, 1, 1), date(2016, 1, 1)), st.integers(0, 3)),
        max_size=30,
    ),
    st.dates(date(2015, 1, 1), date(2016, 1, 1)),
)
def test_what_is_due_and_what_is_later_make_the_whole(steps: list[tuple[int, date | None, int]], until: date) -> None:
    standing: dict[int, int] = {}
    changes = []
    for number, (fact, day, _) in enumerate(steps):
        changes.append(_change(fact, standing.get(fact), number, day))
        standing[fact] = number
    due, later = part(changes, until)
    assert all(each.effective is None or each.effective <= until for each in due)
    assert sorted(map(id, due + later)) == sorted(map(id, changes))
    after = {fact: name for fact, name in outcome(due, {}).items() if name is not None}
    assert {**outcome(due, {}), **outcome(later, after)} == outcome(changes, {})


def test_a_batchs_name_depends_on_its_order() -> None:
    one, two = _change(1, None, 1), _change(2, None, 2)
    assert batch_digest([one, two]) != batch_digest([two, one])
    assert batch_digest([one, two]) == batch_digest([one, two])
