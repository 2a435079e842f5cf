"""How two commits differ: in their facts, their records and their weights.

Reads the two trees and only those nodes of their maps that differ. Knows ids, not what they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvault.history.commits import CommitBody
from kvault.history.snapshots import FactChange, ledger_diff
from kvault.history.trees import read_tree
from kvault.ids import RecordId
from kvault.objects import fanout
from kvault.objects.store import Blobs


@dataclass(frozen=True, slots=True)
class CommitDifference:
    """What has to change to get from ``old`` to ``new``."""

    facts: tuple[FactChange, ...]
    records_added: tuple[RecordId, ...]
    records_removed: tuple[RecordId, ...]
    same_tree: bool


def commit_diff(store: Blobs, old: CommitBody, new: CommitBody) -> CommitDifference:
    """The difference between two commits of one store."""
    facts = tuple(ledger_diff(store, old.ledger_root, new.ledger_root))
    if old.tree == new.tree:
        return CommitDifference(facts, (), (), same_tree=True)
    left, right = read_tree(store, old.tree), read_tree(store, new.tree)
    records = fanout.diff(store, left.records, right.records)
    return CommitDifference(
        facts,
        records_added=tuple(RecordId(entry.key) for entry in records if entry.new is not None),
        records_removed=tuple(RecordId(entry.key) for entry in records if entry.new is None),
        same_tree=False,
    )
