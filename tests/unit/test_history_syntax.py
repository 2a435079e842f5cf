"""What a person may type for a version."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.history.syntax import AsOf, Before, MalformedRevision, Parent, Up, parse, split_place, split_range


@pytest.mark.parametrize(
    ("text", "start", "steps"),
    [
        ("main", "main", ()),
        (" main ", "main", ()),
        ("HEAD", "HEAD", ()),
        ("@", "HEAD", ()),
        ("main~", "main", (Up(1),)),
        ("main~3", "main", (Up(3),)),
        ("main~0", "main", (Up(0),)),
        ("main^", "main", (Parent(1),)),
        ("main^2", "main", (Parent(2),)),
        ("main^^", "main", (Parent(1), Parent(1))),
        ("HEAD~3^2~1", "HEAD", (Up(3), Parent(2), Up(1))),
        ("production@{1}", "production", (Before(1),)),
        ("@{2}", "HEAD", (Before(2),)),
        ("@{2}~1", "HEAD", (Before(2), Up(1))),
        ("medicine/eu@{0}^", "medicine/eu", (Before(0), Parent(1))),
        ("主线~2", "主线", (Up(2),)),
        ("0123abcd", "0123abcd", ()),
    ],
)
def test_the_forms(text: str, start: str, steps: tuple[object, ...]) -> None:
    revision = parse(text)
    assert (revision.start, revision.steps) == (start, steps)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-08-01", datetime(2026, 8, 1, 23, 59, 59, 999999, UTC)),
        ("2026-08-01T12:00", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("2026-08-01 12:00:00", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("2026-08-01T12:00:00Z", datetime(2026, 8, 1, 12, tzinfo=UTC)),
        ("2026-08-01T12:00:00+02:00", datetime(2026, 8, 1, 10, tzinfo=UTC)),
    ],
)
def test_a_day_means_its_end_and_an_instant_itself(text: str, moment: datetime) -> None:
    (step,) = parse(f"main@{{{text}}}").steps
    assert isinstance(step, AsOf)
    assert abs(step.at - moment.timestamp() * 1e6) < 2


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "~1", "^", "main~x", "main^-1", "main@{", "main@{soon}", "main@{-1}", "main@{2026-13-01}",
        "main~1@{1}",
        "main@{1}@{2}", "ma in", "main:file", "a\0b", "main~99999999999", "main}", "main@{2026-08-01", "{1}",
    ],
)  # fmt: skip
def test_what_is_no_revision_is_told_with_the_forms(text: str) -> None:
    with pytest.raises(MalformedRevision, match=r"main@\{2026-08-01\}") as caught:
        parse(text)
    assert caught.value.exit_status == 2


@given(st.text(max_size=20))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(MalformedRevision):
        parse(text)


@given(st.text("main~^@{}0123456789-", max_size=14))
def test_any_likely_text_is_parsed_or_refused(text: str) -> None:
    with suppress(MalformedRevision):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main", ("main", None)),
        ("main:Intel/ticker", ("main", "Intel/ticker")),
        ("HEAD~1: fact/0123abcd ", ("HEAD~1", "fact/0123abcd")),
        (":Intel/ticker", ("", "Intel/ticker")),
        ("main@{2026-08-01T10:00}", ("main@{2026-08-01T10:00}", None)),
        ("main@{2026-08-01T10:00}~2:a:b/c", ("main@{2026-08-01T10:00}~2", "a:b/c")),
    ],
)
def test_a_place_stands_after_the_first_colon(text: str, expected: tuple[str, str | None]) -> None:
    assert split_place(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main", ("main", "", "")),
        ("a..b", ("a", "..", "b")),
        ("a...b", ("a", "...", "b")),
        ("..b", ("", "..", "b")),
        ("a...", ("a", "...", "")),
        (" a .. b ", ("a", "..", "b")),
        ("v1.0..v1.1", ("v1.0", "..", "v1.1")),
        ("main@{1}..main@{2026-08-01T10:00:00.5}", ("main@{1}", "..", "main@{2026-08-01T10:00:00.5}")),
    ],
)
def test_a_range_has_two_ends(text: str, expected: tuple[str, str, str]) -> None:
    assert split_range(text) == expected


@pytest.mark.parametrize("text", ["a..b..c", "a....b", "a...b..c", "a.. ..b"])
def test_a_range_in_a_range_is_refused(text: str) -> None:
    with pytest.raises(MalformedRevision, match="two ends"):
        split_range(text)


@given(st.text("ab.@{}:1 ", max_size=14))
def test_any_text_is_split_or_refused(text: str) -> None:
    split_place(text)
    with suppress(MalformedRevision):
        left, dots, right = split_range(text)
        assert dots in ("", "..", "...")
        assert not (left and right) or dots
