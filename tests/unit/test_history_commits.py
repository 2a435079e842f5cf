"""A commit as a value: one id for one content, and nothing read that was not written so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.errors import InvalidInput
from kvault.history.commits import CommitBody, CommitDamaged, commit_id, decode, encode
from kvault.ids import CommitId, RecipeId, RecordId, RunId, canonical_json, sha256

digests = st.integers(0, 50).map(lambda number: sha256(str(number).encode()))
lines = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12)
names = lines.filter(lambda text: text.strip() != "")


@st.composite
def bodies(draw: st.DrawFn) -> CommitBody:
    records = draw(st.lists(digests, unique=True, max_size=6))
    half = len(records) // 2
    return CommitBody(
        tree=draw(digests),
        ledger_root=draw(digests),
        parents=tuple(CommitId(each) for each in draw(st.lists(digests, unique=True, max_size=3))),
        verb=draw(st.sampled_from(["commit", "merge", "revert"])),
        author=draw(names),
        committer=draw(names),
        authored_at=draw(st.integers(0, 2**53)),
        committed_at=draw(st.integers(0, 2**53)),
        message=draw(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=30)),
        arguments=draw(st.dictionaries(names.map(str.strip), st.integers() | lines | st.none(), max_size=3)),
        batch=draw(st.none() | digests),
        records_added=tuple(RecordId(each) for each in records[:half]),
        records_removed=tuple(RecordId(each) for each in records[half:]),
        recipes=tuple(RecipeId(each) for each in draw(st.lists(digests, max_size=3))),
        run=draw(st.none() | st.just(RunId("run-7"))),
    )


def plain(**changes: Any) -> CommitBody:
    """A small commit with some fields changed."""
    body: dict[str, Any] = {
        "tree": sha256(b"t"), "ledger_root": sha256(b"l"), "parents": (), "verb": "commit", "author": "ann",
        "committer": "ann", "authored_at": 1, "committed_at": 2,
    }  # fmt: skip
    return CommitBody(**{**body, **changes})


@given(bodies())
def test_what_is_written_is_read(body: CommitBody) -> None:
    data = encode(body)
    assert encode(decode(data)) == data
    assert decode(data).id == body.id == commit_id(data)


@given(bodies(), st.randoms(use_true_random=False))
def test_sets_have_no_order(body: CommitBody, order: Any) -> None:
    shuffled = {name: list(getattr(body, name)) for name in ("records_added", "records_removed", "recipes")}
    for values in shuffled.values():
        order.shuffle(values)
    assert replace(body, **{name: tuple(values) for name, values in shuffled.items()}).id == body.id


def test_parents_have_an_order() -> None:
    one, two = CommitId(sha256(b"1")), CommitId(sha256(b"2"))
    assert plain(parents=(one, two)).id != plain(parents=(two, one)).id


@pytest.mark.parametrize(
    "change",
    [
        {"tree": sha256(b"other")}, {"ledger_root": sha256(b"other")}, {"parents": (CommitId(sha256(b"p")),)},
        {"verb": "merge"}, {"author": "bob"}, {"committer": "bob"}, {"authored_at": 3}, {"committed_at": 3},
        {"message": "why"}, {"arguments": {"a": 1}}, {"batch": sha256(b"b")}, {"run": RunId("r")},
        {"records_added": (RecordId(sha256(b"r")),)}, {"records_removed": (RecordId(sha256(b"r")),)},
        {"recipes": (RecipeId(sha256(b"r")),)},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_every_field_is_in_the_id(change: dict[str, Any]) -> None:
    assert plain(**change).id != plain().id


def test_forms_of_one_message_have_one_id() -> None:
    assert plain(message="Caf\u00e9\n\nmore").id == plain(message="  Cafe\u0301\r\n\r\nmore\n").id


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tree": "abc"}, "tree"), ({"batch": "x"}, "batch"), ({"parents": ("x",)}, "parents"),
        ({"parents": (sha256(b"p"), sha256(b"p"))}, "parents"), ({"author": " "}, "author"),
        ({"author": "a\0b"}, "author"), ({"message": "a\0b"}, "message"), ({"message": "\x1b[31m"}, "message"),
        ({"message": "x" * 20_001}, "message"), ({"verb": ""}, "verb"), ({"committed_at": -1}, "committed_at"),
    ],
)  # fmt: skip
def test_what_cannot_stand_in_a_commit_is_refused_by_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        plain(**change)
    assert caught.value.where["field"] == field


def test_a_record_cannot_come_and_go_at_once() -> None:
    record = (RecordId(sha256(b"r")),)
    with pytest.raises(InvalidInput, match="both added and removed"):
        plain(records_added=record, records_removed=record)


@given(bodies(), st.data())
def test_a_changed_byte_is_another_commit_or_none(body: CommitBody, data: st.DataObject) -> None:
    bad = bytearray(encode(body))
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        read = decode(bytes(bad))
    except CommitDamaged:
        return
    assert read.id != body.id


def _document(**changes: object) -> bytes:
    return json.dumps({**plain().document(), **changes}, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b"\xff", _document(format="kvault commit 2"), _document(extra=1), _document(parents=None),
        _document(authored_at="1"), _document(authored_at=1.5), _document(author=None),
        _document(recipes=[sha256(b"a"), sha256(b"b")]), encode(plain()) + b" ",
        canonical_json({key: value for key, value in plain().document().items() if key != "run"}),
    ],
)  # fmt: skip
def test_what_is_no_commit_is_told(data: bytes) -> None:
    with pytest.raises(CommitDamaged, match="cannot be read"):
        decode(data)
