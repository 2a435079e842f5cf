"""What a person types for a version: ``main``, ``HEAD~3``, ``main^2``, ``production@{1}``, ``main@{2026-08-01}``,
``A..B``, ``A...B``, ``^A``, or a unique prefix of an id.

Resolving reads refs, their logs and the graph. A ref's name comes before a prefix of an id that looks
the same. Errors name the part that could not be resolved, and every candidate where there are several.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlmodel import Session, col, select

from kvault.clock import iso
from kvault.errors import Conflict, NotFound
from kvault.history import graph, meta, refs
from kvault.history.syntax import HEX, SHORTEST, AsOf, Before, Parent, Revision, Step, Up, parse, split_range
from kvault.history.tables import CommitRow, ParentRow
from kvault.ids import CommitId

_CANDIDATES = 10


class UnknownRevision(NotFound):
    """Nothing has that name."""

    code = "unknown-revision"


class AmbiguousRevision(Conflict):
    """Several commits begin with these digits; ``candidates`` are their ids."""

    code = "ambiguous-revision"
    exit_status = 3

    def __init__(self, text: str, candidates: tuple[CommitId, ...], lines: tuple[str, ...]) -> None:
        super().__init__(
            f"several commits begin with {text}: {'; '.join(lines)}",
            revision=text,
            remedy="Type more digits.",
        )
        self.candidates = candidates

    def document(self) -> dict[str, object]:
        """The error with its candidates."""
        return {**super().document(), "candidates": list(self.candidates)}


class RangeKind(StrEnum):
    """What a range means: ``A..B`` what B has and A lacks, ``A...B`` what only one of them has."""

    SINGLE = ""
    SINCE = ".."
    EITHER = "..."


@dataclass(frozen=True, slots=True)
class Range:
    """A resolved range; for a single revision ``old`` is None."""

    kind: RangeKind
    old: CommitId | None
    new: CommitId


@dataclass(frozen=True, slots=True)
class Selection:
    """Commits as the ends that reach them: what ``starts`` lead to and ``without`` do not."""

    starts: tuple[CommitId, ...]
    without: tuple[CommitId, ...] = ()


def resolve(session: Session, text: str) -> CommitId:
    """The commit that ``text`` names.

    Raises :class:`MalformedRevision`, :class:`UnknownRevision`, :class:`AmbiguousRevision`.
    """
    revision = parse(text)
    first, rest = next(iter(revision.steps), None), revision.steps
    if isinstance(first, Before | AsOf):
        commit, rest = _from_log(session, revision, first), rest[1:]
    else:
        commit = _start(session, revision)
    for step in rest:
        commit = _walk(session, revision, commit, step)
    return commit


def resolve_range(session: Session, text: str) -> Range:
    """The range that ``text`` writes; a missing side is ``HEAD``. Raises as :func:`resolve`."""
    old, dots, new = split_range(text)
    if not dots:
        return Range(RangeKind.SINGLE, None, resolve(session, text))
    return Range(RangeKind(dots), resolve(session, old or "HEAD"), resolve(session, new or "HEAD"))


def select_commits(session: Session, texts: Sequence[str], all_refs: bool = False) -> Selection:
    """What several revisions choose together: each of ``A``, ``^A``, ``A..B`` and ``A...B`` adds its part.

    Where none says what to start from, that is ``HEAD``. Raises as :func:`resolve`.
    """
    starts: dict[CommitId, None] = dict.fromkeys(ref.target for ref in refs.refs(session)) if all_refs else {}
    without: dict[CommitId, None] = {}
    for text in texts:
        if text.startswith("^"):
            without[resolve(session, text[1:])] = None
            continue
        chosen = resolve_range(session, text)
        starts[chosen.new] = None
        if chosen.old is not None and chosen.kind is RangeKind.SINCE:
            without[chosen.old] = None
        elif chosen.old is not None:
            starts[chosen.old] = None
            without.update(dict.fromkeys(graph.load(session).merge_bases(chosen.old, chosen.new)))
    if not starts:
        starts[head_commit(session)] = None
    return Selection(tuple(starts), tuple(without))


def commits_of(commits: graph.Graph, chosen: Range) -> Iterator[CommitId]:
    """The commits of a range, descendants first, then newest first; a single revision's are all that lead to it."""
    match chosen.kind:
        case RangeKind.SINGLE:
            yield from commits.log([chosen.new])
        case RangeKind.SINCE:
            yield from commits.log([chosen.new], [chosen.old] if chosen.old else [])
        case RangeKind.EITHER:
            ends = [chosen.new, *([chosen.old] if chosen.old else [])]
            yield from commits.log(ends, commits.merge_bases(ends[0], ends[-1]))


def head_commit(session: Session) -> CommitId:
    """The commit that the current branch stands at."""
    return refs.read(session, meta.read(session, meta.Meta.HEAD)).target


def _ref_name(session: Session, start: str) -> str:
    return meta.read(session, meta.Meta.HEAD) if start == "HEAD" else start


def _start(session: Session, revision: Revision) -> CommitId:
    ref = refs.find(session, _ref_name(session, revision.start))
    if ref is not None:
        return ref.target
    if HEX.match(revision.start):
        return _prefixed(session, revision)
    raise _unknown(session, revision)


def _prefixed(session: Session, revision: Revision) -> CommitId:
    prefix = revision.start.lower()
    query = select(CommitRow.id, CommitRow.message).where(col(CommitRow.id).startswith(prefix))
    found = list(session.exec(query.order_by(col(CommitRow.id)).limit(_CANDIDATES)))
    if not found:
        raise _unknown(session, revision)
    if len(found) > 1:
        lines = tuple(f"{name[: max(12, len(prefix) + 4)]} {_first_line(message)}" for name, message in found)
        raise AmbiguousRevision(revision.start, tuple(CommitId(name) for name, _ in found), lines)
    return CommitId(found[0][0])


def _from_log(session: Session, revision: Revision, step: Before | AsOf) -> CommitId:
    name = _ref_name(session, revision.start)
    if refs.find(session, name) is None:
        raise _unknown(session, revision)
    rows = refs.reflog(session, name)
    if isinstance(step, AsOf):
        row = next((row for row in rows if row.at <= step.at), None)
        if row is None or row.new is None:
            first = f"; it was made at {iso(rows[-1].at)}" if rows and row is None else ""
            raise _nowhere(revision, f"{name} was nowhere at {step.text}{first}")
        return CommitId(row.new)
    places = [row.new for row in rows] + [row.old for row in rows[-1:]]
    found = places[step.moves] if step.moves < len(places) else None
    if found is None:
        raise _nowhere(revision, f"{name} has moved {max(0, len(rows) - 1)} times only")
    return CommitId(found)


def _walk(session: Session, revision: Revision, commit: CommitId, step: Step) -> CommitId:
    number = step.number if isinstance(step, Parent) else 1
    count = step.count if isinstance(step, Up) else 1
    if number == 0:
        return commit
    for done in range(count):
        query = select(ParentRow.parent).where(ParentRow.child == commit, ParentRow.position == number - 1)
        above = session.exec(query).first()
        if above is None:
            after = f" after {done} steps" if done else ""
            which = "no parent" if number == 1 else f"no parent number {number}"
            raise _nowhere(revision, f"{commit[:12]} has {which}{after}")
        commit = CommitId(above)
    return commit


def _unknown(session: Session, revision: Revision) -> UnknownRevision:
    names = [ref.name for ref in refs.refs(session)]
    near = difflib.get_close_matches(revision.start, names, n=3)
    hint = (
        f"Did you mean {', '.join(near)}?"
        if near
        else "List names with `kvault branch` and ids with `kvault log --all`."
    )
    if re.fullmatch(r"[0-9a-fA-F]{1,3}", revision.start):
        hint = f"An id needs at least {SHORTEST} digits."
    return UnknownRevision(
        f"no branch, tag, alias or commit is called {revision.start!r}", revision=revision.text, remedy=hint
    )


def _nowhere(revision: Revision, what: str) -> UnknownRevision:
    return UnknownRevision(what, revision=revision.text, remedy="Look with `kvault log` and `kvault reflog`.")


def _first_line(message: str) -> str:
    return message.partition("\n")[0][:60]
