"""What a tree is: the exact weights of a version, by digest.

A tree names the base model's fingerprint, the SHA-256 of each edited tensor's final values, the memories that stand
beside the weights, and the set of records that all of it is computed from. Equal sets of records under equal recipes
give equal trees. This module knows digests only; whoever materialises a version compares them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvault.ids import Canonical, Digest, RecipeId, RecordId, canonical_json, is_digest
from kvault.objects import fanout
from kvault.objects.failures import ObjectDamaged
from kvault.objects.store import Blobs, parse_document

FORMAT = "kvault tree 1"


@dataclass(frozen=True, slots=True)
class Tree:
    """The digests of one version.

    ``tensors`` maps a tensor's name to the SHA-256 of its float32 little-endian values in C order; ``memories`` maps a
    memory's kind to the digest of its sorted record ids; ``records`` is the root of a fan-out map from record id to
    the recipe it was made under.
    """

    base: Digest
    records: Digest
    tensors: Mapping[str, Digest]
    memories: Mapping[str, Digest]
    recipes: tuple[RecipeId, ...]

    def document(self) -> dict[str, Canonical]:
        """The tree as the JSON object that is hashed."""
        return {
            "format": FORMAT,
            "base": self.base,
            "tensors": dict(self.tensors),
            "memories": dict(self.memories),
            "recipes": sorted(self.recipes),
            "records": self.records,
        }

    def encode(self) -> bytes:
        """The canonical bytes; their SHA-256 is the tree's digest."""
        return canonical_json(self.document())


def decode_tree(data: bytes, digest: Digest) -> Tree:
    """The tree in ``data``, the bytes of ``digest``. Raises :class:`ObjectDamaged`."""
    document = parse_document(data, digest)
    try:
        tree = Tree(
            base=_digest(document["base"]),
            records=_digest(document["records"]),
            tensors=_digests(document["tensors"]),
            memories=_digests(document["memories"]),
            recipes=tuple(RecipeId(_digest(item)) for item in _list(document["recipes"])),
        )
    except (KeyError, TypeError, ValueError):
        raise ObjectDamaged(digest, "it should be a tree and is not") from None
    if tree.encode() != data:
        raise ObjectDamaged(digest, "it should be a tree in canonical form and is not")
    return tree


def read_tree(store: Blobs, digest: Digest) -> Tree:
    """The tree that ``digest`` names."""
    return decode_tree(store.get(digest), digest)


def put_tree(store: Blobs, tree: Tree) -> Digest:
    """Store ``tree`` and return its digest."""
    return store.put_many([tree.encode()])[0]


def tree_records(store: Blobs, tree: Tree) -> dict[RecordId, RecipeId]:
    """Every record of a version with the recipe that it was made under."""
    return {RecordId(record): RecipeId(recipe) for record, recipe in fanout.items(store, tree.records)}


def _digest(value: object) -> Digest:
    if not isinstance(value, str) or not is_digest(value):
        raise ValueError(value)
    return Digest(value)


def _digests(value: object) -> dict[str, Digest]:
    if not isinstance(value, dict):
        raise TypeError(value)
    return {str(name): _digest(item) for name, item in value.items()}


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(value)
    return value
