"""The half of the vault that needs a model: commits, reverts, answers, checks, promotion, export.

It is loaded on first use, so that verbs which only read history never load torch.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from kvault.checks.report import Report
from kvault.errors import Conflict, InvalidInput, KvaultError, NotFound
from kvault.history import graph, refs
from kvault.history.graph import read_body
from kvault.history.snapshots import Snapshot
from kvault.history.trees import read_tree, tree_records
from kvault.ids import BatchId, CommitId, FactId, RevisionId, RunId
from kvault.ledger import batches, service
from kvault.ledger.store import load_facts
from kvault.ledger.values import Change, Fact
from kvault.promotion import moves
from kvault.promotion.policy import Verdict, verdict_of
from kvault.runs import runs
from kvault.runs.execute import Executor, execute
from kvault.runs.queue import EmbeddedQueue, Queue
from kvault.runs.states import Limits, Run, RunState, outcome
from kvault.runs.waiting import wait
from kvault.vault import asking, cards, checking, exporting, keyframes, repairing, solving, views, working
from kvault.vault.applying import Applier
from kvault.vault.ledgering import LedgerAt
from kvault.vault.modelling import Modelling
from kvault.vault.parts import parts_of
from kvault.vault.past import Past
from kvault.vault.surroundings import Remembering, Surroundings
from kvault.vault.views_storage import KeyframeView
from kvault.vault.work import Work

Progress = Callable[[str, int, int], None]
WAIT = 0.2
"""How often, in seconds, a queued run is looked at."""


@dataclass(slots=True)
class Answering:
    """One vault's verbs that need its model."""

    here: Surroundings
    modelling: Modelling
    checker: checking.Checker

    @staticmethod
    def of(here: Surroundings) -> Answering:
        """The verbs of a vault; the model itself is loaded when it is first asked."""
        modelling = Modelling(here)
        return Answering(here, modelling, checking.Checker(here, modelling))

    @property
    def past(self) -> Past:
        """The verbs that ask the past."""
        return Past(self.modelling)

    # -- making versions -------------------------------------------------------------------------------------------

    def commit(
        self,
        branch: str,
        message: str,
        editor: str | None,
        valid_at: date | None,
        allow_empty: bool,
        progress: Progress,
    ) -> views.MadeView:
        """Seal what is due and make the version; what a dead process left half done on the branch is finished first."""
        self._finish_abandoned(branch, progress)
        run = working.prepare_commit(self.here, branch, message, editor, valid_at, allow_empty)
        return self._made(run, progress)

    def revert(
        self,
        branch: str,
        target: CommitId,
        facts: Sequence[str],
        keep_later: bool,
        message: str,
        progress: Progress,
    ) -> views.MadeView:
        """Restore what ``target`` changed."""
        self._finish_abandoned(branch, progress)
        with self.here.database.writing() as session:
            working.tidy(session, self.here, branch)
            head = refs.read(session, branch).target
            found = graph.load(session)
            if not found.is_ancestor(target, head):
                raise Conflict(
                    "the commit is not part of this branch",
                    commit=target[:12],
                    branch=branch,
                    remedy="Switch branches.",
                )
            row = graph.read_row(session, target)
            if row.batch_id is None:
                raise InvalidInput(
                    "the commit changed no fact",
                    commit=target[:12],
                    remedy="Revert a commit that did; see `kvault log`.",
                )
            store = Remembering(self.here.store)
            now = Snapshot(store, read_body(session, head).ledger_root)
            changed = _net(batches.changes_of(session, BatchId(row.batch_id)))
            names = load_facts(session, set(changed))
            chosen = _chosen(names, facts)
            wanted: list[tuple[Fact, RevisionId | None]] = []
            later: list[str] = []
            for fact in chosen:
                before, after = changed[fact]
                if now(fact) == after:
                    wanted.append((names[fact], before))
                elif now(fact) != before:
                    later.append(f"{names[fact].subject}/{names[fact].relation}")
            if later and not keep_later:
                raise Conflict(
                    f"{len(later)} facts changed again since: {', '.join(later[:6])}{' …' if len(later) > 6 else ''}",
                    commit=target[:12],
                    remedy="Add --keep-later to leave them as they are, or name facts with --fact.",
                )
            lookup = LedgerAt(now)
            restored = service.restorations(session, lookup, wanted, f"revert of {target[:12]}")
            if not restored:
                raise Conflict(
                    "nothing of the commit is left to take out", commit=target[:12], remedy="See `kvault log`."
                )
            sealed = batches.seal_changes(session, branch, self.here.actor, restored, self.here.clock)
            parents = found.parents[target]
            work = Work(
                branch,
                "revert",
                message or f'Revert "{row.message.partition(chr(10))[0]}"',
                self.here.actor,
                sealed.id,
                None,
                {"commit": target, "left_alone": sorted(later)},
                parents[0] if parents else None,
            )
            run = working.create(session, self.here, work)
        return self._made(run, progress, tuple(sorted(later)))

    def consolidate(self, branch: str, message: str, editor: str | None, progress: Progress) -> views.ConsolidatedView:
        """Move the branch's gated records into the weights, and measure both sides."""
        with self.here.database.reading() as session:
            head = refs.read(session, branch).target
        if not self.modelling.has_memories(head):
            raise Conflict(
                "the branch holds no gated records", branch=branch, remedy="There is nothing to consolidate."
            )
        before = self.checker.report(head, quick=False, progress=progress)
        work = Work(
            branch, "consolidate", message or "Solve the gated records into the weights", self.here.actor,
            editor=editor or "ridge", consolidate=True,
        )  # fmt: skip
        with self.here.database.writing() as session:
            run = working.create(session, self.here, work)
        made = self._made(run, progress)
        after = self.checker.report(CommitId(made.id), quick=False, progress=progress)
        rows = tuple(
            (old.name, old.value, new.value)
            for old in before.figures
            if (new := after.figure(old.name)) and old.value is not None and new.value is not None
        )
        return views.ConsolidatedView(made, rows)

    def executors(self) -> Mapping[str, Executor]:
        """What a worker of this vault can do."""
        return {working.COMMIT: Applier(self.here, self.modelling)}

    def work(self, once: bool, progress: Progress) -> list[views.RunView]:
        """Do the queued runs here."""
        done: list[views.RunView] = []
        while True:
            working.bury_dead(self.here)
            waiting = working.queued(self.here)
            for run in waiting:
                done.append(working.view(self.here, self._recorded(run.id, progress)))
            if once and not waiting:
                return done
            if not waiting:
                time.sleep(WAIT)

    def queue(self, progress: Progress) -> Queue:
        """The broker's queue where one is set, else this process."""
        if self.here.settings.broker:
            broker = importlib.import_module("kvault.runs.broker")
            queue: Queue = broker.CeleryQueue.open(self.here.settings)
            return queue
        return EmbeddedQueue(lambda run_id: self._execute(run_id, progress))

    def _made(self, run: Run, progress: Progress, left_alone: tuple[str, ...] = ()) -> views.MadeView:
        self.queue(progress).send(run.id)
        result = outcome(self._awaited(run, progress))
        seconds = result["seconds"]
        assert isinstance(seconds, Mapping)
        counts = {
            name: int(str(result[name]))
            for name in (
                "changes", "records_added", "records_removed", "records_total", "converged", "clipped", "failed",
                "object_bytes",
            )
        }  # fmt: skip
        return views.MadeView(
            id=str(result["id"]),
            branch=str(result["branch"]),
            message=str(result["message"]),
            editor=str(result["editor"]),
            seconds={str(stage): float(spent) for stage, spent in seconds.items()},
            left_alone=left_alone,
            **counts,
        )

    def _awaited(self, run: Run, progress: Progress) -> Run:
        """The run once it is over; with a broker, a worker elsewhere does it meanwhile."""
        if self.here.settings.broker:
            return wait(self.here.database, run.id, listen=progress)
        with self.here.database.reading() as session:
            return runs.get(session, run.id)

    def _execute(self, run_id: RunId, progress: Progress) -> Run:
        return execute(
            self.here.database,
            run_id,
            self.executors(),
            working.holder(),
            self.here.clock,
            limits=Limits(attempts=5),
            listen=progress,
        )

    def _recorded(self, run_id: RunId, progress: Progress) -> Run:
        """The run as it ended; an error of the work is in its row, and the next run is not kept waiting by it."""
        try:
            return self._execute(run_id, progress)
        except KvaultError:
            with self.here.database.reading() as session:
                return runs.get(session, run_id)

    def _finish_abandoned(self, branch: str, progress: Progress) -> None:
        """Take up the branch's runs whose process died, before anything new is sealed on it."""
        if self.here.settings.broker:
            return
        working.bury_dead(self.here)
        for run in working.active(self.here, branch):
            if run.state is RunState.QUEUED and run.attempts:
                self._execute(run.id, progress)

    # -- asking ----------------------------------------------------------------------------------------------------

    def ask(self, prompts: list[str], at: str, commit: CommitId | None, max_tokens: int) -> list[views.Answer]:
        """What a version, or with no commit the unedited model, answers."""
        version = self.modelling.version(commit) if commit else self.modelling.base_version
        return asking.ask(self.modelling.lm, version, prompts, at, commit or "", max_tokens)

    def check(self, commit: CommitId, quick: bool, progress: Progress) -> Report:
        """The report of a version with production's verdict."""
        report = self.checker.report(commit, quick=quick, progress=progress)
        with self.here.database.reading() as session:
            policy = moves.policy_of(session, moves.DEFAULT_ALIAS)
        return checking.judged(report, policy.preview(report))

    def gate(self, report: Report, alias: str) -> tuple[views.GateRow, ...]:
        """How an alias's policy judges a report."""
        with self.here.database.reading() as session:
            policy = moves.policy_of(session, alias)
        return checking.gate_rows(policy.preview(report))

    def promote(
        self, commit: CommitId, alias: str, reason: str, dry_run: bool, progress: Progress
    ) -> views.PromotionView:
        """Judge the version by the alias's policy and move the alias."""
        with self.here.database.reading() as session:
            moves.find_alias(session, alias)
        report = self.checker.report(commit, quick=False, progress=progress)
        with self.here.database.reading() as session:
            policy = moves.policy_of(session, alias)
            held = moves.find_alias(session, alias)
        old = held.target if held else None
        former = self.checker.report(old, quick=False, progress=progress) if old and policy.asks_alias else None
        judgements = policy.judge(report, former)
        plan = moves.MovePlan(alias, moves.MoveKind.PROMOTION, old, commit, policy.digest, (report.digest,))
        view = views.PromotionView(
            alias, plan.kind.value, old or "", commit, plan.digest, False, checking.gate_rows(judgements)
        )
        if dry_run:
            return view
        verdict = verdict_of(judgements)
        if verdict is not Verdict.PASS:
            missed = [
                f"{row.name} is {row.value}, required {row.required}: {row.verdict}"
                for row in view.gate
                if row.verdict != Verdict.PASS
            ]
            raise moves.PolicyNotMet(
                "the version does not meet the policy: " + "; ".join(missed),
                alias=alias,
                commit=commit[:12],
                remedy="See `kvault check`; mend the version, or change the policy with `kvault policy set`.",
            )
        if old == commit:
            raise Conflict("the alias points to this version already", alias=alias, remedy="There is nothing to do.")
        with self.here.database.writing() as session:
            moves.move_alias(session, plan, self.here.actor, reason, self.here.clock.now())
        return views.PromotionView(alias, plan.kind.value, old or "", commit, plan.digest, True, view.gate)

    def export(self, folder: Path, commit: CommitId, wanted: exporting.Wanted) -> views.ExportView:
        """Write a version for others, with its card."""
        store = Remembering(self.here.store)
        with self.here.database.reading() as session:
            tree = read_tree(store, read_body(session, commit).tree)
        parts = parts_of(self.modelling, commit, tree_records(store, tree))

        def card(made: exporting.Written) -> str:
            with self.here.database.reading() as session:
                return cards.card(self.here, session, commit, wanted, made)

        kept: tuple[str, ...] = ()
        if wanted.memories is exporting.Memories.SOLVE and parts.gates is not None and parts.routes is None:
            found = solving.solve_gates(self.modelling, commit, parts)
            parts, kept = found.parts, tuple(str(each) for each in found.kept)
        made = exporting.write(self.modelling.lm, parts, self.here.settings.base, folder, wanted, card, kept)
        return views.ExportView(
            str(folder), commit, wanted.dtype, made.files, made.bytes, made.cast_error, wanted.form.value,
            made.rank, dict(made.lost), made.memories, made.solved,
        )  # fmt: skip

    def rebuild(self, commit: CommitId) -> None:
        """Materialise a version anew from its records; raises where a digest differs."""
        self.modelling.materialise(commit)

    def rebuilding(self) -> repairing.Rebuilding:
        """How packs are made again from records."""
        return repairing.Rebuilding(
            self.modelling.delta_of,
            lambda commit: keyframes.write(self.here, commit, self.modelling.materialise, "repair"),
        )

    def repack(self, chosen: Sequence[CommitId], every: int, drop: bool) -> list[KeyframeView]:
        """Keep whole tensors where the way to them is long."""
        return keyframes.repack(self.here, chosen, every, drop, lambda: self.modelling.materialise)


def _net(changes: Sequence[Change]) -> dict[FactId, tuple[RevisionId | None, RevisionId | None]]:
    """What a batch did to each fact in the end: its revision before and after."""
    net: dict[FactId, tuple[RevisionId | None, RevisionId | None]] = {}
    for change in changes:
        before = net[change.fact][0] if change.fact in net else change.before
        net[change.fact] = (before, change.after)
    return net


def _chosen(names: Mapping[FactId, Fact], wanted: Sequence[str]) -> list[FactId]:
    """The facts that a person named, all of them where none was named."""
    if not wanted:
        return sorted(names)
    found: list[FactId] = []
    for text in wanted:
        hits = [
            fact
            for fact, name in names.items()
            if text in (f"{name.subject}/{name.relation}", fact) or (len(text) >= 4 and fact.startswith(text))
        ]
        if len(hits) != 1:
            raise NotFound(
                "the commit changed no such fact" if not hits else "several facts begin so",
                fact=text,
                remedy="Name it as subject/relation; see `kvault show COMMIT`.",
            )
        found += hits
    return found
