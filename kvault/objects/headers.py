"""What an object is and what it names, from its first bytes: no tensor is decoded and nothing heavy is loaded.

A collection follows names through objects whose meaning it does not know: it asks here which digests an object names,
and takes too many rather than too few. Maps name their children and entries, JSON documents any digest in them, tensor
files those of their header; other bytes name nothing.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum

from kvault.ids import Digest
from kvault.objects import fanout
from kvault.objects.failures import ObjectDamaged

_DIGEST = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MAP = b"kvmap"


class Form(StrEnum):
    """What an object's first bytes say that it is."""

    MAP = "map nodes"
    DOCUMENT = "documents"
    TENSORS = "tensor files"
    BYTES = "plain bytes"


def form_of(head: bytes, size: int) -> Form:
    """The form of an object of ``size`` bytes that begins with ``head``."""
    if head.startswith(_MAP):
        return Form.MAP
    if head[:1] in (b"{", b"["):
        return Form.DOCUMENT
    length = int.from_bytes(head[:8], "little")
    if size > 8 and head[8:9] == b"{" and length % 8 == 0 and length <= size - 8:
        return Form.TENSORS
    return Form.BYTES


def header(head: bytes) -> dict[str, object] | None:
    """The ``kvault`` document of the tensor file that begins with ``head``; None where there is none in it."""
    length = int.from_bytes(head[:8], "little")
    try:
        outer = json.loads(head[8 : 8 + length].decode("utf-8"))
        found = json.loads(outer["__metadata__"]["kvault"])
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def named_in_text(data: bytes) -> set[Digest]:
    """Every digest that a text writes out."""
    return {Digest(match.decode("ascii")) for match in _DIGEST.findall(data)}


def named_in_node(data: bytes, digest: Digest) -> set[Digest]:
    """The children of a map's node, and those of its keys and values that are digests."""
    try:
        node = fanout.parse_node(data)
    except (ValueError, IndexError):
        raise ObjectDamaged(digest, "it should be a node of a map and is not") from None
    if isinstance(node, fanout.Branch):
        return set(fanout.children(node))
    texts = (text for entry in node.entries for text in entry)
    return {Digest(text) for text in texts if len(text) == 64}


def named_in_header(head: bytes) -> set[Digest]:
    """The digests in a tensor file's header."""
    length = int.from_bytes(head[:8], "little")
    return named_in_text(head[8 : 8 + length])


def shapes(head: bytes) -> dict[str, tuple[int, ...]]:
    """The tensors' shapes in the file that begins with ``head``; none where its header is not whole."""
    length = int.from_bytes(head[:8], "little")
    try:
        outer = json.loads(head[8 : 8 + length].decode("utf-8"))
        return {name: tuple(int(side) for side in entry["shape"]) for name, entry in outer.items() if "shape" in entry}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}
