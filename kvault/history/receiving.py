"""Taking a bundle in: all of it or nothing.

Everything is looked at before anything is written: whether the bundle is of a vault with the same base and the same
beginning, whether what it builds on is here, whether rows are what their names say and every object, parent and
revision that it needs is in it or here. Then the objects are stored, and one transaction writes the rows, moves the
refs and links the audit chain. An alias is never touched: it moves by a promotion alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import insert
from sqlalchemy.orm import Mapped
from sqlmodel import Session, col, select

from kvault.errors import Conflict
from kvault.history import audit, bundle_rows, meta, records, refs
from kvault.history.bundles import Bundle, BundleDamaged, Overlay, Row
from kvault.history.commits import CommitBody, commit_id, decode
from kvault.history.needs import Needs
from kvault.history.publish import Pack, commit_of_run, insert_commit
from kvault.history.sending import known, roots_of
from kvault.ids import BatchId, Canonical, CommitId, Digest, RecipeId, RecordId, digest_of
from kvault.ledger.batches import State
from kvault.ledger.store import chunks, store_missing
from kvault.ledger.tables import BatchRow, ChangeRow, EvidenceRow, FactRow, RelationRow, RevisionRow
from kvault.objects import headers
from kvault.objects.failures import ObjectDamaged, ObjectMissing
from kvault.objects.store import ObjectStore

SLICE = "kvault audit slice 1"


class UnrelatedVault(Conflict):
    """The histories have nothing in common."""

    code = "unrelated-vault"


class MissingPrerequisite(Conflict):
    """The bundle builds on commits that are not here."""

    code = "missing-prerequisite"


class AnotherRecord(Conflict):
    """Both vaults made a record for the same facts under the same recipe, and they differ."""

    code = "another-record"


@dataclass(frozen=True, slots=True)
class Wish:
    """A ref that is to stand at ``target``; ``old`` is where it stands now, None where it is to be made."""

    name: str
    kind: refs.RefKind
    target: CommitId
    old: CommitId | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a bundle is taken in: who, when, from where, by which verb, and what refs become."""

    actor: str
    now: int
    verb: str
    source: str
    wishes: tuple[Wish, ...] = ()
    meta: Mapping[meta.Meta, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checked:
    """A bundle that may be taken in: its commits with their rows, parents first, and the new ones among them."""

    bundle: Bundle
    commits: Mapping[CommitId, CommitBody]
    rows: Mapping[CommitId, Row]
    fresh: tuple[CommitId, ...]


def check(session: Session, store: ObjectStore, bundle: Bundle, *, founding: bool = False) -> Checked:
    """Whether ``bundle`` may be taken in here; ``founding`` for a vault that has no history yet.

    Raises :class:`UnrelatedVault`, :class:`MissingPrerequisite`, :class:`AnotherRecord` and
    :class:`~kvault.history.bundles.BundleDamaged`, with nothing written.
    """
    header = bundle.header
    if not founding:
        _check_related(session, bundle)
    check_rows(bundle)
    rows = {commit_id(row["body"].encode("utf-8")): row for row in bundle.rows["commit"]}
    commits = bodies(bundle)
    above = {parent for body in commits.values() for parent in body.parents}
    needed = sorted({*above, *header.prerequisites, *(head.target for head in header.heads)} - commits.keys())
    here = known(session, needed)
    if lacking := [name for name in needed if name not in here]:
        raise MissingPrerequisite(
            f"the bundle builds on {len(lacking)} commits that are not here: "
            + ", ".join(name[:12] for name in lacking[:5]),
            file=bundle.path,
            remedy="Take in the bundle that holds them first, or make this one without ^.",
        )
    already = known(session, list(commits))
    checked = Checked(bundle, commits, rows, tuple(name for name in commits if name not in already))
    _check_whole(session, store, checked)
    _check_records(session, checked, Overlay(bundle, store))
    return checked


def check_rows(bundle: Bundle) -> None:
    """Raise :class:`~kvault.history.bundles.BundleDamaged` at the first row that is not what its name says."""
    for what in bundle_rows.check(bundle.rows):
        raise BundleDamaged(bundle.path, bundle.size, what)


def bodies(bundle: Bundle) -> dict[CommitId, CommitBody]:
    """The commits of a bundle, whose rows were checked, by id."""
    data = (row["body"].encode("utf-8") for row in bundle.rows["commit"])
    return {commit_id(each): decode(each) for each in data}


def store_objects(store: ObjectStore, bundle: Bundle) -> None:
    """Put the bundle's objects into the store; what a crash leaves of them is collected later."""

    def blobs() -> Iterator[bytes]:
        with bundle.path.open("rb") as file:
            for at, length in bundle.objects.values():
                file.seek(at)
                data = file.read(length)
                if len(data) < length:
                    raise BundleDamaged(bundle.path, at, "it was changed while it was read")
                yield data

    if set(store.put_many(blobs())) != set(bundle.objects):
        raise BundleDamaged(bundle.path, 0, "it was changed while it was read")
    if bundle.rows["audit"]:
        store.put_document(audit_slice(bundle))


def audit_slice(bundle: Bundle) -> dict[str, Canonical]:
    """The other vault's audit rows as the document that is kept of them."""
    return {"format": SLICE, "rows": list(bundle.rows["audit"])}


def take_in(session: Session, checked: Checked, receipt: Receipt) -> int:
    """Write the rows, move the refs and link the audit chain, in the caller's writing transaction.

    Returns how many commits were new; those that came meanwhile by another way are left as they are.
    """
    bundle = checked.bundle
    already = known(session, checked.fresh)
    fresh = [name for name in checked.fresh if name not in already]
    _ledger(session, bundle.rows)
    batches = {row["id"]: row for row in bundle.rows["batch"]}
    for name in fresh:
        body, row = checked.commits[name], checked.rows[name]
        if body.run is not None and (other := commit_of_run(session, body.run)):
            raise Conflict(
                "a run made one commit here and another one there", run=body.run, here=other[:12], there=name[:12],
                remedy="The vault was copied while it worked; make the commit again on one side.",
            )  # fmt: skip
        packs = {Pack(kind): Digest(digest) for kind, digest in row["packs"].items()}
        insert_commit(session, body, _batch(session, name, batches.get(row["batch"])), packs)
    by_recipe: dict[str, dict[Digest, RecordId]] = {}
    for row in bundle.rows["record"]:
        by_recipe.setdefault(row["recipe"], {})[Digest(row["group"])] = RecordId(row["digest"])
    for recipe, made in sorted(by_recipe.items()):
        records.remember(session, RecipeId(recipe), made, receipt.now)
    for name_, value in receipt.meta.items():
        meta.write(session, name_, value)
    for wish in receipt.wishes:
        move_ref(session, wish, receipt)
    detail = _told(checked, len(fresh))
    audit.append(
        session, actor=receipt.actor, verb="receive", subject=receipt.source[:300], detail=detail, at=receipt.now
    )
    return len(fresh)


def move_ref(session: Session, wish: Wish, receipt: Receipt) -> None:
    """Make or move one ref as wished; an alias is refused by the gate that every move passes."""
    move = refs.Move(receipt.actor, receipt.verb, receipt.now, wish.reason)
    if wish.old is None:
        refs.create(session, wish.name, wish.kind, wish.target, move)
    elif wish.old != wish.target:
        refs.move_to(session, refs.Ref(wish.name, wish.kind, wish.old), wish.target, move)


def _told(checked: Checked, fresh: int) -> dict[str, Canonical]:
    rows = checked.bundle.rows["audit"]
    told: dict[str, Canonical] = {
        "bundle": checked.bundle.digest,
        "commits": fresh,
        "heads": {head.name: head.target for head in checked.bundle.header.heads},
    }
    if rows:
        last = rows[-1]
        told["slice"] = digest_of(audit_slice(checked.bundle))
        told["anchor"] = {"seq": last["seq"], "digest": last["digest"]}
    return told


def _check_related(session: Session, bundle: Bundle) -> None:
    base, header = meta.read(session, meta.Meta.BASE), bundle.header
    if header.base != base:
        raise UnrelatedVault(
            "the other vault stands on another base model", here=base[:12], there=header.base[:12],
            remedy="History is exchanged between vaults of one base model; `rebase --onto` brings facts to another.",
        )  # fmt: skip
    if not set(header.roots) & set(roots_of(session)):
        raise UnrelatedVault(
            "the other vault's history began apart from this one",
            there=", ".join(root[:12] for root in header.roots),
            remedy="Clone a vault to share its history; facts alone go by `kvault import`.",
        )


def _check_whole(session: Session, store: ObjectStore, checked: Checked) -> None:
    """Every object, revision and batch that the new commits need is in the bundle or here."""
    bundle = checked.bundle
    needs = Needs(Overlay(bundle, store))
    _check_reached(bundle, checked.commits)
    for name, body in checked.commits.items():
        needs.commit(name, body)
        for digest in checked.rows[name]["packs"].values():
            needs.extra(Digest(digest), name)
    for digest, what in sorted(needs.unreadable.items()):
        raise BundleDamaged(bundle.path, bundle.size, f"object {digest}: {what}")
    for digest in sorted(needs.users):
        if digest not in bundle.objects and not store.has(digest):
            what = f"object {digest} is neither in it nor here, and {needs.needed_by(digest)} needs it"
            raise BundleDamaged(bundle.path, bundle.size, what)
    if extra := sorted(bundle.objects.keys() - needs.users.keys()):
        raise BundleDamaged(bundle.path, bundle.size, f"nothing in it needs object {extra[0]}")
    batches = {row["id"]: row["digest"] for row in bundle.rows["batch"]}
    for name, body in checked.commits.items():
        if body.batch != batches.get(checked.rows[name]["batch"]):
            raise BundleDamaged(bundle.path, bundle.size, f"the batch of commit {name[:12]} is not in it")
    _check_ledger(session, bundle, needs)


def _check_reached(bundle: Bundle, commits: Mapping[CommitId, CommitBody]) -> None:
    """Every commit of the bundle leads to one of its heads."""
    reached: set[CommitId] = set()
    pending = [head.target for head in bundle.header.heads]
    while pending:
        name = pending.pop()
        if name in commits and name not in reached:
            reached.add(name)
            pending += commits[name].parents
    if extra := sorted(commits.keys() - reached):
        raise BundleDamaged(bundle.path, bundle.size, f"commit {extra[0][:12]} leads to none of its heads")


def _check_ledger(session: Session, bundle: Bundle, needs: Needs) -> None:
    """Every revision that a ledger or a change names is there, with its fact, evidence and relation."""
    rows = bundle.rows
    facts = {bundle_rows.fact_of(row).id for row in rows["fact"]}
    revisions = {bundle_rows.revision_of(row).id: row for row in rows["revision"]}
    changes = [change for row in rows["batch"] for change in row["changes"]]
    named = {change[side] for change in changes for side in ("before", "after") if change[side]}
    _require(session, bundle, "revision", {r for _, r in needs.revisions} | named, revisions, col(RevisionRow.digest))
    _require(session, bundle, "fact", {row["fact"] for row in (*rows["revision"], *changes)}, facts, col(FactRow.id))
    sources = {row["evidence"] for row in rows["revision"] if row["evidence"]}
    held = {bundle_rows.evidence_of(row).digest for row in rows["evidence"]}
    _require(session, bundle, "evidence", sources, held, col(EvidenceRow.digest))
    given = {digest_of(row["definition"]) for row in rows["relation"]}
    _require(session, bundle, "relation", {row["relation"] for row in rows["revision"]}, given, col(RelationRow.digest))


def _require(
    session: Session, bundle: Bundle, what: str, wanted: Iterable[str], given: Iterable[str], column: Mapped[str]
) -> None:
    if what != "relation" and (extra := sorted(set(given) - set(wanted))):
        raise BundleDamaged(bundle.path, bundle.size, f"nothing in it names {what} {extra[0]}")
    left = sorted(set(wanted) - set(given))
    found = {key for some in chunks(left) for key in session.exec(select(column).where(column.in_(some)))}
    for name in left:
        if name not in found:
            raise BundleDamaged(bundle.path, bundle.size, f"{what} {name} is neither in it nor here")


def _check_records(session: Session, checked: Checked, overlay: Overlay) -> None:
    """A record's row says what the record says; no group has another record here."""
    by_recipe: dict[RecipeId, dict[Digest, RecordId]] = {}
    for row in checked.bundle.rows["record"]:
        digest = Digest(row["digest"])
        try:
            document = headers.header(overlay.get(digest)) or {}
        except (ObjectMissing, ObjectDamaged):
            document = {}
        if (document.get("recipe"), document.get("group")) != (row["recipe"], row["group"]):
            what = f"the row of record {digest} does not say what the record says"
            raise BundleDamaged(checked.bundle.path, checked.bundle.size, what)
        by_recipe.setdefault(RecipeId(row["recipe"]), {})[Digest(row["group"])] = RecordId(digest)
    for recipe, groups in by_recipe.items():
        for group, here in records.find(session, recipe, groups).items():
            if here != groups[group]:
                raise AnotherRecord(
                    "another record was made here for the same facts under the same recipe",
                    here=here[:12], there=groups[group][:12], file=checked.bundle.path,
                    remedy="The two machines computed differently; revert the commit on one side, then try again.",
                )  # fmt: skip


def _ledger(session: Session, rows: Mapping[str, Sequence[Row]]) -> None:
    """Store the content rows that are not here yet."""
    _relations(session, rows["relation"])
    facts = {bundle_rows.fact_of(row).id: row for row in rows["fact"]}
    store_missing(session, FactRow, "id", [{"id": key, **row} for key, row in facts.items()])
    evidence = {bundle_rows.evidence_of(row).digest: row for row in rows["evidence"]}
    store_missing(session, EvidenceRow, "digest", [{"digest": key, **row} for key, row in evidence.items()])
    revisions = [(bundle_rows.revision_of(row), row["created_at"]) for row in rows["revision"]]
    listed = [
        {
            "digest": each.id, "fact_id": each.fact, "object": each.object, "valid_from": each.valid_from,
            "valid_to": each.valid_to, "relation_digest": each.relation, "evidence_digest": each.evidence,
            "baseline": each.baseline, "created_at": at,
        }
        for each, at in revisions
    ]  # fmt: skip
    store_missing(session, RevisionRow, "digest", listed)


def _relations(session: Session, rows: Sequence[Row]) -> None:
    """Relations by digest; one becomes the current one where this vault has none of its name."""
    known_here = set(session.exec(select(RelationRow.digest)))
    current = set(session.exec(select(RelationRow.slug).where(col(RelationRow.current))))
    for row in rows:
        digest, slug = digest_of(row["definition"]), str(row["definition"]["slug"])
        if digest not in known_here:
            now = bool(row["current"]) and slug not in current
            session.add(
                RelationRow(
                    digest=digest, slug=slug, definition=row["definition"], current=now, created_at=row["created_at"]
                )
            )
            current |= {slug} if now else set()
    session.flush()


def _batch(session: Session, commit: CommitId, wanted: Row | None) -> BatchId | None:
    """The applied batch of a commit; under another id where this vault uses the id for something else."""
    if wanted is None:
        return None
    name = BatchId(wanted["id"])
    if session.get(BatchRow, name) is not None:
        name = BatchId(digest_of({"batch": wanted["digest"], "commit": commit}))
    fields = {each: wanted[each] for each in ("branch", "digest", "intent", "author", "created_at", "sealed_at")}
    session.connection().execute(insert(BatchRow).values(id=name, state=State.APPLIED.value, **fields))
    listed = [
        {
            "batch_id": name, "position": position, "action": each.action.value, "fact_id": each.fact,
            "before": each.before, "after": each.after, "effective": each.effective, "note": each.note,
        }
        for position, each in enumerate(bundle_rows.changes_in(wanted))
    ]  # fmt: skip
    for some in chunks(listed):
        session.connection().execute(insert(ChangeRow), some)
    return name
