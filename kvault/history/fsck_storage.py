"""Do the rows of storage hold: whole tensors, slices of other vaults' audit chains, remotes, marks of a collection."""

from __future__ import annotations

from collections.abc import Iterator

from sqlmodel import Session, col, select

from kvault.history import audit
from kvault.history.findings import Code, Finding
from kvault.history.needs import Needs
from kvault.history.packing import read_keyframe
from kvault.history.publish import Pack
from kvault.history.storing import GarbageRow, RemoteRow
from kvault.history.tables import CommitRow, PackRow
from kvault.ids import CommitId, Digest, is_digest
from kvault.objects.failures import ObjectDamaged, ObjectMissing
from kvault.objects.store import ObjectStore


def needed(session: Session, needs: Needs) -> None:
    """Add what keyframes and audit rows name to what is needed."""
    query = select(PackRow.commit_id, PackRow.digest).where(PackRow.kind == Pack.KEYFRAME.value)
    for commit, digest in session.exec(query):
        try:
            named = read_keyframe(needs.store, Digest(digest))
        except (ObjectDamaged, ObjectMissing):
            continue  # told as an object
        for values, _shape in named.tensors.values():
            needs.extra(values, CommitId(commit))
    for row in audit.stream(session):
        detail = row["detail"]
        kept = detail.get("slice") if row["verb"] == "receive" and isinstance(detail, dict) else None
        if isinstance(kept, str) and is_digest(kept):
            needs.extra(Digest(kept), f"audit row {row['seq']}")


def keyframes(session: Session, needs: Needs) -> Iterator[Finding]:
    """A keyframe is one of its commit's tree, and names the values that the tree names."""
    query = select(PackRow.commit_id, PackRow.digest, CommitRow.tree)
    query = query.join(CommitRow, col(CommitRow.id) == col(PackRow.commit_id))
    for commit, digest, tree in session.exec(query.where(PackRow.kind == Pack.KEYFRAME.value)):
        try:
            kept = read_keyframe(needs.store, Digest(digest))
        except (ObjectDamaged, ObjectMissing):
            continue  # told as an object
        named = needs.trees.get(Digest(tree))
        same = named is None or {name: values for name, (values, _) in kept.tensors.items()} == dict(named.tensors)
        if kept.tree != tree or not same:
            yield Finding(Code.PACK_ROW, digest, "the keyframe is one of another version", f"commit {commit[:12]}")


def remotes(session: Session) -> Iterator[Finding]:
    """Each remote is where the audit chain says that it was put."""
    told: dict[str, object] = {}
    for row in audit.stream(session):
        if row["verb"] == "remote.remove":
            told.pop(row["subject"], None)
        elif row["verb"] == "remote.add" and isinstance(row["detail"], dict):
            told[row["subject"]] = row["detail"].get("url")
    there = dict(session.exec(select(RemoteRow.name, RemoteRow.url)).all())
    for name in sorted(told.keys() | there.keys()):
        if told.get(name) != there.get(name):
            message = (
                "the audit chain puts it elsewhere" if name in told and name in there else "the audit chain differs"
            )
            yield Finding(Code.REMOTE_ROW, name, message, f"remote {name}")


def garbage(session: Session, store: ObjectStore, present: set[Digest], now: int) -> Iterator[Finding]:
    """What is marked for collection was marked in the past and is of the size that was noted."""
    for row in session.exec(select(GarbageRow).order_by(col(GarbageRow.digest))):
        if row.marked_at > now:
            yield Finding(Code.GARBAGE_ROW, row.digest, "it was marked in the future", "gc")
        elif row.digest in present and store.size(Digest(row.digest)) != row.bytes:
            yield Finding(Code.GARBAGE_ROW, row.digest, "it is of another size than was noted", "gc")
