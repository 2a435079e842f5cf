"""What is kept beside commits, and when a version's whole tensors are worth keeping.

A keyframe is a document that names the values of a version's edited tensors, each an object of raw float32 named by
the very digest that the tree names, so reading one verifies it. It is a pack: no id depends on it, and it may be let go
and made again at any time. This module knows headers and sizes, no tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, insert
from sqlmodel import Session, col, select

from kvault.history import audit
from kvault.history.graph import Graph
from kvault.history.publish import Pack
from kvault.history.tables import CommitRow, PackRow
from kvault.ids import Canonical, CommitId, Digest, is_digest
from kvault.objects import headers
from kvault.objects.failures import ObjectDamaged, ObjectMissing
from kvault.objects.store import Blobs, ObjectStore, parse_document

FORMAT = "kvault keyframe 1"
EVERY = 50
"""The longest path of commits without whole tensors at its end or on it."""


@dataclass(frozen=True, slots=True)
class Keyframe:
    """The whole tensors of a tree: for each its values' digest and its shape."""

    tree: Digest
    tensors: Mapping[str, tuple[Digest, tuple[int, ...]]]

    def document(self) -> dict[str, Canonical]:
        """The keyframe as the JSON object that is stored."""
        tensors: dict[str, Canonical] = {
            name: {"shape": list(shape), "values": digest} for name, (digest, shape) in self.tensors.items()
        }
        return {"format": FORMAT, "tree": self.tree, "tensors": tensors}


@dataclass(frozen=True, slots=True)
class Road:
    """The way from a commit to the nearest whole tensors: commits, bytes of factors, and bytes of the whole."""

    length: int
    factors: int
    whole: int

    def reason(self, every: int) -> str:
        """Why whole tensors should be kept at its end; empty where they should not."""
        if self.length >= every:
            return f"{self.length} commits since the last one"
        if self.whole and self.factors > self.whole:
            return f"factors of {self.factors} bytes outgrew {self.whole}"
        return ""


def read_keyframe(store: Blobs, digest: Digest) -> Keyframe:
    """The keyframe of a digest. Raises :class:`~kvault.objects.failures.ObjectDamaged`."""
    document = parse_document(store.get(digest), digest)
    try:
        tensors = document["tensors"]
        assert isinstance(tensors, dict)
        found = {
            str(name): (Digest(each["values"]), tuple(int(side) for side in each["shape"]))
            for name, each in tensors.items()
        }
        if document["format"] != FORMAT or not all(is_digest(values) for values, _ in found.values()):
            raise ValueError(FORMAT)
        return Keyframe(Digest(str(document["tree"])), found)
    except (KeyError, TypeError, ValueError, AssertionError):
        raise ObjectDamaged(digest, "it should be a keyframe and is not") from None


def keyframe_of_tree(session: Session, tree: Digest) -> Digest | None:
    """A keyframe of any commit with this tree."""
    query = select(PackRow.digest).join(CommitRow, col(CommitRow.id) == col(PackRow.commit_id))
    query = query.where(CommitRow.tree == tree, PackRow.kind == Pack.KEYFRAME.value).order_by(col(PackRow.commit_id))
    found = session.exec(query).first()
    return None if found is None else Digest(found)


def keyframes(session: Session) -> dict[CommitId, Digest]:
    """Every commit that has whole tensors beside it."""
    rows = session.exec(select(PackRow.commit_id, PackRow.digest).where(PackRow.kind == Pack.KEYFRAME.value))
    return {CommitId(commit): Digest(digest) for commit, digest in rows}


def keep(session: Session, commit: CommitId, kind: Pack, digest: Digest, actor: str, now: int) -> None:
    """Put a pack beside a commit, in place of another of its kind."""
    session.connection().execute(
        delete(PackRow).where(col(PackRow.commit_id) == commit, col(PackRow.kind) == kind.value)
    )
    session.connection().execute(insert(PackRow).values(commit_id=commit, kind=kind.value, digest=digest))
    detail = {"kind": kind.value, "digest": digest}
    audit.append(session, actor=actor, verb="pack.keep", subject=commit, detail=detail, at=now)


def let_go(session: Session, commit: CommitId, kind: Pack, actor: str, now: int) -> None:
    """Take a pack from a commit; its objects are collected later."""
    session.connection().execute(
        delete(PackRow).where(col(PackRow.commit_id) == commit, col(PackRow.kind) == kind.value)
    )
    audit.append(session, actor=actor, verb="pack.drop", subject=commit, detail={"kind": kind.value}, at=now)


def road(session: Session, store: ObjectStore, commits: Graph, start: CommitId) -> Road:
    """The way from ``start`` along first parents to the nearest commit with whole tensors, or to the base."""
    kept = keyframes(session)
    trees = dict(session.exec(select(CommitRow.id, CommitRow.tree)).all())
    whole_trees = {trees[commit] for commit in kept}
    deltas = dict(session.exec(select(PackRow.commit_id, PackRow.digest).where(PackRow.kind == Pack.DELTA.value)).all())
    length, factors, whole = 0, 0, 0
    for commit in commits.first_parents(start):
        if trees[commit] in whole_trees:
            break
        if commit in deltas:
            length += 1
            size, dense = _sizes(store, Digest(deltas[commit]))
            factors, whole = factors + size, max(whole, dense)
    return Road(length, factors, whole)


def _sizes(store: ObjectStore, digest: Digest) -> tuple[int, int]:
    """The bytes of a delta, and of the whole tensors that it changes, from its header."""
    try:
        shapes = headers.shapes(store.head(digest))
        size = store.size(digest)
    except (ObjectMissing, ObjectDamaged):
        return 0, 0
    pairs: dict[str, list[Sequence[int]]] = {}
    for name, shape in shapes.items():
        tensor, _, side = name.rpartition(".")
        if side in ("left", "right"):
            pairs.setdefault(tensor, []).append(shape)
    return size, sum(4 * sides[0][0] * sides[1][0] for sides in pairs.values() if len(sides) == 2)
