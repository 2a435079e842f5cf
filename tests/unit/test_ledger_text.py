"""What may stand in a ledger's texts and days."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.ledger.text import DateRefused, TextRefused, clean, parse_day, shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \t ", "is empty"),
        ("a" * 41, "41 characters"),
        ("Tim\x00Cook", "NUL character at character 4"),
        ("Tim\x07Cook", "control character (U+0007)"),
        ("Tim\nCook", "control character (U+000A)"),
        ("Tim \u202eCook", "reading direction (U+202E)"),
        ("\u2066Tim", "reading direction (U+2066)"),
        ("Tim\u200bCook", "invisible character (U+200B)"),
        ("Tim\u2028Cook", "line separator"),
        ("Tim\udce9", "byte (0xE9) that is not UTF-8"),
        ("Tim\ud800", "half of a surrogate pair"),
        ("Tim\ue000", "without a meaning"),
    ],
)
def test_a_text_that_hides_something_is_refused(text: str, said: str) -> None:
    with pytest.raises(TextRefused) as caught:
        clean(text, "object", 40)
    assert said in caught.value.message
    assert caught.value.where["field"] == "object"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "expected", "remark"),
    [
        ("Tim Cook", "Tim Cook", ""),
        ("  Tim Cook ", "Tim Cook", ""),
        ("Tim  Cook", "Tim Cook", "spaces"),
        ("Tim\u00a0Cook", "Tim Cook", "spaces"),
        ("Zu\u0308rich", "Zürich", "NFC"),
        ("特雷莎·梅", "特雷莎·梅", ""),
        ("می\u200cخواهم", "می\u200cخواهم", ""),
    ],
)
def test_other_forms_are_brought_to_one_and_said(text: str, expected: str, remark: str) -> None:
    found = clean(text, "object", 40)
    assert found.text == expected
    assert remark in found.remark
    assert bool(remark) == bool(found.remark)


@given(st.text(max_size=60))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    try:
        once = clean(text, "object", 200, required=False)
    except TextRefused:
        return
    assert clean(once.text, "object", 200, required=False).text == once.text
    assert once.text.isprintable() or "\u200c" in once.text or "\u200d" in once.text or not once.text.isascii()


def test_an_optional_text_may_be_empty() -> None:
    assert clean("  ", "note", 10, required=False).text == ""


@pytest.mark.parametrize(
    "text", ["2015-1-1", "20150101", "2015-02-30", "01/02/2015", "2015-W01-1", "soon", "２０１５-01-01"]
)
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DateRefused) as caught:
        parse_day(text, "valid_from")
    assert caught.value.where["field"] == "valid_from"


def test_days() -> None:
    assert parse_day("2016-02-29", "valid_from") == date(2016, 2, 29)
    assert parse_day("", "valid_from") is None


def test_a_message_shows_what_cannot_be_seen() -> None:
    assert shown("a\x1b[31m") == "'a\\u001b[31m'"
