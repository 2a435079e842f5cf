"""The ledger of a version: which revision each fact has, and how two versions differ.

A ledger is a fan-out map from fact to revision, so a lookup reads a handful of nodes and a difference reads only what
differs. This module knows ids; what a revision says is the ledger's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kvault.ids import Digest, FactId, RevisionId
from kvault.objects import fanout
from kvault.objects.store import Blobs


@dataclass(frozen=True, slots=True)
class FactChange:
    """One fact in which two ledgers differ: its revision in each, None where it is absent."""

    fact: FactId
    old: RevisionId | None
    new: RevisionId | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The ledger under one root; calling it looks a fact up."""

    store: Blobs
    root: Digest

    def __call__(self, fact: FactId) -> RevisionId | None:
        """The revision of ``fact``, or None where the ledger does not hold it."""
        found = fanout.get(self.store, self.root, fact)
        return None if found is None else RevisionId(found)

    def __len__(self) -> int:
        return fanout.count(self.store, self.root)

    def items(self) -> Iterator[tuple[FactId, RevisionId]]:
        """Every fact with its revision."""
        for fact, revision in fanout.items(self.store, self.root):
            yield FactId(fact), RevisionId(revision)

    def with_changes(self, changes: Mapping[FactId, RevisionId | None]) -> Snapshot:
        """The ledger after ``changes`` (None retracts); its nodes are stored."""
        put: dict[str, str] = {fact: revision for fact, revision in changes.items() if revision is not None}
        gone = [fact for fact, revision in changes.items() if revision is None]
        return Snapshot(self.store, fanout.update(self.store, self.root, put, gone))


def empty(store: Blobs) -> Snapshot:
    """The ledger without facts."""
    return Snapshot(store, fanout.build(store, {}))


def ledger_diff(store: Blobs, old: Digest, new: Digest) -> list[FactChange]:
    """The facts in which two ledger roots differ, by fact."""
    return [
        FactChange(FactId(entry.key), _revision(entry.old), _revision(entry.new))
        for entry in fanout.diff(store, old, new)
    ]


def _revision(text: str | None) -> RevisionId | None:
    return None if text is None else RevisionId(text)
