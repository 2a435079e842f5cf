"""What a commit is: a value, its canonical bytes, and its id.

The id is the SHA-256 of the bytes, and the bytes hold weights (the tree) and ledger alike, so "which facts" and "which
weights" cannot drift apart. Signatures, reports, approvals and packing are statements about a commit and are not in it.
``docs/format.md`` states the document with literal vectors. This module knows no database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from kvault.errors import Damaged, InvalidInput
from kvault.history.wording import ACTOR_LIMIT, MESSAGE_LIMIT, VERB_LIMIT, one_line, several_lines
from kvault.ids import (
    Canonical,
    CommitId,
    Digest,
    RecipeId,
    RecordId,
    RunId,
    canonical_json,
    is_digest,
    sha256,
)

FORMAT = "kvault commit 1"
_LISTS = ("parents", "records_added", "records_removed", "recipes")


class CommitDamaged(Damaged):
    """Bytes that should be a commit are none."""

    code = "commit-damaged"


@dataclass(frozen=True, slots=True)
class CommitBody:
    """Everything that a commit's id depends on.

    Records are sets and recipes are a set: they are sorted here, so that their order never reaches the id. Parents are
    ordered; the first is the line of history that the commit continues. Times are integer microseconds. Raises
    :class:`InvalidInput` for a digest, a text or a time that cannot stand.
    """

    tree: Digest
    ledger_root: Digest
    parents: tuple[CommitId, ...]
    verb: str
    author: str
    committer: str
    authored_at: int
    committed_at: int
    message: str = ""
    arguments: Mapping[str, Canonical] = field(default_factory=dict)
    batch: Digest | None = None
    """The digest of the sealed batch that was applied."""
    records_added: tuple[RecordId, ...] = ()
    records_removed: tuple[RecordId, ...] = ()
    recipes: tuple[RecipeId, ...] = ()
    run: RunId | None = None

    def __post_init__(self) -> None:
        texts = {
            "verb": one_line(self.verb, "verb", VERB_LIMIT),
            "author": one_line(self.author, "author", ACTOR_LIMIT),
            "committer": one_line(self.committer, "committer", ACTOR_LIMIT),
            "message": several_lines(self.message, "message", MESSAGE_LIMIT),
        }
        sets = {
            name: tuple(sorted(set(getattr(self, name)))) for name in ("records_added", "records_removed", "recipes")
        }
        for name, value in {**texts, **sets}.items():
            object.__setattr__(self, name, value)
        self._check()

    def _check(self) -> None:
        named: dict[str, tuple[str, ...]] = {
            "tree": (self.tree,),
            "ledger_root": (self.ledger_root,),
            "batch": () if self.batch is None else (self.batch,),
            **{name: getattr(self, name) for name in _LISTS},
        }
        for name, digests in named.items():
            for digest in digests:
                if not is_digest(str(digest)):
                    raise InvalidInput(f"{digest!r} is not a digest", field=name, remedy="Give 64 hexadecimal digits.")
        if len(set(self.parents)) < len(self.parents):
            raise InvalidInput("a parent is named twice", field="parents", remedy="Name each parent once.")
        if both := sorted(set(self.records_added) & set(self.records_removed)):
            raise InvalidInput("a record is both added and removed", record=both[0], remedy="Leave it out of both.")
        if self.authored_at < 0 or self.committed_at < 0:
            raise InvalidInput("a time is before 1970", field="committed_at", remedy="Set the machine's clock.")

    def document(self) -> dict[str, Canonical]:
        """The body as the JSON object that is hashed."""
        return {
            "format": FORMAT,
            "tree": self.tree,
            "ledger_root": self.ledger_root,
            "parents": list(self.parents),
            "batch": self.batch,
            "records_added": list(self.records_added),
            "records_removed": list(self.records_removed),
            "recipes": list(self.recipes),
            "verb": self.verb,
            "arguments": dict(self.arguments),
            "author": self.author,
            "committer": self.committer,
            "authored_at": self.authored_at,
            "committed_at": self.committed_at,
            "message": self.message,
            "run": self.run,
        }

    @property
    def id(self) -> CommitId:
        """The SHA-256 of :func:`encode`."""
        return commit_id(encode(self))


def encode(body: CommitBody) -> bytes:
    """The canonical bytes of a commit."""
    return canonical_json(body.document())


def commit_id(data: bytes) -> CommitId:
    """The id of a commit with these bytes."""
    return CommitId(sha256(data))


def decode(data: bytes) -> CommitBody:
    """The commit of canonical bytes. Raises :class:`CommitDamaged` for anything that :func:`encode` never wrote."""
    try:
        document = json.loads(data.decode("utf-8"))
        if not isinstance(document, dict) or document.pop("format", None) != FORMAT:
            raise ValueError("another format")
        if set(document) != {entry.name for entry in fields(CommitBody)}:
            raise ValueError("other fields than a commit's")
        values: dict[str, Any] = {**document, **{name: tuple(document[name]) for name in _LISTS}}
        body = CommitBody(**values)
        if encode(body) != data:
            raise ValueError("not in canonical form")
    except (ValueError, TypeError, AttributeError, InvalidInput) as error:
        what = error.message if isinstance(error, InvalidInput) else str(error)
        raise CommitDamaged(
            f"a commit cannot be read: {what}", remedy="Run `kvault fsck`; restore the database from a copy."
        ) from None
    return body
