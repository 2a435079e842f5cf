"""Three-way merging of ledgers: a rule over names, without a word of what the names say.

A value that only one side changed is taken; what both changed alike is taken once; everything else is left open for a
person. Where two lines of history have several best common ancestors, those are merged by the same rule first, and what
they leave open counts as changed by everybody: it equals no value, not even itself. So nothing is ever decided by an
ancestor that the other ancestors contradict, and the outcome does not depend on which side is called ours.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Literal, TypeAlias, TypeVar

from kvault.history.graph import Graph
from kvault.history.snapshots import Snapshot, empty, ledger_diff
from kvault.ids import CommitId, Digest, FactId, RevisionId
from kvault.objects.store import Blobs

V = TypeVar("V", bound=Hashable)


class Mark(Enum):
    """What stands in a value's place where none could be decided."""

    OPEN = "open"


OPEN: Final = Mark.OPEN
Open: TypeAlias = Literal[Mark.OPEN]
Value: TypeAlias = RevisionId | Open | None
"""A fact's revision, None where it is absent, or open."""


def decide(base: V | Open, ours: V | Open, theirs: V | Open) -> V | Open:
    """The merged value of one name, or :data:`OPEN`; the same with ``ours`` and ``theirs`` exchanged."""
    if isinstance(ours, Mark) or isinstance(theirs, Mark):
        return OPEN
    if ours == theirs:
        return ours
    if base == ours:
        return theirs
    return ours if base == theirs else OPEN


@dataclass(frozen=True, slots=True)
class Layered:
    """A ledger with values laid over it: a commit's own, or that of several ancestors merged."""

    ledger: Snapshot
    over: Mapping[FactId, Value] = field(default_factory=dict)

    def __call__(self, fact: FactId) -> Value:
        """The value of a fact."""
        return self.over[fact] if fact in self.over else self.ledger(fact)


@dataclass(frozen=True, slots=True)
class Meeting:
    """One fact that their side changed: its value in each of three ledgers and the merged one."""

    fact: FactId
    base: Value
    ours: RevisionId | None
    theirs: RevisionId | None
    merged: Value


def meetings(store: Blobs, base: Layered, ours: Snapshot, theirs: Snapshot) -> list[Meeting]:
    """The facts that ``theirs`` changed since ``base`` and that ``ours`` does not have so, sorted by fact.

    Reads only what differs between ``base`` and ``theirs``; every other fact stays as it is in ``ours``.
    """
    found = []
    for fact in _changed(store, base, Layered(theirs)):
        values = base(fact), ours(fact), theirs(fact)
        if values[1] != values[2] and values[0] != values[2]:
            found.append(Meeting(fact, *values, decide(*values)))
    return found


def best_common(graph: Graph, left: Iterable[CommitId], right: Iterable[CommitId]) -> list[CommitId]:
    """The common ancestors of two groups of commits that no other common ancestor descends from, sorted."""
    common = graph.ancestors(left) & graph.ancestors(right)
    covered = graph.ancestors(parent for commit in common for parent in graph.parents[commit])
    return sorted(common - covered)


def common_ledger(store: Blobs, graph: Graph, bases: Iterable[CommitId], root: Callable[[CommitId], Digest]) -> Layered:
    """The ledger that two lines of history with these best common ancestors have in common.

    Of one ancestor it is that ancestor's. Several are merged in the order of their ids, each with the ledger that they
    have in common as the base; an ancestor without any stands on the empty ledger. ``root`` gives a commit's ledger.
    """
    ordered = sorted(bases)
    if not ordered:
        return Layered(empty(store))
    joined, merged = [ordered[0]], Layered(Snapshot(store, root(ordered[0])))
    for commit in ordered[1:]:
        beneath = common_ledger(store, graph, best_common(graph, joined, [commit]), root)
        merged = _joined(store, beneath, merged, Layered(Snapshot(store, root(commit))))
        joined.append(commit)
    return merged


def common_value(values: Iterable[V]) -> V | Open:
    """The one value that all of several ancestors have, else :data:`OPEN`."""
    distinct = set(values)
    return distinct.pop() if len(distinct) == 1 else OPEN


def _joined(store: Blobs, base: Layered, left: Layered, right: Layered) -> Layered:
    """Two ledgers merged over ``base``, as a layer over ``left``."""
    over = dict(left.over)
    for fact in _changed(store, base, right):
        over[fact] = decide(base(fact), left(fact), right(fact))
    return Layered(left.ledger, over)


def _changed(store: Blobs, base: Layered, side: Layered) -> list[FactId]:
    """The facts that may differ between ``base`` and ``side``, sorted."""
    plain = ledger_diff(store, base.ledger.root, side.ledger.root)
    return sorted({change.fact for change in plain} | set(base.over) | set(side.over))
