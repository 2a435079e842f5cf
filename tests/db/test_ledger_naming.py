"""What a person types for a fact. On both databases."""

from __future__ import annotations

import pytest
from sqlmodel import Session

from kvault.db import Database
from kvault.ledger.naming import AmbiguousFact, UnknownFact, fact_named, facts_named, is_named
from kvault.ledger.tables import FactRow
from kvault.ledger.values import Fact

FACTS = (
    Fact("Intel", "chief_executive"),
    Fact("Intel", "ticker"),
    Fact("Intel 471", "ticker"),
    Fact("AC/DC", "origin"),
    Fact("Aspirin", "brand_name", "Bayer/Aspro"),
    Fact("Aspirin", "brand_name", "Disprin"),
    Fact("100%_pure", "ticker"),
    Fact("100 or pure", "ticker"),
)


def fill(session: Session) -> None:
    for fact in FACTS:
        session.add(FactRow(id=fact.id, subject=fact.subject, relation=fact.relation, scope=fact.scope))
    session.flush()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Intel/ticker", [1]), (" Intel/ticker ", [1]), ("Intel", [0, 1]), ("Intel*", [0, 1, 2]),
        ("*/ticker", [6, 7, 1, 2]),
        ("AC/DC", [3]), ("AC/DC/origin", [3]), ("Aspirin/brand_name", [4, 5]), ("Aspirin/brand_name/Disprin", [5]),
        ("Aspirin/brand_name/Bayer/Aspro", [4]), ("100%_pure/ticker", [6]), ("100%*", [6]), ("Intel/*", [0, 1]),
        (f"fact/{FACTS[0].id}", [0]), (f"fact/{FACTS[0].id[:10].upper()}", [0]),
    ],
)  # fmt: skip
def test_each_form(database: Database, text: str, expected: list[int]) -> None:
    with database.reading() as session:
        fill(session)
        assert set(facts_named(session, text).values()) == {FACTS[i] for i in expected}
        assert is_named(session, text)


@pytest.mark.parametrize("text", ["", "Intle/ticker", "intel", "Intel/", "/ticker", "fact/000", "fact/zzzz", "%"])
def test_what_no_fact_is_called(database: Database, text: str) -> None:
    with database.reading() as session:
        fill(session)
        assert not is_named(session, text)
        with pytest.raises(UnknownFact) as caught:
            facts_named(session, text)
        assert caught.value.exit_status == 3


def test_an_ambiguous_name_lists_its_candidates(database: Database) -> None:
    with database.reading() as session:
        fill(session)
        assert fact_named(session, "AC/DC")[1] == FACTS[3]
        with pytest.raises(AmbiguousFact, match="Bayer/Aspro") as caught:
            fact_named(session, "Aspirin/brand_name")
        assert set(caught.value.document()["candidates"]) == {FACTS[4].id, FACTS[5].id}  # type: ignore[call-overload]
        with pytest.raises(UnknownFact, match="Did you mean Intel"):
            fact_named(session, "Intol/ticker")
