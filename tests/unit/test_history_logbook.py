"""Which rows of a log are kept."""

from __future__ import annotations

import pytest

from kvault.errors import InvalidInput
from kvault.history.logbook import Line, Wanted
from kvault.ids import CommitId


def row(at: int, author: str, message: str) -> Line:
    return (CommitId(f"c{at}"), at, author, "commit", None, message)


ROWS = [
    row(10, "Ann <ann@example.org>", "Intel's new chief executive\n\nApproved by Bob"),
    row(20, "Bob <bob@example.org>", "Take INTEL out"),
    row(30, "Cid <cid@example.org>", "Chad's capital"),
]


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (Wanted(), [10, 20, 30]),
        (Wanted(since=20), [20, 30]),
        (Wanted(until=20), [10, 20]),
        (Wanted(since=11, until=29), [20]),
        (Wanted(authors=("^Ann",)), [10]),
        (Wanted(authors=("ann@", "cid@")), [10, 30]),
        (Wanted(greps=("Intel",)), [10]),
        (Wanted(greps=("intel",), ignore_case=True), [10, 20]),
        (Wanted(greps=("^Approved",)), [10]),
        (Wanted(greps=("Chad", "INTEL")), [20, 30]),
        (Wanted(authors=("Bob",), greps=("Intel",)), []),
        (Wanted(authors=("Bob",), greps=("Take",), since=20), [20]),
    ],
)
def test_each_filter(wanted: Wanted, kept: list[int]) -> None:
    assert [line[1] for line in wanted.keep(ROWS)] == kept


@pytest.mark.parametrize("field", ["authors", "greps"])
def test_a_pattern_that_is_none_is_refused(field: str) -> None:
    with pytest.raises(InvalidInput, match="no pattern"):
        Wanted(**{field: ("(",)})
