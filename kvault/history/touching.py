"""Which commits changed which facts.

A commit changes a fact when the fact's revision differs from that in each of its parents, so a merge that only takes a
side over changes nothing. A commit's batch says what it changed beside its first parent; what a merge changed, and what
a commit without a batch did, is seen by comparing ledgers, in those nodes only in which they differ. This module knows
ids, and of texts only whether a revision holds one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Table, func, select
from sqlmodel import Session

from kvault.history.graph import Graph
from kvault.history.snapshots import FactChange, Snapshot, ledger_diff
from kvault.history.tables import CommitRow
from kvault.ids import CommitId, Digest, FactId, RevisionId, nfc
from kvault.ledger.tables import ChangeRow, RevisionRow
from kvault.objects.store import Blobs

_COMMITS: Table = CommitRow.__table__  # type: ignore[attr-defined]
_CHANGES: Table = ChangeRow.__table__  # type: ignore[attr-defined]
_REVISIONS: Table = RevisionRow.__table__  # type: ignore[attr-defined]
_CHUNK = 400

Touched = dict[CommitId, list[FactChange]]
"""For each commit that changes a fact, its changes by fact; ``old`` is the first parent's revision."""


@dataclass(frozen=True, slots=True)
class Chronicle:
    """What is needed to find changes: the rows, the objects and the graph."""

    session: Session
    store: Blobs
    found: Graph

    def touching(self, facts: Collection[FactId], among: Collection[CommitId]) -> Touched:
        """The commits of ``among`` that change one of ``facts``, with those changes."""
        wanted = set(facts)
        within = among if isinstance(among, set | frozenset | dict) else set(among)
        touched = {commit: changes for commit, changes in self.told(wanted).items() if commit in within}
        merges = [commit for commit in touched if len(self.found.parents[commit]) > 1]
        for commit in (*merges, *(commit for commit in self.loose() if commit in within)):
            if changes := [change for change in self.compared(commit) if change.fact in wanted]:
                touched[commit] = changes
            else:
                touched.pop(commit, None)
        return touched

    def told(self, facts: Collection[FactId]) -> Touched:
        """The commits whose batch changes one of ``facts`` beside the first parent, with those changes."""
        batches = self._batches_of(facts)
        found: Touched = {}
        for part in _parts(batches):
            query = select(_COMMITS.c.id, _COMMITS.c.batch_id).where(_COMMITS.c.batch_id.in_(part))
            for commit, batch in self.session.connection().execute(query):
                if commit in self.found.parents:
                    found[commit] = batches[batch]
        return found

    def loose(self) -> set[CommitId]:
        """The commits that have parents and no batch to say what they changed."""
        query = select(_COMMITS.c.id).where(_COMMITS.c.batch_id.is_(None))
        loose = self.session.connection().execute(query).scalars()
        return {CommitId(commit) for commit in loose if self.found.parents[commit]}

    def holding(self, commits: Sequence[CommitId], fact: FactId, revision: RevisionId) -> CommitId | None:
        """The first of ``commits`` whose ledger has this revision of a fact, or None."""
        roots = self._roots(commits)
        return next((each for each in commits if Snapshot(self.store, roots[each])(fact) == revision), None)

    def changes(self, commits: Collection[CommitId]) -> Touched:
        """Everything that each of ``commits`` changes, by fact."""
        found: Touched = {}
        for part in _parts(commits):
            query = select(_COMMITS.c.id, _COMMITS.c.batch_id).where(_COMMITS.c.id.in_(part))
            batches = {CommitId(commit): batch for commit, batch in self.session.connection().execute(query)}
            net = self._net(_CHANGES.c.batch_id.in_([batch for batch in batches.values() if batch]))
            for commit, batch in batches.items():
                told = batch is not None and len(self.found.parents[commit]) < 2
                found[commit] = net.get(batch, []) if told else self.compared(commit)
        return found

    def compared(self, commit: CommitId) -> list[FactChange]:
        """What a commit changes, by its ledger beside those of its parents."""
        parents = self.found.parents[commit]
        roots = self._roots((commit, *parents))
        if not parents or any(roots[parent] == roots[commit] for parent in parents):
            return []
        first, *others = [ledger_diff(self.store, roots[parent], roots[commit]) for parent in parents]
        everywhere = set.intersection({change.fact for change in first}, *({c.fact for c in each} for each in others))
        return [change for change in first if change.fact in everywhere]

    def _batches_of(self, facts: Collection[FactId]) -> dict[str, list[FactChange]]:
        found: dict[str, list[FactChange]] = {}
        for part in _parts(sorted(facts)):
            for batch, changes in self._net(_CHANGES.c.fact_id.in_(part)).items():
                found.setdefault(batch, []).extend(changes)
        return found

    def _net(self, condition: object) -> dict[str, list[FactChange]]:
        """What batches did to each fact in the end; what they undid themselves is left out."""
        columns = select(_CHANGES.c.batch_id, _CHANGES.c.fact_id, _CHANGES.c.before, _CHANGES.c.after)
        query = columns.where(condition).order_by(_CHANGES.c.batch_id, _CHANGES.c.position)  # type: ignore[arg-type]
        net: dict[tuple[str, FactId], tuple[RevisionId | None, RevisionId | None]] = {}
        for batch, fact, before, after in self.session.connection().execute(query):
            first = net[batch, fact][0] if (batch, fact) in net else before
            net[batch, fact] = (first, after)
        found: dict[str, list[FactChange]] = {}
        for (batch, fact), (before, after) in net.items():
            if before != after:
                found.setdefault(batch, []).append(FactChange(fact, before, after))
        return found

    def _roots(self, commits: Iterable[CommitId]) -> dict[CommitId, Digest]:
        query = select(_COMMITS.c.id, _COMMITS.c.ledger_root).where(_COMMITS.c.id.in_(list(commits)))
        return {CommitId(commit): Digest(root) for commit, root in self.session.connection().execute(query)}


def holding(session: Session, text: str) -> dict[RevisionId, FactId]:
    """The revisions whose object holds ``text``, upper and lower case told apart, with their facts."""
    find: Callable[..., object] = func.strpos if session.get_bind().dialect.name == "postgresql" else func.instr
    query = select(_REVISIONS.c.digest, _REVISIONS.c.fact_id).where(find(_REVISIONS.c.object, nfc(text)) > 0)  # type: ignore[arg-type,operator]
    return {RevisionId(revision): FactId(fact) for revision, fact in session.connection().execute(query)}


def bringing(chronicle: Chronicle, text: str, among: Collection[CommitId]) -> Touched:
    """The commits that bring in or take out an object with ``text``, with the changes that do."""
    held = holding(chronicle.session, text)
    touched = chronicle.touching(set(held.values()), among)
    kept = {
        commit: [change for change in changes if (change.old in held) != (change.new in held)]
        for commit, changes in touched.items()
    }
    return {commit: changes for commit, changes in kept.items() if changes}


def taught_by(chronicle: Chronicle, start: CommitId, fact: FactId, revision: RevisionId) -> CommitId:
    """The commit, ``start`` or before it, that brought a fact's revision into the ledger of ``start``.

    Along a merge the first parent that holds the revision is followed.
    """
    asked = chronicle.told({fact}).keys() | chronicle.loose()
    commit = start
    while parents := chronicle.found.parents[commit]:
        above = chronicle.holding(parents, fact, revision) if commit in asked else parents[0]
        if above is None:
            return commit
        commit = above
    return commit


def _parts(values: Iterable[str]) -> Iterator[list[str]]:
    listed = list(values)
    for first in range(0, len(listed), _CHUNK):
        yield listed[first : first + _CHUNK]
