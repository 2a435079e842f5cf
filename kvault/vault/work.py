"""What a run that makes a commit is to do, as its parameters say; no tensor, so that queueing one stays light."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from kvault.ids import BatchId, Canonical, CommitId


@dataclass(frozen=True, slots=True)
class Work:
    """What a run is to do, as its parameters say."""

    branch: str
    verb: str
    message: str
    author: str
    batch: BatchId | None = None
    editor: str | None = None
    arguments: Mapping[str, Canonical] = field(default_factory=dict)
    restore_from: CommitId | None = None
    """For a revert: the version whose editors the restored subjects return to."""
    consolidate: bool = False

    def params(self) -> dict[str, object]:
        """The work as a run's parameters."""
        return {
            "branch": self.branch,
            "verb": self.verb,
            "message": self.message,
            "author": self.author,
            "batch": self.batch,
            "editor": self.editor,
            "arguments": dict(self.arguments),
            "restore_from": self.restore_from,
            "consolidate": self.consolidate,
        }

    @staticmethod
    def read(params: Mapping[str, object]) -> Work:
        """The work that a run's parameters state."""
        arguments = params.get("arguments")
        batch, restore = params.get("batch"), params.get("restore_from")
        editor = params.get("editor")
        return Work(
            str(params["branch"]),
            str(params["verb"]),
            str(params["message"]),
            str(params["author"]),
            BatchId(str(batch)) if batch else None,
            str(editor) if editor else None,
            dict(arguments) if isinstance(arguments, Mapping) else {},
            CommitId(str(restore)) if restore else None,
            bool(params.get("consolidate")),
        )


def due_by(valid_at: date | None, today: date) -> date:
    """The day by which a change must hold to be committed."""
    return valid_at or today
