"""A persistent map of text to text over the object store, named by what it holds.

An entry's place follows from the SHA-256 of its key, so the root's digest depends on the entries alone, never on the
order of insertion or on what was there before. A node of at most :data:`LEAF` entries is a leaf; a larger one branches
sixteen ways on the next hexadecimal digit. Two maps are compared by walking only the nodes in which they differ.
``docs/format.md`` states the bytes. The map knows no meaning of keys and values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from kvault.errors import InvalidInput
from kvault.ids import Digest, is_digest, nfc, sha256
from kvault.objects.failures import ObjectDamaged
from kvault.objects.store import Blobs

LEAF = 16
"""The most entries that a leaf holds; one more and it branches."""
_LEAF_MAGIC = b"kvmapL1\n"
_BRANCH_MAGIC = b"kvmapB1\n"
_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Leaf:
    """The entries of a node, sorted by key."""

    entries: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        """How many entries lie here."""
        return len(self.entries)


@dataclass(frozen=True, slots=True)
class Branch:
    """Sixteen children, each the digest of a node and its count, or None."""

    children: tuple[tuple[Digest, int] | None, ...]

    @property
    def count(self) -> int:
        """How many entries lie below."""
        return sum(child[1] for child in self.children if child)


Node: TypeAlias = Leaf | Branch


@dataclass(frozen=True, slots=True)
class Difference:
    """One key in which two maps differ: its value in each, None where it is absent."""

    key: str
    old: str | None
    new: str | None


def build(store: Blobs, entries: Mapping[str, str]) -> Digest:
    """Store the map of ``entries`` and return its root."""
    return update(store, None, entries, ())


def update(store: Blobs, root: Digest | None, put: Mapping[str, str], remove: Iterable[str] = ()) -> Digest:
    """The root of ``root`` (None is the empty map) with ``put`` written and ``remove`` taken away.

    The new nodes are stored before the root is returned. Removing an absent key changes nothing. Raises
    :class:`InvalidInput` for a key that is both put and removed, or text that is not in NFC.
    """
    changes: dict[str, str | None] = dict.fromkeys(remove)
    if both := sorted(changes.keys() & put.keys()):
        raise InvalidInput("a key is both put and removed", key=both[0], remedy="Do one of the two.")
    changes.update(put)
    for text in (*changes, *put.values()):
        if nfc(text) != text or any("\ud800" <= char <= "\udfff" for char in text):
            raise InvalidInput("an entry of a map is not in Unicode's form NFC", key=text, remedy="Normalise it first.")
    fresh: dict[Digest, bytes] = {}
    ordered: list[_Change] = sorted((sha256(key.encode()), key, value) for key, value in changes.items())
    node = _edit(store, fresh, Leaf(()) if root is None else read_node(store, root), ordered, 0)
    digest = _keep(fresh, node)
    used = _reachable(fresh, digest)
    store.put_many(fresh[name] for name in used)
    return digest


def get(store: Blobs, root: Digest, key: str) -> str | None:
    """The value of ``key``, or None; reads one node a level."""
    path = sha256(key.encode())
    node = read_node(store, root)
    depth = 0
    while isinstance(node, Branch):
        child = node.children[int(path[depth], 16)]
        if child is None:
            return None
        node = read_node(store, child[0])
        depth += 1
    return dict(node.entries).get(key)


def count(store: Blobs, root: Digest) -> int:
    """How many entries the map holds; reads one node."""
    return read_node(store, root).count


def items(store: Blobs, root: Digest) -> Iterator[tuple[str, str]]:
    """Every entry, in the order of the keys' hashes."""
    node = read_node(store, root)
    if isinstance(node, Leaf):
        yield from node.entries
        return
    for child in node.children:
        if child:
            yield from items(store, child[0])


def diff(store: Blobs, old: Digest, new: Digest) -> list[Difference]:
    """The keys in which two maps differ, sorted; equal subtrees are never read."""
    return sorted(_diff(store, old, new), key=lambda difference: difference.key)


def read_node(store: Blobs, digest: Digest) -> Node:
    """The node ``digest``. Raises :class:`ObjectDamaged` where the object is no node of a map."""
    data = store.get(digest)
    try:
        node = parse_node(data)
    except (ValueError, IndexError):
        raise ObjectDamaged(digest, "it should be a node of a map and is not") from None
    if encode_node(node) != data:
        raise ObjectDamaged(digest, "it is a node of a map, but not in canonical form")
    return node


def children(node: Node) -> list[Digest]:
    """The nodes that ``node`` refers to."""
    return [child[0] for child in node.children if child] if isinstance(node, Branch) else []


def encode_node(node: Node) -> bytes:
    """The canonical bytes of a node."""
    if isinstance(node, Leaf):
        return _LEAF_MAGIC + b"".join(_text(key) + _text(value) for key, value in node.entries)
    present = sum(1 << slot for slot, child in enumerate(node.children) if child)
    parts = [_BRANCH_MAGIC, present.to_bytes(2, "big")]
    parts += [bytes.fromhex(child[0]) + child[1].to_bytes(8, "big") for child in node.children if child]
    return b"".join(parts)


_Change: TypeAlias = tuple[str, str, str | None]


def _edit(store: Blobs, fresh: dict[Digest, bytes], node: Node, changes: list[_Change], depth: int) -> Node:
    """``node`` at ``depth`` with ``changes`` (path, key, value; sorted) applied, in canonical form."""
    if isinstance(node, Leaf):
        entries = dict(node.entries)
        for _path, key, value in changes:
            if value is None:
                entries.pop(key, None)
            else:
                entries[key] = value
        return _shape(fresh, entries, depth)
    slots = list(node.children)
    for slot, group in _by_digit(changes, depth):
        child = slots[slot]
        below = Leaf(()) if child is None else _load(store, fresh, child[0])
        edited = _edit(store, fresh, below, group, depth + 1)
        slots[slot] = (_keep(fresh, edited), edited.count) if edited.count else None
    branch = Branch(tuple(slots))
    if branch.count > LEAF:
        return branch
    return Leaf(tuple(sorted(entry for child in slots if child for entry in _leaf_entries(store, fresh, child[0]))))


def _shape(fresh: dict[Digest, bytes], entries: Mapping[str, str], depth: int) -> Node:
    """The canonical node for ``entries``: a leaf, or a branch over their paths' digits at ``depth``."""
    if len(entries) <= LEAF or depth == _DEPTH:
        return Leaf(tuple(sorted(entries.items())))
    below: list[dict[str, str]] = [{} for _ in range(16)]
    for key, value in entries.items():
        below[int(sha256(key.encode())[depth], 16)][key] = value
    nodes = [_shape(fresh, group, depth + 1) if group else None for group in below]
    return Branch(tuple((_keep(fresh, node), node.count) if node else None for node in nodes))


def _by_digit(changes: list[_Change], depth: int) -> Iterator[tuple[int, list[_Change]]]:
    groups: dict[int, list[_Change]] = {}
    for change in changes:
        groups.setdefault(int(change[0][depth], 16), []).append(change)
    yield from groups.items()


def _leaf_entries(store: Blobs, fresh: dict[Digest, bytes], digest: Digest) -> Iterator[tuple[str, str]]:
    node = _load(store, fresh, digest)
    if isinstance(node, Leaf):
        yield from node.entries
        return
    for child in children(node):
        yield from _leaf_entries(store, fresh, child)


def _load(store: Blobs, fresh: dict[Digest, bytes], digest: Digest) -> Node:
    return parse_node(fresh[digest]) if digest in fresh else read_node(store, digest)


def _keep(fresh: dict[Digest, bytes], node: Node) -> Digest:
    data = encode_node(node)
    digest = sha256(data)
    fresh[digest] = data
    return digest


def _reachable(fresh: Mapping[Digest, bytes], root: Digest) -> list[Digest]:
    """The new nodes that ``root`` needs, children first."""
    found: dict[Digest, None] = {}
    pending = [root]
    while pending:
        digest = pending.pop()
        if digest in fresh and digest not in found:
            found[digest] = None
            pending += children(parse_node(fresh[digest]))
    return list(reversed(found))


def _diff(store: Blobs, old: Digest | None, new: Digest | None) -> Iterator[Difference]:
    if old == new:
        return
    left = Leaf(()) if old is None else read_node(store, old)
    right = Leaf(()) if new is None else read_node(store, new)
    if isinstance(left, Branch) and isinstance(right, Branch):
        for a, b in zip(left.children, right.children, strict=True):
            yield from _diff(store, a and a[0], b and b[0])
        return
    before, after = (dict(_entries(store, node)) for node in (left, right))
    for key in before.keys() | after.keys():
        if before.get(key) != after.get(key):
            yield Difference(key, before.get(key), after.get(key))


def _entries(store: Blobs, node: Node) -> Iterator[tuple[str, str]]:
    if isinstance(node, Leaf):
        yield from node.entries
    for child in children(node):
        yield from items(store, child)


def _text(text: str) -> bytes:
    if is_digest(text):
        return b"\x20" + bytes.fromhex(text)
    data = text.encode("utf-8")
    return b"\x00" + len(data).to_bytes(4, "big") + data


def parse_node(data: bytes) -> Node:
    """The node of these bytes. Raises ``ValueError`` or ``IndexError``."""
    magic, body = data[:8], data[8:]
    if magic == _LEAF_MAGIC:
        texts: list[str] = []
        while body:
            text, body = _take(body)
            texts.append(text)
        if len(texts) % 2:
            raise ValueError("a key without a value")
        entries = tuple(zip(texts[::2], texts[1::2], strict=True))
        if list(entries) != sorted(dict(entries).items()):
            raise ValueError("keys out of order")
        return Leaf(entries)
    if magic != _BRANCH_MAGIC:
        raise ValueError("not a node")
    present = int.from_bytes(body[:2], "big")
    slots: list[tuple[Digest, int] | None] = []
    at = 2
    for slot in range(16):
        if present >> slot & 1:
            slots.append((Digest(body[at : at + 32].hex()), int.from_bytes(body[at + 32 : at + 40], "big")))
            at += 40
        else:
            slots.append(None)
    return Branch(tuple(slots))


def _take(body: bytes) -> tuple[str, bytes]:
    if body[0] == 0x20:
        if len(body) < 33:
            raise ValueError("short digest")
        return body[1:33].hex(), body[33:]
    end = 5 + int.from_bytes(body[1:5], "big")
    if body[0] != 0 or len(body) < end:
        raise ValueError("short text")
    return body[5:end].decode("utf-8"), body[end:]
