"""``Vault``: every verb that a person says, one method each.

The command line, the API and the page say what can be said here, and nothing else. Methods open and close their own
transactions. The model is loaded when a verb first needs it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from kvault import settings as configuration
from kvault.clock import Clock
from kvault.db import Database
from kvault.history import revisions
from kvault.history.signatures import Signed
from kvault.ids import CommitId
from kvault.ledger import importing, prompts, relations
from kvault.ledger.service import Statement
from kvault.ledger.values import Action
from kvault.objects.store import ObjectStore
from kvault.runs.execute import Executor
from kvault.settings import Settings
from kvault.vault import (
    comparing,
    factlines,
    facts_at,
    ledgering,
    logs,
    recounting,
    referring,
    unstaging,
    views,
    views_asking,
    views_signing,
    working,
)
from kvault.vault.bisecting import Bisect
from kvault.vault.combining import Combining, Progress, silent
from kvault.vault.logs import LogOptions, LogQuery
from kvault.vault.noting import Notes
from kvault.vault.storage_verbs import StorageVerbs, storing
from kvault.vault.surroundings import Surroundings, default_actor
from kvault.vault.views_history import FactAtView
from kvault.vault.worktrees import Worktrees

if TYPE_CHECKING:
    from kvault.checks.report import Report
    from kvault.vault import views_storage
    from kvault.vault.answering import Answering


class Vault(Combining, StorageVerbs):
    """One base model with its ledger and its history."""

    def __init__(self, here: Surroundings) -> None:
        super().__init__(here)
        self._answering: Answering | None = None

    # -- opening ---------------------------------------------------------------------------------------------------

    @staticmethod
    def init(
        folder: str | Path,
        base: str = "kvault/demo",
        *,
        database: str = "",
        objects: str = "",
        broker: str = "",
        trust_remote_code: bool = False,
        actor: str = "",
    ) -> Vault:
        """Make a vault in ``folder`` for the base model ``base``, with a first commit that holds no fact."""
        settings = Settings(
            Path(folder).absolute() / configuration.FOLDER,
            base=base,
            database=database,
            objects=objects,
            broker=broker,
            trust_remote_code=trust_remote_code,
        )
        return Vault(_founding().found(settings, actor or default_actor()))

    @staticmethod
    def open(folder: str | Path, environment: Mapping[str, str] | None = None) -> Vault:
        """Open the vault whose ``.kvault`` folder, or whose parent of it, is ``folder``."""
        path = Path(folder).absolute()
        inside = path if path.name == configuration.FOLDER else path / configuration.FOLDER
        settings = configuration.load(inside, environment or {})
        database = Database.open(settings.database_url, worktree=settings.worktree)
        database.check_schema()
        return Vault(
            Surroundings(settings, database, ObjectStore.open(settings.objects_url), settings.actor or default_actor())
        )

    @staticmethod
    def discover(start: str | Path, environment: Mapping[str, str] | None = None) -> Vault:
        """Open the nearest vault at or above ``start``."""
        return Vault.open(configuration.discover(Path(start).absolute()), environment)

    @staticmethod
    def migrate(folder: str | Path, environment: Mapping[str, str] | None = None) -> None:
        """Bring the schema of a vault's database up to date."""
        path = Path(folder).absolute()
        settings = configuration.load(path / configuration.FOLDER, environment or {})
        Database.open(settings.database_url).migrate()

    def as_actor(self, actor: str) -> Vault:
        """The same vault in another person's name."""
        return Vault(replace(self.here, actor=actor))

    @property
    def settings(self) -> Settings:
        """The vault's settings."""
        return self.here.settings

    @property
    def database(self) -> Database:
        """The vault's database."""
        return self.here.database

    @property
    def answering(self) -> Answering:
        """The half of the vault that needs a model; loads torch on first use."""
        if self._answering is None:
            self._answering = importlib.import_module("kvault.vault.answering").Answering.of(self.here)
        assert self._answering is not None
        return self._answering

    # -- ledger ----------------------------------------------------------------------------------------------------

    def import_relations(self, file: str | Path) -> list[str]:
        """Register the relations of a YAML file; their names."""
        return ledgering.import_relations(self.here, Path(file))

    def relations(self) -> list[views.RelationView]:
        """The relations in force."""
        return ledgering.list_relations(self.here)

    def import_file(
        self, file: str | Path, *, dry_run: bool = False, strict: bool = False, baseline: bool = False
    ) -> views.ImportView:
        """Stage the rows of a CSV or JSONL file on the current branch; refused rows are in the view."""
        return self.import_files([file], dry_run=dry_run, strict=strict, baseline=baseline)[0]

    def import_files(
        self, files: Sequence[str | Path], *, dry_run: bool = False, strict: bool = False, baseline: bool = False
    ) -> list[views.ImportView]:
        """Stage the rows of several files together; with ``strict``, of all of them or of none."""
        options = importing.ImportOptions(dry_run, strict, baseline)
        if not dry_run:
            unstaging.take_up(self.here, self.head())
        return ledgering.import_files(self.here, self.head(), [Path(file) for file in files], options)

    def add(
        self,
        subject: str,
        relation: str,
        object: str,
        *,
        valid_from: date | None = None,
        valid_to: date | None = None,
        evidence: str = "",
    ) -> views.ChangeView:
        """Stage a new fact."""
        said = Statement(subject, relation, object, valid_from, valid_to, evidence)
        return unstaging.stage(self.here, self.head(), Action.ADD, said)

    def amend(
        self,
        subject: str,
        relation: str,
        object: str,
        *,
        valid_from: date | None = None,
        valid_to: date | None = None,
        evidence: str = "",
    ) -> views.ChangeView:
        """Stage a new object for a known fact."""
        said = Statement(subject, relation, object, valid_from, valid_to, evidence)
        return unstaging.stage(self.here, self.head(), Action.AMEND, said)

    def retract(
        self, subject: str, relation: str, *, effective: date | None = None, note: str = ""
    ) -> views.ChangeView:
        """Stage the withdrawal of a fact."""
        said = Statement(subject, relation, "", effective, None, "", note)
        return unstaging.stage(self.here, self.head(), Action.RETRACT, said)

    def unstage(self, fact: str | None = None, *, valid_from: date | None = None) -> list[views.ChangeView]:
        """Take staged changes back: of one fact (subject/relation or the beginning of its id), of one day, or all."""
        return unstaging.unstage(self.here, self.head(), fact, valid_from)

    def facts(
        self,
        text: str = "",
        *,
        at: str | None = None,
        as_of: str | None = None,
        relation: str = "",
        taught: bool = False,
        valid_at: date | None = None,
        limit: int = 50,
    ) -> list[views.FactView]:
        """A version's facts whose subject or object holds ``text``; with ``valid_at`` what was true on that day.

        ``as_of`` is a day or an instant: the ledger of where ``at``, then production by default, stood.
        """
        commit = self.resolve(referring.stood(at, as_of))
        if valid_at is not None:
            return factlines.facts_on(self.here, commit, valid_at, text, relation, taught, limit)
        return ledgering.facts(self.here, commit, text, relation, taught, limit)

    def statement(self, subject: str, relation: str) -> str:
        """The relation's first phrasing for a subject: what to ask for a fact."""
        with self.database.reading() as session:
            return prompts.statement(relations.vocabulary(session).find(relation).relation, subject)

    def status(self) -> views.StatusView:
        """The current branch and what is staged on it."""
        branch = self.head()
        [tip] = self.log(branch, limit=1)
        running = working.active(self.here, branch)
        found = ledgering.status(self.here, branch, tip.message, self.here.clock.today(), tuple(r.id for r in running))
        return replace(found, left=unstaging.left(self.here, branch))

    # -- history ---------------------------------------------------------------------------------------------------

    def head(self) -> str:
        """The name of the current branch."""
        return referring.head(self.here)

    def resolve(self, revision: str) -> CommitId:
        """The commit that a revision names: a ref, ``HEAD~2``, ``main@{1}``, a prefix of an id."""
        with self.database.reading() as session:
            return revisions.resolve(session, revision)

    def commit(
        self,
        message: str,
        *,
        editor: str | None = None,
        valid_at: date | None = None,
        allow_empty: bool = False,
        progress: Progress = silent,
    ) -> views.MadeView:
        """Seal the changes that hold by ``valid_at`` (today) and make them a version, in this process."""
        return self.answering.commit(self.head(), message, editor, valid_at, allow_empty, progress)

    def queue_commit(
        self, message: str, *, editor: str | None = None, valid_at: date | None = None, allow_empty: bool = False
    ) -> views.RunView:
        """Seal the changes and queue the run for a worker."""
        return working.queue_commit(self.here, self.head(), message, editor, valid_at, allow_empty)

    def consolidate(
        self, message: str = "", *, editor: str | None = None, progress: Progress = silent
    ) -> views.ConsolidatedView:
        """Solve the branch's gated records into the weights; the figures before and after."""
        return self.answering.consolidate(self.head(), message, editor, progress)

    def log(self, *names: str, limit: int | None = None, **asked: Unpack[LogOptions]) -> list[views.CommitView]:
        """The commits that ``names`` (``A``, ``^A``, ``A..B``, ``A...B``) lead to, descendants first.

        ``asked`` are the other fields of :class:`~kvault.vault.logs.LogQuery`.
        """
        return logs.log(self.here, LogQuery(names, limit=limit, **asked))

    def show(self, revision: str = "HEAD") -> views.ShowView:
        """One commit in full."""
        return recounting.show(self.here, self.resolve(revision))

    def fact_at(self, name: str, revision: str = "HEAD") -> FactAtView:
        """A fact (``fact/ID`` or ``SUBJECT/RELATION``) as it stands in a version, and the commit that taught it."""
        return facts_at.fact_at(self.here, self.resolve(revision), name)

    def diff(
        self, revisions_text: str, *, tensors: bool = False, answers: str = "", facts: bool = True
    ) -> views.DiffView:
        """How two versions differ: ``A..B``, or ``A...B`` from their common ancestor on.

        ``answers`` names prompts to ask both (a file, a stored suite, or ``facts`` for those that differ); without
        ``facts`` their rows are left out.
        """
        with self.database.reading() as session:
            old, new = referring.pair(session, revisions_text)
        found = comparing.facts(self.here, old, new)
        prompts_ = comparing.questions(self.here, answers, found) if answers else []
        if tensors:
            weighed = _weighing().tensors(self.answering.modelling, old, new)
            found = replace(found, tensors=weighed, memories=comparing.memories(self.here, old, new))
        if answers:
            pairs = _weighing().answers(self.answering, old, new, prompts_)
            found = replace(found, answers=pairs, asked=len(prompts_))
        return found if facts else replace(found, rows=(), stat=None)

    @property
    def bisect(self) -> Bisect:
        """The search for a first bad commit on the current branch: start, good, bad, skip, run, log, reset."""
        return Bisect(self.here, self.head(), lambda: self.answering)

    @property
    def notes(self) -> Notes:
        """Remarks about commits: add, show, all, remove."""
        return Notes(self.here)

    @property
    def worktrees(self) -> Worktrees:
        """Further folders on this vault: add, listing, remove."""
        return Worktrees(self.here)

    def sign(self, revision: str = "HEAD", *, tag: bool = False, key: str = "") -> views_signing.SignatureView:
        """Sign a commit, or with ``tag`` the tag of that name, by a key file or the set signing key."""
        made: views_signing.SignatureView = _vouching().sign(self.here, revision, _about(tag), key)
        return made

    def signing_key(self) -> Path:
        """The set signing key; raises where there is none."""
        file: Path = _vouching().key_file(self.here)
        return file

    def verify(self, revision: str = "HEAD", *, tag: bool = False) -> views_signing.VerifiedView:
        """What the signatures on a commit or tag are worth here."""
        found: views_signing.VerifiedView = _vouching().verify(self.here, revision, _about(tag))
        return found

    def keys(self) -> list[views_signing.KeyView]:
        """The keys that this machine trusts."""
        found: list[views_signing.KeyView] = _vouching().keys(self.here)
        return found

    def trust(self, principal: str, file: str | Path) -> views_signing.KeyView:
        """Trust an OpenSSH public key under a name."""
        made: views_signing.KeyView = _vouching().trust(self.here, principal, Path(file))
        return made

    def distrust(self, principal: str) -> int:
        """Trust a name's keys no more; how many there were."""
        return int(_vouching().distrust(self.here, principal))

    def generate_key(self, file: str | Path) -> views_signing.KeyView:
        """Make an Ed25519 key in a file, its public key beside it."""
        signing = importlib.import_module("kvault.vault.signing")
        public: str = signing.generate(Path(file))
        return views_signing.KeyView("", public, signing.fingerprint(public))

    def provenance(self, revision: str = "HEAD", form: str = "in-toto") -> dict[str, object]:
        """Where a version comes from, as an ``in-toto`` statement or as ``prov-json``."""
        module = importlib.import_module("kvault.vault.provenance")
        document: dict[str, object] = module.provenance(self.here, self.resolve(revision), module.Form(form))
        return document

    def refs(self) -> list[views.RefView]:
        """Branches, tags and aliases."""
        return recounting.list_refs(self.here, self.head())

    def branch(self, name: str, start: str = "HEAD") -> views.RefView:
        """Make a branch."""
        return referring.make(self.here, name, "branch", self.resolve(start))

    def tag(self, name: str, revision: str = "HEAD") -> views.RefView:
        """Make a tag."""
        return referring.make(self.here, name, "tag", self.resolve(revision))

    def delete_branch(self, name: str) -> None:
        """Delete a branch or tag that is not switched to."""
        referring.delete(self.here, name)

    def switch(self, name: str) -> None:
        """Make a branch the current one."""
        referring.switch(self.here, name)

    def reflog(self, ref: str = "HEAD", *, limit: int = 30) -> list[views.ReflogView]:
        """The moves of a ref, newest first."""
        return recounting.reflog(self.here, self.head() if ref == "HEAD" else ref, limit)

    # -- answers ---------------------------------------------------------------------------------------------------

    def ask(
        self, prompt: str, *, at: str | None = None, as_of: str | None = None, max_tokens: int = 24
    ) -> views.Answer:
        """What a version (HEAD) answers; ``base`` names the unedited model.

        ``as_of`` is a day or an instant: what ``at``, then production by default, answered at its end.
        """
        return self.ask_many([prompt], at=at, as_of=as_of, max_tokens=max_tokens)[0]

    def ask_many(
        self, prompts_: list[str], *, at: str | None = None, as_of: str | None = None, max_tokens: int = 24
    ) -> list[views.Answer]:
        """What a version answers to several prompts."""
        revision = referring.stood(at, as_of)
        commit = None if revision == "base" else self.resolve(revision)
        return self.answering.ask(prompts_, revision, commit, max_tokens)

    def timeline(
        self,
        prompt: str,
        range_: str = "HEAD",
        *,
        at_most: int | None = None,
        max_tokens: int = 24,
        progress: Progress = silent,
    ) -> views_asking.TimelineView:
        """What every version of a range (``A..B``, or a revision and all that led to it) answers to a prompt."""
        return self.answering.past.timeline(prompt, range_, at_most, max_tokens, progress)

    def blame(
        self, prompt: str, revision: str = "HEAD", *, max_tokens: int = 24, progress: Progress = silent
    ) -> views_asking.BlameView:
        """Why a version answers a prompt as it does: the commit where the answer turned, and the facts behind it."""
        return self.answering.past.blame(prompt, revision, self.resolve(revision), max_tokens, progress)

    def fact_history(self, fact: str, revision: str = "HEAD") -> views_asking.FactHistoryView:
        """The revisions of a fact (an id or ``subject/relation``) that led to a version, newest first."""
        return factlines.history(self.here, fact, self.resolve(revision))

    def export(
        self,
        folder: str | Path,
        *,
        at: str = "HEAD",
        form: str = "hf",
        dtype: str = "float32",
        shard: str = "5GB",
        rank: int | None = None,
        memories: str = "refuse",
    ) -> views.ExportView:
        """Write a version as a Hugging Face checkpoint (``hf``) or as a low-rank adapter (``peft``)."""
        exporting = importlib.import_module("kvault.vault.exporting")
        wanted = exporting.Wanted(exporting.Form(form), dtype, shard, rank, exporting.Memories(memories))
        return self.answering.export(Path(folder), self.resolve(at), wanted)

    # -- checks and promotion --------------------------------------------------------------------------------------

    def check(self, revision: str = "HEAD", *, quick: bool = False, progress: Progress = silent) -> Report:
        """The report of a version, judged by production's policy."""
        return self.answering.check(self.resolve(revision), quick, progress)

    def gate(self, report: Report, alias: str = "production") -> tuple[views.GateRow, ...]:
        """How an alias's policy judges a report, requirement by requirement."""
        return self.answering.gate(report, alias)

    def policy(self, alias: str = "production") -> views.PolicyView:
        """The policy in force for an alias."""
        return referring.policy(self.here, alias)

    def set_policy(self, file: str | Path, alias: str = "production") -> views.PolicyView:
        """Put a YAML policy in force."""
        return referring.set_policy(self.here, Path(file), alias)

    def promote(
        self,
        revision: str = "HEAD",
        *,
        alias: str = "production",
        reason: str = "",
        dry_run: bool = False,
        progress: Progress = silent,
    ) -> views.PromotionView:
        """Check a version against the alias's policy and move the alias. Raises GateRefused where it does not pass."""
        return self.answering.promote(self.resolve(revision), alias, reason, dry_run, progress)

    def rollback(self, alias: str = "production", *, reason: str = "") -> views.PromotionView:
        """Move an alias back to where it pointed before."""
        return referring.rollback(self.here, alias, reason)

    # -- operations ------------------------------------------------------------------------------------------------

    def executors(self) -> Mapping[str, Executor]:
        """What a worker can do, by the kind of run."""
        return self.answering.executors()

    def runs(self, *, limit: int = 20) -> list[views.RunView]:
        """The newest runs."""
        return working.listing(self.here, limit)

    def run(self, run: str) -> views.RunView:
        """One run, by its id or the beginning of it."""
        return working.one(self.here, run)

    def cancel_run(self, run: str) -> views.RunView:
        """Cancel a run that has not published."""
        return working.cancel(self.here, run)

    def work(self, *, once: bool = True, progress: Progress = silent) -> list[views.RunView]:
        """Do the queued runs in this process; without ``once``, keep looking for new ones."""
        return self.answering.work(once, progress)

    def fsck(
        self,
        *,
        level: str = "full",
        materialize: bool = False,
        percent: int | None = None,
        progress: Progress = silent,
    ) -> views.FsckView:
        """Verify the vault: ``full``, ``connectivity`` or ``audit``.

        ``materialize`` solves every ref's version too, or ``percent`` of all versions, drawn by the head.
        """
        rebuild = self.answering.rebuild if materialize else None
        view: views.FsckView = _founding().fsck(
            self.here, level=level, rebuild=rebuild, progress=progress, percent=percent
        )
        return view

    def repair(self, findings: Sequence[views.Finding] = ()) -> list[views_storage.RepairView]:
        """Mend what can be made again, of ``findings`` and beside them; no id changes."""
        return storing("repairing").repair(self.here, findings, lambda: self.answering.rebuilding())  # type: ignore[no-any-return]

    def repack(
        self, revisions_: Sequence[str] = (), *, every: int = 50, drop: bool = False
    ) -> list[views_storage.KeyframeView]:
        """Keep whole tensors where the way to a ref is long or heavy; with ``drop``, let those of no ref go."""
        return self.answering.repack([self.resolve(each) for each in revisions_], every, drop)

    def audit_log(self, *, limit: int = 30) -> list[views.AuditView]:
        """The newest audit rows."""
        return referring.audit_rows(self.here, limit)

    def doctor(self) -> list[views.DoctorRow]:
        """What is missing or misconfigured."""
        rows: list[views.DoctorRow] = _founding().doctor(self.here)
        return rows


def _weighing() -> Any:
    """Comparing weights and answers, which loads torch: loaded when it is asked for."""
    return importlib.import_module("kvault.vault.weighing")


def _founding() -> Any:
    """Making and verifying vaults, which reads base models: loaded when it is asked for."""
    return importlib.import_module("kvault.vault.founding")


def _vouching() -> Any:
    """Signing and verifying, which need cryptography: loaded when they are asked for."""
    return importlib.import_module("kvault.vault.vouching")


def _about(tag: bool) -> Signed:
    return Signed.TAG if tag else Signed.COMMIT


__all__ = ["Clock", "Vault", "default_actor"]
