"""The executor that makes a commit: from a sealed batch to a published version.

commit, revert and consolidate are the same work with other changes: apply a batch to the parent's ledger, regroup the
subjects it touches, make the records that are not there yet, solve, and publish in one transaction. No transaction is
open while the model works. Everything before the last transaction can be repeated without harm, so a run that was
killed anywhere is simply done again, and finds its records made.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlmodel import Session

from kvault.history import leases, publish, records, refs
from kvault.history.commits import CommitBody
from kvault.history.graph import read_body
from kvault.history.snapshots import Snapshot
from kvault.history.trees import Tree, put_tree, read_tree, tree_records
from kvault.ids import CommitId, RecipeId, RecordId, RunId
from kvault.ledger import batches
from kvault.ledger.store import Entry, load_entries, revisions_of
from kvault.objects import fanout
from kvault.runs.context import RunContext
from kvault.runs.verifying import HOLDER
from kvault.vault import groups as grouping
from kvault.vault.groups import Group
from kvault.vault.modelling import EditorFixed, Known, Made, Modelling, known_to_base
from kvault.vault.surroundings import Remembering, Surroundings
from kvault.vault.work import Work

LEASE = 600_000_000
"""How long a branch is leased for, in microseconds; renewed before publishing."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the work begins: the branch's head and its weights and ledger."""

    ref: refs.Ref
    tree: Tree
    ledger: Snapshot
    base_ledger: Snapshot
    batch: batches.Sealed | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What the new version holds: its ledger, the groups that need records, and the records that leave."""

    ledger: Snapshot
    groups: tuple[Group, ...]
    leaving: Mapping[RecordId, RecipeId]


@dataclass(slots=True)
class Applier:
    """Makes commits for one vault; ``modelling`` loads the model on first use."""

    here: Surroundings
    modelling: Modelling

    def __call__(self, context: RunContext) -> Mapping[str, object]:
        """Do the run's work and return what it made, for :class:`kvault.vault.views.MadeView`."""
        work = Work.read(context.params)
        with self._leased(context, work.branch) as lease:
            return self._once(context, work, lease)

    @contextmanager
    def _leased(self, context: RunContext, branch: str) -> Iterator[leases.Lease]:
        holder = f"{HOLDER}{context.id}"
        with context.publishing() as session:
            lease = leases.acquire(session, branch, holder, self.here.clock.now(), LEASE)
        try:
            yield lease
        finally:
            with self.here.database.writing() as session:
                leases.release(session, lease)

    def _once(self, context: RunContext, work: Work, lease: leases.Lease) -> Mapping[str, object]:
        watch = Stopwatch()
        store = Remembering(self.here.store)
        start = self._start(work, store)
        with watch("plan"):
            plan = self._plan(work, start, store)
        with watch("targets"):
            made = self._make(context, plan)
        with watch("solve"):
            after = self._after(start, plan, made, store)
            assembled, delta = self.modelling.update(tree_records(store, start.tree), after)
        with watch("store"):
            root = fanout.update(
                store,
                start.tree.records,
                {record: made.recipes[record] for record in made.recipes},
                [record for record in plan.leaving if record not in made.recipes],
            )
            recipes = tuple(sorted(set(after.values())))
            tree = put_tree(store, Tree(start.tree.base, root, assembled.tensors, assembled.memories, recipes))
            packs = {publish.Pack.DELTA: self.here.store.put(delta)} if delta else {}
        now = self.here.clock.now()
        body = CommitBody(
            tree=tree,
            ledger_root=plan.ledger.root,
            parents=(start.ref.target,),
            verb=work.verb,
            author=work.author,
            committer=self.here.actor,
            authored_at=context.run.created_at,
            committed_at=now,
            message=work.message,
            arguments=work.arguments,
            batch=start.batch.digest if start.batch else None,
            records_added=tuple(record for record in made.recipes if record not in plan.leaving),
            records_removed=tuple(record for record in plan.leaving if record not in made.recipes),
            recipes=recipes,
            run=RunId(context.id),
        )
        summary = self._summary(work, start, made, after, body)
        with watch("publish"), context.publishing() as session:
            lease = leases.renew(session, lease, self.here.clock.now(), LEASE)
            commit = publish.publish(
                session, publish.Publication(work.branch, body, lease, start.batch.id if start.batch else None, packs)
            )
            result = {**summary, "id": commit, "seconds": watch.seconds}
            context.finish(session, result)
        return result

    def _start(self, work: Work, store: Remembering) -> Start:
        with self.here.database.reading() as session:
            ref = refs.read(session, work.branch)
            body = read_body(session, ref.target)
            before = read_body(session, work.restore_from) if work.restore_from else body
            batch = batches.verify_sealed(session, work.batch) if work.batch else None
        return Start(
            ref,
            read_tree(store, body.tree),
            Snapshot(store, body.ledger_root),
            Snapshot(store, before.ledger_root),
            batch,
        )

    def _plan(self, work: Work, start: Start, store: Remembering) -> Plan:
        changes = start.batch.changes if start.batch else ()
        ledger = (
            start.ledger.with_changes({change.fact: change.after for change in changes}) if changes else start.ledger
        )
        by_revision = self.modelling.by_revision
        with self.here.database.reading() as session:
            subjects = grouping.subjects_of(session, [change.fact for change in changes])
            if work.consolidate:
                subjects = self._gated_subjects(session, start, store)
            before = grouping.entries_of_subjects(session, start.ledger, subjects)
            after = grouping.entries_of_subjects(session, ledger, subjects)
            held = grouping.records_of_subjects(session, store, start.tree, before, by_revision)
            editors = {subject: next(iter(found.values())) for subject, found in held.items() if found}
            if work.restore_from:
                editors.update(self._editors_at(session, store, work.restore_from, start.base_ledger, subjects))
        taught = [subject for subject, entries in after.items() if _taught(entries)]
        wanted = self._choose(work, start, taught, editors)
        found = [
            g for subject in taught for g in grouping.groups_of(subject, after[subject], wanted[subject], by_revision)
        ]
        leaving = {record: recipe for records_of in held.values() for record, recipe in records_of.items()}
        return Plan(ledger, tuple(found), leaving)

    def _choose(
        self, work: Work, start: Start, subjects: Iterable[str], editors: Mapping[str, RecipeId]
    ) -> dict[str, RecipeId]:
        """The recipe of each subject: the editor asked for, else the one it was taught by, else the branch's."""
        wanted = list(subjects)
        if not wanted:
            return {}
        keep = work.editor is None or work.verb == "revert"
        if keep and all(subject in editors for subject in wanted):
            return {subject: editors[subject] for subject in wanted}
        recipe = self.modelling.recipe_for(work.editor, start.tree, lambda: self._known(start))
        if keep:
            return {subject: editors.get(subject, recipe) for subject in wanted}
        return dict.fromkeys(wanted, recipe)

    def _known(self, start: Start) -> Known:
        """What the base model knows, for a new recipe: the baseline of every fact, amended since or not."""
        with self.here.database.reading() as session:
            recorded = revisions_of(session, [fact for fact, _ in start.ledger.items()])
            baseline = [name for each in recorded.values() for name, revision in each if revision.baseline]
            return known_to_base(session, list(load_entries(session, baseline).values()))

    def _gated_subjects(self, session: Session, start: Start, store: Remembering) -> list[str]:
        """The subjects whose records are memories: those that a consolidation moves into the weights."""
        gated = [r for r, recipe in tree_records(store, start.tree).items() if not self.modelling.is_ridge(recipe)]
        return sorted({self.modelling.record(record).subject for record in gated})

    def _editors_at(
        self, session: Session, store: Remembering, commit: CommitId, ledger: Snapshot, subjects: Iterable[str]
    ) -> dict[str, RecipeId]:
        tree = read_tree(store, read_body(session, commit).tree)
        entries = grouping.entries_of_subjects(session, ledger, subjects)
        held = grouping.records_of_subjects(session, store, tree, entries, self.modelling.by_revision)
        return {subject: next(iter(found.values())) for subject, found in held.items() if found}

    def _make(self, context: RunContext, plan: Plan) -> Made:
        """The records of the plan's groups: those that have been made, and new ones, stored as they come."""
        with self.here.database.reading() as session:
            known = grouping.known_records(session, plan.groups)
        made = Made({known[key]: g.recipe for g in plan.groups if (key := (g.recipe, g.digest)) in known}, [])
        missing = [group for group in plan.groups if (group.recipe, group.digest) not in known]
        done, at_once = 0, self.modelling.at_once if missing else 1
        for recipe in sorted({group.recipe for group in missing}):
            mine = sorted((group for group in missing if group.recipe == recipe), key=lambda group: group.digest)
            for first in range(0, len(mine), at_once):
                part = mine[first : first + at_once]
                begun = done

                def tell(inner: int, begun: int = begun) -> None:
                    context.progress("targets", min(begun + inner, len(missing)), len(missing))

                fresh = self.modelling.make(recipe, part, tell)
                self.here.store.put_many(record.data for record in fresh)
                with context.publishing() as session:
                    counted = records.remember(
                        session, recipe, {record.group: record.id for record in fresh}, self.here.clock.now()
                    )
                made.recipes.update(dict.fromkeys(counted.values(), recipe))
                made.fresh.extend(fresh)
                done += len(part)
                context.progress("targets", done, len(missing))
        return made

    def _after(self, start: Start, plan: Plan, made: Made, store: Remembering) -> dict[RecordId, RecipeId]:
        before = tree_records(store, start.tree)
        kept = {record: recipe for record, recipe in before.items() if record not in plan.leaving}
        after = {**kept, **made.recipes}
        metrics = sorted({recipe for recipe in after.values() if self.modelling.is_ridge(recipe)})
        if len(metrics) > 1:
            names = ", ".join(self.modelling.editor_of(recipe) for recipe in metrics)
            raise EditorFixed(
                f"one version's weights are solved under one recipe, and this one would need {names}",
                branch=start.ref.name,
                remedy="Commit with the branch's own editor (leave --editor out), or with gated or memoir.",
            )
        return after

    def _summary(
        self, work: Work, start: Start, made: Made, after: Mapping[RecordId, RecipeId], body: CommitBody
    ) -> dict[str, object]:
        verdicts = [verdict for record in made.fresh for verdict in record.figures["verdicts"].split()]
        editors = sorted({self.modelling.editor_of(recipe) for recipe in made.recipes.values()})
        return {
            "branch": work.branch,
            "message": work.message,
            "editor": ", ".join(editors),
            "changes": len(start.batch.changes) if start.batch else 0,
            "records_added": len(body.records_added),
            "records_removed": len(body.records_removed),
            "records_total": len(after),
            "converged": verdicts.count("converged"),
            "clipped": verdicts.count("clipped"),
            "failed": verdicts.count("failed"),
            "object_bytes": sum(len(record.data) for record in made.fresh),
        }


@dataclass(slots=True)
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Add the time of the block to ``stage``."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.monotonic() - begun, 4)


def _taught(entries: Iterable[Entry]) -> bool:
    return any(not entry.revision.baseline for entry in entries)
