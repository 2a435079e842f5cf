"""What the vault's verbs return: plain values that every face renders in its own way.

Each has a ``document`` for JSON. Nothing here knows the database or a tensor.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import date


class Document:
    """A view that can be printed as JSON."""

    __slots__ = ()

    def document(self) -> dict[str, object]:
        """The view's fields as JSON values."""
        return {name: _plain(value) for name, value in asdict(self).items()}  # type: ignore[call-overload]


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


@dataclass(frozen=True, slots=True)
class FactView(Document):
    """A fact of a version's ledger, or one side of a difference."""

    fact: str
    subject: str
    relation: str
    object: str
    valid_from: date | None
    valid_to: date | None
    taught: bool
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class ChangeView(Document):
    """A staged or committed change, with what it replaces."""

    action: str
    subject: str
    relation: str
    before: str
    after: str
    effective: date | None
    note: str = ""
    fact: str = ""


@dataclass(frozen=True, slots=True)
class RelationView(Document):
    """A relation and how many phrasings it has."""

    slug: str
    name: str
    domain: str
    language: str
    statement: str
    prompts: int
    probes: int


@dataclass(frozen=True, slots=True)
class RefusedRow(Document):
    """A row that the importer refused; ``sides`` holds both statements of a contradiction."""

    line: int
    field: str
    message: str
    remedy: str
    sides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportView(Document):
    """What an import did, or would do."""

    file: str
    rows: int
    staged: int
    unchanged: int
    dry_run: bool
    refused: tuple[RefusedRow, ...]
    warnings: tuple[str, ...] = ()
    stopped: bool = False
    """Whether refused rows stopped a strict import, of this file or of one beside it."""


@dataclass(frozen=True, slots=True)
class LeftView(Document):
    """What a run that made no commit left sealed: the next commit puts it in front of the staged changes."""

    run: str
    state: str
    """``failed`` or ``cancelled``; empty where no run is known."""
    error: str
    changes: tuple[ChangeView, ...]


@dataclass(frozen=True, slots=True)
class StatusView(Document):
    """The current branch, and the changes that wait on it."""

    branch: str
    head: str
    message: str
    due: int
    later: int
    changes: tuple[ChangeView, ...]
    running: tuple[str, ...] = ()
    left: tuple[LeftView, ...] = ()
    doing: str = ""
    """What is half done on the branch: merge, cherry-pick or rebase."""


@dataclass(frozen=True, slots=True)
class StatView(Document):
    """How many facts something changes, by what it does to them and by relation."""

    added: int
    amended: int
    retracted: int
    relations: dict[str, int]


@dataclass(frozen=True, slots=True)
class CommitView(Document):
    """A commit as the log shows it; what was not asked for is empty."""

    id: str
    parents: tuple[str, ...]
    message: str
    author: str
    at: str
    verb: str
    changes: int
    refs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    shown_parents: tuple[str, ...] = ()
    """With a graph: the nearest ancestors that are shown too."""
    stat: StatView | None = None
    facts: tuple[ChangeView, ...] = ()


@dataclass(frozen=True, slots=True)
class MadeView(Document):
    """A commit that was just made, with what it took."""

    id: str
    branch: str
    message: str
    editor: str
    changes: int
    records_added: int
    records_removed: int
    records_total: int
    converged: int
    clipped: int
    failed: int
    seconds: dict[str, float]
    object_bytes: int
    left_alone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LayerView(Document):
    """How one edited tensor differs from the first parent's."""

    tensor: str
    rank: int
    norm: float
    relative: float


@dataclass(frozen=True, slots=True)
class NoteView(Document):
    """A remark about a commit."""

    id: int
    commit: str
    text: str
    author: str
    at: str


@dataclass(frozen=True, slots=True)
class ShowView(Document):
    """One commit in full."""

    commit: CommitView
    tree: str
    ledger_root: str
    recipes: tuple[str, ...]
    facts: tuple[ChangeView, ...]
    records_added: tuple[str, ...]
    records_removed: tuple[str, ...]
    layers: tuple[LayerView, ...]
    reports: tuple[str, ...]
    notes: tuple[NoteView, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerPair(Document):
    """A prompt that two versions answer differently."""

    prompt: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class DiffView(Document):
    """How two versions differ; a part that was not asked for is None."""

    old: str
    new: str
    same_tree: bool
    rows: tuple[ChangeView, ...]
    stat: StatView | None = None
    tensors: tuple[LayerView, ...] | None = None
    memories: dict[str, tuple[int, int]] | None = None
    """By editor, how many records only the old and only the new version holds."""
    answers: tuple[AnswerPair, ...] | None = None
    asked: int = 0
    """How many prompts were asked of both."""

    @property
    def differs(self) -> bool:
        """Whether anything that was compared differs."""
        return bool(self.rows or self.tensors or self.answers or any(map(any, (self.memories or {}).values())))


@dataclass(frozen=True, slots=True)
class RefView(Document):
    """A branch, tag or alias."""

    name: str
    kind: str
    target: str
    current: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class ReflogView(Document):
    """One move of a ref."""

    index: int
    ref: str
    old: str
    new: str
    actor: str
    verb: str
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class Answer(Document):
    """What a version answered."""

    prompt: str
    text: str
    at: str
    commit: str
    probability: float = 0.0
    fired: str = ""


@dataclass(frozen=True, slots=True)
class ConsolidatedView(Document):
    """A consolidation: the commit it made and what each figure was before and after."""

    made: MadeView
    figures: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True, slots=True)
class ExportView(Document):
    """A version that was written for others; ``lost`` is by tensor the share of the change's energy."""

    folder: str
    commit: str
    dtype: str
    files: tuple[str, ...]
    bytes: int
    cast_error: float
    form: str = "hf"
    rank: int = 0
    lost: dict[str, float] = field(default_factory=dict)
    memories: tuple[str, ...] = ()
    solved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunView(Document):
    """One piece of work."""

    id: str
    kind: str
    branch: str
    state: str
    stage: str
    done: int
    total: int
    attempts: int
    actor: str
    created: str
    seconds: float | None
    seconds_left: float | None
    message: str
    result: dict[str, object] | None = None
    error: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class PolicyView(Document):
    """A policy in force."""

    alias: str
    digest: str
    text: str


@dataclass(frozen=True, slots=True)
class GateRow(Document):
    """One requirement of a policy and how it went."""

    name: str
    value: str
    required: str
    verdict: str


@dataclass(frozen=True, slots=True)
class PromotionView(Document):
    """A promotion, done or only planned."""

    alias: str
    kind: str
    old: str
    new: str
    plan: str
    done: bool
    gate: tuple[GateRow, ...]


@dataclass(frozen=True, slots=True)
class Finding(Document):
    """One thing that fsck found."""

    code: str
    object: str
    message: str
    needed_by: str = ""


@dataclass(frozen=True, slots=True)
class FsckView(Document):
    """What fsck looked at and what it found."""

    checked: dict[str, int]
    findings: tuple[Finding, ...]
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class AuditView(Document):
    """One link of the audit chain."""

    seq: int
    at: str
    actor: str
    verb: str
    subject: str
    detail: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DoctorRow(Document):
    """One thing that doctor looked at."""

    name: str
    fine: bool
    message: str
    remedy: str = ""
