"""Rows of files: every line stands alone, and says what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.errors import NotFound
from kvault.ledger.reading import BadLine, Row, parse_rows, read_rows
from kvault.ledger.refusals import FileMalformed

HEADER = "action,subject,relation,object,valid_from,valid_to,evidence,note\n"


def bad(data: bytes, file: str) -> dict[int, str]:
    """Line numbers of bad lines with their messages."""
    return {each.line: str(each.error) for each in parse_rows(data, file).rows if isinstance(each, BadLine)}


def test_a_csv_row_with_everything() -> None:
    rows = parse_rows(
        (HEADER + 'amend,Apple,chief_executive,"Cook, Tim",2011-08-24,,"He said ""yes""",\r\n').encode(), "a.csv"
    )
    assert rows.rows == (
        Row(2, "amend", "Apple", "chief_executive", "Cook, Tim", "2011-08-24", "", 'He said "yes"', ""),
    )
    assert not rows.baseline_header


def test_a_baseline_names_its_columns_otherwise() -> None:
    rows = parse_rows(
        "\ufeffsubject,relation,object,as_of,source\nPeru,capital,Lima,2015-01-01,Atlas\n".encode(), "b.csv"
    )
    assert rows.baseline_header
    assert rows.rows == (Row(2, "", "Peru", "capital", "Lima", "2015-01-01", "", "Atlas", ""),)


def test_bad_csv_lines_spoil_only_themselves() -> None:
    text = (
        HEADER
        + 'add,A,r,"never closed,,,,\n'
        + "add,B,r,x,,,,\n"
        + "add,C,r\n"
        + "\n"
        + "add,D,r,x,,,,,extra\n"
        + "add,"
        + "E" * 20_001
        + ",r,x,,,,\n"
        + "add,F,r,x,,,,\n"
    )
    rows = parse_rows(text.encode(), "a.csv")
    assert [row.subject for row in rows.rows if isinstance(row, Row)] == ["B", "F"]
    found = bad(text.encode(), "a.csv")
    assert sorted(found) == [2, 4, 6, 7]
    assert "quote opens and never closes" in found[2]
    assert "3 values for 8 columns" in found[4]
    assert "field object" in found[4]
    assert "9 values" in found[6]
    assert "more than 20000" in found[7]


def test_bad_json_lines_spoil_only_themselves() -> None:
    lines = [
        '{"subject": "A", "relation": "r", "object": "x"}',
        '{"subject": "A", ',
        '["A", "r", "x"]',
        '{"subject": "A", "subject": "B"}',
        '{"subjct": "A"}',
        '{"subject": 3}',
        "[" * 15_000,
        '{"subject": "B", "relation": "r", "object": "x", "valid_to": null}',
    ]
    data = "\n".join(lines).encode()
    assert [row.subject for row in parse_rows(data, "a.jsonl").rows if isinstance(row, Row)] == ["A", "B"]
    found = bad(data, "a.jsonl")
    assert sorted(found) == [2, 3, 4, 5, 6, 7]
    assert "not JSON" in found[2]
    assert "no JSON object" in found[3]
    assert "there twice" in found[4]
    assert "Did you mean subject?" in found[5]
    assert "not a text" in found[6]
    assert "brackets" in found[7]


@pytest.mark.parametrize(
    ("data", "file", "said"),
    [
        (b"", "a.csv", "empty"),
        (b"\n\n", "a.jsonl", "empty"),
        (b"subject,relation\n", "a.csv", "no column object"),
        (b"subject,relation,object,objct\n", "a.csv", "Did you mean object?"),
        (b"subject,relation,object,evidence,source\n", "a.csv", "there twice"),
        (b"subject;relation;object\n", "a.csv", "not parted by commas"),
        (b"x", "a.xlsx", "no known format"),
        ("subject,relation,object\n".encode("utf-16"), "a.csv", "UTF-16"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(data: bytes, file: str, said: str) -> None:
    with pytest.raises(FileMalformed) as caught:
        parse_rows(data, file)
    assert said in str(caught.value)
    assert caught.value.where["file"] == file


def test_bytes_that_are_not_utf8_stay_in_their_row() -> None:
    rows = parse_rows(b"subject,relation,object\nZ\xfcrich,r,x\nBern,r,x\n", "a.csv")
    assert [row.subject for row in rows.rows if isinstance(row, Row)] == ["Z\udcfcrich", "Bern"]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_rows(tmp_path / "none.csv")
    with pytest.raises(FileMalformed):
        read_rows(tmp_path)


@given(st.binary(max_size=300), st.sampled_from(["a.csv", "a.jsonl"]))
def test_no_bytes_break_the_reader(data: bytes, file: str) -> None:
    try:
        rows = parse_rows(data, file)
    except FileMalformed:
        return
    assert all(each.line >= 1 for each in rows.rows)
