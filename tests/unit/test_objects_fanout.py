"""The fan-out map: its root depends on the entries alone, and a difference reads only what differs."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.errors import InvalidInput
from kvault.ids import Digest, nfc, sha256
from kvault.objects import fanout
from kvault.objects.failures import ObjectDamaged, ObjectMissing


class Counted:
    """Blobs in memory that count what is read and written."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}
        self.reads = 0

    def get(self, digest: Digest) -> bytes:
        self.reads += 1
        if digest not in self.blobs:
            raise ObjectMissing(digest)
        return self.blobs[digest]

    def put_many(self, blobs: Iterable[bytes]) -> list[Digest]:
        kept = list(blobs)
        self.blobs.update({sha256(data): data for data in kept})
        return [sha256(data) for data in kept]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6).map(nfc)
digests = st.integers(0, 999).map(lambda number: str(sha256(str(number).encode())))
entries = st.dictionaries(texts | digests, texts | digests, max_size=90)


def many(count: int) -> dict[str, str]:
    return {sha256(f"key {i}".encode()): sha256(f"value {i}".encode()) for i in range(count)}


@given(entries, st.randoms(use_true_random=False), st.integers(1, 20))
def test_the_order_of_insertion_does_not_matter(wanted: dict[str, str], order: random.Random, size: int) -> None:
    store = Counted()
    shuffled = list(wanted.items())
    order.shuffle(shuffled)
    root = fanout.build(store, {})
    for start in range(0, len(shuffled), size):
        root = fanout.update(store, root, dict(shuffled[start : start + size]))
    assert root == fanout.build(Counted(), wanted)
    assert dict(fanout.items(store, root)) == wanted
    assert fanout.count(store, root) == len(wanted)


@given(entries, entries)
def test_taking_away_undoes_putting(base: dict[str, str], more: dict[str, str]) -> None:
    store = Counted()
    root = fanout.build(store, base)
    grown = fanout.update(store, root, more)
    old = {key: base[key] for key in more if key in base}
    back = fanout.update(store, grown, old, [key for key in more if key not in base])
    assert back == root


@given(entries, entries)
def test_a_difference_is_exactly_what_differs(old: dict[str, str], new: dict[str, str]) -> None:
    store = Counted()
    found = fanout.diff(store, fanout.build(store, old), fanout.build(store, new))
    expected = [
        fanout.Difference(key, old.get(key), new.get(key))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    assert found == expected


@given(entries)
def test_each_entry_is_found_and_no_other(wanted: dict[str, str]) -> None:
    store = Counted()
    root = fanout.build(store, wanted)
    assert {key: fanout.get(store, root, key) for key in wanted} == wanted
    assert fanout.get(store, root, "not there at all") is None


def test_a_difference_reads_only_the_nodes_that_differ() -> None:
    store = Counted()
    wanted = many(5000)
    old = fanout.build(store, wanted)
    key = sorted(wanted)[0]
    new = fanout.update(store, old, {key: "changed"})
    depth = len(_path(store, new, key))
    store.reads = 0
    assert [each.key for each in fanout.diff(store, old, new)] == [key]
    assert store.reads == 2 * depth
    store.reads = 0
    assert fanout.diff(store, old, old) == []
    assert store.reads == 0


def test_a_change_writes_only_its_path() -> None:
    store = Counted()
    wanted = many(5000)
    root = fanout.build(store, wanted)
    before = set(store.blobs)
    key = sorted(wanted)[0]
    root = fanout.update(store, root, {key: "changed"})
    assert len(set(store.blobs) - before) == len(_path(store, root, key))


def test_a_lookup_reads_one_node_a_level() -> None:
    store = Counted()
    root = fanout.build(store, many(5000))
    store.reads = 0
    fanout.get(store, root, next(iter(many(1))))
    assert store.reads <= 5


def test_every_new_node_is_stored_and_nothing_else() -> None:
    store = Counted()
    root = fanout.build(store, many(300))
    assert set(store.blobs) == set(_nodes(store, root))


def test_removing_what_is_absent_changes_nothing() -> None:
    store = Counted()
    root = fanout.build(store, many(40))
    assert fanout.update(store, root, {}, ["absent"]) == root


@pytest.mark.parametrize(
    ("put", "remove"), [({"a": "b"}, ["a"]), ({"e\u0301": "x"}, []), ({"a": "e\u0301"}, []), ({"\ud800": "x"}, [])]
)
def test_what_cannot_stand_in_a_map_is_refused(put: dict[str, str], remove: list[str]) -> None:
    with pytest.raises(InvalidInput):
        fanout.update(Counted(), None, put, remove)


@given(entries.filter(bool), st.data())
def test_a_node_in_another_form_is_damaged(wanted: dict[str, str], data: st.DataObject) -> None:
    """Bytes that decode but are not canonical would give one map two names."""
    store = Counted()
    root = fanout.build(store, wanted)
    good = store.blobs[root]
    bad = bytearray(good)
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    store.blobs[root] = bytes(bad)
    try:
        node = fanout.read_node(store, root)
    except ObjectDamaged:
        return
    assert fanout.encode_node(node) == bytes(bad) != good


@pytest.mark.parametrize(
    "data", [b"", b"kvmapL1\n\x00", b"kvmapL1\n\x00\x00\x00\x00\x01a", b"kvmapB1\n\x00\x01", b"{}"]
)
def test_what_is_no_node_is_told(data: bytes) -> None:
    store = Counted()
    store.blobs[Digest("0" * 64)] = data
    with pytest.raises(ObjectDamaged, match="0000"):
        fanout.read_node(store, Digest("0" * 64))


def _path(store: Counted, root: Digest, key: str) -> list[Digest]:
    found, node, digits = [root], fanout.read_node(store, root), iter(sha256(key.encode()))
    while isinstance(node, fanout.Branch):
        child = node.children[int(next(digits), 16)]
        assert child is not None
        found.append(child[0])
        node = fanout.read_node(store, child[0])
    return found


def _nodes(store: Counted, root: Digest) -> list[Digest]:
    found = [root]
    for child in fanout.children(fanout.read_node(store, root)):
        found += _nodes(store, child)
    return found
