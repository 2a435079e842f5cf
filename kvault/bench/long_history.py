"""A long history made directly of rows and objects, without a model: what the speed of reading is measured on.

One commit with every fact, then commits that amend one fact each, and every so often a side branch that is merged. Ids,
batches, ledgers and edges are real, so that every verb that reads works on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from sqlalchemy import insert
from sqlmodel import Session

from kvault.bench.figures import Say
from kvault.db import Base, Database
from kvault.history import meta, refs
from kvault.history.commits import CommitBody, encode
from kvault.history.snapshots import Snapshot
from kvault.history.tables import CommitRow, ParentRow
from kvault.history.trees import Tree
from kvault.ids import BatchId, CommitId, Digest, FactId, RevisionId, digest_of, sha256
from kvault.ledger.relations import Cardinality, Relation
from kvault.ledger.tables import BatchRow, ChangeRow, EvidenceRow, FactRow, RelationRow, RevisionRow
from kvault.ledger.values import Action, Change, Evidence, Fact, Revision, batch_digest
from kvault.objects import fanout
from kvault.objects.store import ObjectStore

START = 1_600_000_000_000_000
MINUTE = 60_000_000
TOGETHER = 2000
SIDE_EVERY = 25
STRIDE = 7919
"""How far apart in the list of facts those lie that are amended one after the other."""
AUTHOR = "ann@example.org"
BRANCH = "main"
BASE = digest_of("a base model")
SOURCE = Evidence("A synthetic press release")
RELATION = Relation(
    "chief_executive", "chief executive of", "synthetic", "company", "person", Cardinality.SINGLE, "en",
    "The chief executive of {subject} is", (), (),
)  # fmt: skip


@dataclass(slots=True)
class Drawer:
    """Objects in memory until they are stored all together."""

    held: dict[Digest, bytes] = field(default_factory=dict)

    def get(self, digest: Digest) -> bytes:
        """The bytes of ``digest``."""
        return self.held[digest]

    def put_many(self, blobs: Iterable[bytes]) -> list[Digest]:
        """Keep each of ``blobs``."""
        digests = []
        for data in blobs:
            digest = sha256(data)
            self.held[digest] = data
            digests.append(digest)
        return digests


@dataclass(frozen=True, slots=True)
class Step:
    """A commit to be: its parents, the facts it amends with their new object, and what a merge takes over."""

    parents: tuple[int, ...]
    changed: int | None


def plan(commits: int) -> Iterator[Step]:
    """One line of ``commits`` commits, counting those of side branches: each amends one fact, merges none."""
    tip, made = 0, 1
    yield Step((), None)
    while made < commits:
        if made % SIDE_EVERY == 0 and made + 3 <= commits:
            yield Step((tip,), made)
            yield Step((tip,), made + 1)
            yield Step((made + 1, made), None)
            made += 3
        else:
            yield Step((tip,), made)
            made += 1
        tip = made - 1


class LongHistory:
    """Writes one history into an empty vault's database and store."""

    def __init__(self, database: Database, store: ObjectStore, facts: int, commits: int) -> None:
        self.database, self.store, self.commits = database, store, commits
        self.facts = [Fact(f"Company {number}", RELATION.slug) for number in range(facts)]
        self.ids = [fact.id for fact in self.facts]
        self.drawer = Drawer()

    def write(self, say: Say) -> list[CommitId]:
        """Write everything and return the commits, oldest first."""
        first = {fact: self._revision(fact, f"Founder {at}") for at, fact in enumerate(self.ids)}
        steps = list(plan(self.commits))
        later = [self._revision(self._of(step), f"Successor {at}") for at, step in enumerate(steps)]
        self._write_content({each.id: each for each in (*first.values(), *later)})
        bodies, rows = self._bodies(first, later, steps, say)
        self.store.put_many(self.drawer.held.values())
        with self.database.writing() as session:
            for table, values in rows.items():
                _insert(session, table, values)
            meta.write(session, meta.Meta.HEAD, BRANCH)
            meta.write(session, meta.Meta.BASE, BASE)
            move = refs.Move(AUTHOR, "init", START, "a long history")
            refs.create(session, BRANCH, refs.RefKind.BRANCH, bodies[-1].id, move)
        return [body.id for body in bodies]

    def _of(self, step: Step) -> FactId:
        """The fact that a step amends; neighbours in time are far apart in the ledger."""
        return self.ids[(step.changed or 0) * STRIDE % len(self.ids)]

    def _revision(self, fact: FactId, said: str) -> Revision:
        return Revision(fact, said, None, None, RELATION.digest, SOURCE.digest)

    def _bodies(
        self, first: Mapping[FactId, Revision], later: list[Revision], steps: list[Step], say: Say
    ) -> tuple[list[CommitBody], dict[type[Base], list[dict[str, object]]]]:
        rows: dict[type[Base], list[dict[str, object]]] = {BatchRow: [], ChangeRow: [], CommitRow: [], ParentRow: []}
        tree = sha256(b"")
        roots: list[Digest] = []
        bodies: list[CommitBody] = []
        generations: list[int] = []
        for at, step in enumerate(steps):
            changes: dict[FactId, tuple[RevisionId | None, RevisionId]] = {}
            if not step.parents:
                empty = fanout.build(self.drawer, {})
                [tree] = self.drawer.put_many([Tree(BASE, empty, {}, {}, ()).encode()])
                changes = {fact: (None, revision.id) for fact, revision in first.items()}
                roots.append(empty)
            else:
                roots.append(roots[step.parents[0]])
                taken = steps[step.parents[1]] if len(step.parents) > 1 else step
                value = later[step.parents[1]] if len(step.parents) > 1 else later[at]
                fact = self._of(taken)
                changes = {fact: (Snapshot(self.drawer, roots[at])(fact), value.id)}
            ledger = Snapshot(self.drawer, roots[at]).with_changes({fact: new for fact, (_, new) in changes.items()})
            roots[at] = ledger.root
            batch = self._batch(rows, at, changes)
            when = START + at * MINUTE
            parents = tuple(bodies[parent].id for parent in step.parents)
            body = CommitBody(
                tree, ledger.root, parents, "merge" if len(parents) > 1 else "commit", AUTHOR, AUTHOR, when, when,
                f"Change number {at}\n\nOne of many.", batch=batch,
            )  # fmt: skip
            bodies.append(body)
            generations.append(1 + max((generations[parent] for parent in step.parents), default=-1))
            rows[CommitRow].append(_commit_row(body, _batch_name(at), generations[at]))
            rows[ParentRow] += [{"child": body.id, "position": i, "parent": each} for i, each in enumerate(parents)]
            if at % 500 == 0:
                say("commits", at, len(steps))
        say("commits", len(steps), len(steps))
        return bodies, rows

    def _batch(
        self, rows: dict[type[Base], list[dict[str, object]]], at: int,
        changes: Mapping[FactId, tuple[RevisionId | None, RevisionId]],
    ) -> Digest:  # fmt: skip
        listed = [
            Change(Action.ADD if old is None else Action.AMEND, fact, old, new) for fact, (old, new) in changes.items()
        ]
        digest, when = batch_digest(listed), START + at * MINUTE
        rows[BatchRow].append(
            {"id": _batch_name(at), "branch": BRANCH, "state": "applied", "digest": digest, "intent": "",
             "author": AUTHOR, "created_at": when, "sealed_at": when}
        )  # fmt: skip
        rows[ChangeRow] += [
            {"batch_id": _batch_name(at), "position": position, "action": change.action.value, "fact_id": change.fact,
             "before": change.before, "after": change.after, "effective": None, "note": ""}
            for position, change in enumerate(listed)
        ]  # fmt: skip
        return digest

    def _write_content(self, revisions: Mapping[RevisionId, Revision]) -> None:
        facts = zip(self.ids, self.facts, strict=True)
        rows: dict[type[Base], list[dict[str, object]]] = {
            RelationRow: [
                {"digest": RELATION.digest, "slug": RELATION.slug, "definition": RELATION.definition(),
                 "current": True, "created_at": START}
            ],
            EvidenceRow: [
                {"digest": SOURCE.digest, "source": SOURCE.source, "url": "", "quote": "", "created_at": START}
            ],
            FactRow: [{"id": key, "subject": f.subject, "relation": f.relation, "scope": ""} for key, f in facts],
            RevisionRow: [
                {"digest": key, "fact_id": r.fact, "object": r.object, "relation_digest": r.relation,
                 "evidence_digest": r.evidence, "baseline": False, "created_at": START}
                for key, r in revisions.items()
            ],
        }  # fmt: skip
        with self.database.writing() as session:
            for table, values in rows.items():
                _insert(session, table, values)


def _batch_name(at: int) -> BatchId:
    return BatchId(digest_of(["batch", at]))


def _commit_row(body: CommitBody, batch: BatchId, generation: int) -> dict[str, object]:
    return {
        "id": body.id, "body": encode(body).decode("utf-8"), "tree": body.tree, "ledger_root": body.ledger_root,
        "batch_id": batch, "generation": generation, "author": body.author, "message": body.message,
        "verb": body.verb, "run": None, "created_at": body.committed_at,
    }  # fmt: skip


def _insert(session: Session, table: type[Base], rows: list[dict[str, object]]) -> None:
    for first in range(0, len(rows), TOGETHER):
        session.connection().execute(insert(table), rows[first : first + TOGETHER])
