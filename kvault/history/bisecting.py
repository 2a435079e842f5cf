"""Searching a graph for the first bad commit: which commit to ask next, and when the answer is known.

Pure: a search is what was said of commits so far, and everything follows from it and the graph. A bad commit's
candidates are its ancestors that no good commit has; the next to ask is the one that comes nearest to halving them,
whatever was merged with what.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import log2

from kvault.errors import Conflict
from kvault.history.graph import Graph
from kvault.ids import CommitId


class Mark(StrEnum):
    """What is said of a commit."""

    GOOD = "good"
    BAD = "bad"
    SKIP = "skip"


class BisectConfused(Conflict):
    """What was said cannot all be true."""

    code = "bisect-confused"


@dataclass(frozen=True, slots=True)
class Search:
    """What was said so far. ``bad`` is the oldest commit that is known to be bad."""

    bad: CommitId | None = None
    good: frozenset[CommitId] = field(default=frozenset())
    skipped: frozenset[CommitId] = field(default=frozenset())

    def marked(self, commit: CommitId, mark: Mark) -> Search:
        """The search after one more thing was said; what was said of the same commit before is taken back."""
        plain = Search(None if self.bad == commit else self.bad, self.good - {commit}, self.skipped - {commit})
        match mark:
            case Mark.BAD:
                return replace(plain, bad=commit)
            case Mark.GOOD:
                return replace(plain, good=plain.good | {commit})
            case _:
                return replace(plain, bad=self.bad, skipped=plain.skipped | {commit})


@dataclass(frozen=True, slots=True)
class Step:
    """Where a search stands.

    ``ask`` is the commit to look at next, None where there is none; ``first_bad`` the answer once it is known;
    ``suspects`` the commits of which one is the answer, where only skipped ones are left. ``remaining`` counts the
    candidates, and ``steps_left`` estimates how many answers are still needed.
    """

    ask: CommitId | None = None
    first_bad: CommitId | None = None
    suspects: tuple[CommitId, ...] = ()
    remaining: int = 0
    steps_left: int = 0
    base_first: bool = False
    """Whether ``ask`` is a common ancestor that has to be good for the search to make sense."""


def next_step(graph: Graph, search: Search) -> Step:
    """Where ``search`` stands in ``graph``. Raises :class:`BisectConfused`.

    Without a bad and a good commit there is nothing to ask yet.
    """
    if search.bad is None or not search.good:
        return Step()
    above, known = graph.ancestors([search.bad]), graph.ancestors(search.good)
    if search.bad in known:
        raise BisectConfused(
            "a good commit comes after the bad one, so the change that is searched was undone, not made",
            bad=search.bad[:12],
            remedy="Look for the undoing with good and bad exchanged, or mark the commits anew.",
        )
    aside = search.good - above
    trusted = graph.ancestors(search.good & above)
    bases = {base for good in aside for base in graph.merge_bases(good, search.bad)} - trusted - search.skipped
    if bases:
        return Step(min(bases), remaining=len(above - known), steps_left=1, base_first=True)
    return _halve(graph, above - known, search)


def _halve(graph: Graph, candidates: set[CommitId], search: Search) -> Step:
    """The candidate that comes nearest to halving the others; of equal ones the oldest, then by id."""
    if len(candidates) == 1:
        return Step(first_bad=search.bad, remaining=1)
    below = reachable(graph, candidates)
    count = len(candidates)
    open_ = [commit for commit in candidates if commit != search.bad and commit not in search.skipped]
    if not open_:
        suspects = sorted(candidates, key=lambda commit: (graph.dates[commit], commit))
        return Step(suspects=tuple(suspects), remaining=count)
    best = min(open_, key=lambda commit: (-min(below[commit], count - below[commit]), graph.dates[commit], commit))
    return Step(best, remaining=count, steps_left=max(1, round(log2(count))))


def reachable(graph: Graph, candidates: set[CommitId]) -> dict[CommitId, int]:
    """For each candidate how many candidates it leads back to, itself included.

    The sets are bits of integers, so ten thousand commits take well under a second.
    """
    ordered = [commit for commit in graph.log(candidates) if commit in candidates][::-1]
    bits: dict[CommitId, int] = {}
    for place, commit in enumerate(ordered):
        reached = 1 << place
        for parent in graph.parents[commit]:
            if parent in candidates:
                reached |= bits[parent]
        bits[commit] = reached
    return {commit: reached.bit_count() for commit, reached in bits.items()}


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that was said: who said what of which commit and when (microseconds)."""

    commit: CommitId
    mark: Mark
    actor: str
    at: int
    why: str = ""

    def document(self) -> dict[str, object]:
        """The form that a row keeps."""
        return {"commit": self.commit, "mark": self.mark.value, "actor": self.actor, "at": self.at, "why": self.why}

    @staticmethod
    def read(document: Mapping[str, object]) -> Said:
        """What a row keeps."""
        return Said(
            CommitId(str(document["commit"])),
            Mark(str(document["mark"])),
            str(document["actor"]),
            int(str(document["at"])),
            str(document.get("why", "")),
        )


def search_of(said: Iterable[Said]) -> Search:
    """The search that follows from all that was said, in its order."""
    search = Search()
    for each in said:
        search = search.marked(each.commit, each.mark)
    return search
