"""Why a change is not taken: one error per situation, each with both sides where there are two."""

from __future__ import annotations

from kvault.errors import Conflict, InvalidInput, KvaultError, NotFound


class Sided(KvaultError):
    """A refusal that shows what stands against what; mixed into a kind of error that decides the status."""

    def __init__(self, message: str, sides: tuple[str, ...] = (), *, remedy: str = "", **where: object) -> None:
        super().__init__(message, remedy=remedy, **where)
        self.sides = sides

    def __str__(self) -> str:
        first, *rest = super().__str__().split("\n")
        return "\n".join([first, *(f"  - {side}" for side in self.sides), *rest])

    def document(self) -> dict[str, object]:
        """The error with its sides."""
        return {**super().document(), "sides": list(self.sides)}


class Contradiction(Sided, Conflict):
    """Two different objects are claimed for one fact at one time; ``sides`` shows both."""

    code = "contradiction"


class DatesBackwards(Sided, InvalidInput):
    """A period ends before it begins, or a change is dated before what it replaces."""

    code = "dates-backwards"


class AlreadySo(Conflict):
    """The ledger, or the open batch, says so already; nothing is to be done."""

    code = "already-so"


class UnknownFact(NotFound):
    """A change to a fact that the ledger does not hold."""

    code = "unknown-fact"


class UnknownAction(InvalidInput):
    """A row asks for something that is no action."""

    code = "unknown-action"


class RowMalformed(InvalidInput):
    """A line is no row of its format."""

    code = "row-malformed"


class FileMalformed(InvalidInput):
    """A file as a whole cannot be read: its encoding, its header, its kind."""

    code = "file-malformed"


class StaleChange(Conflict):
    """A change was staged against a revision that is no longer the ledger's."""

    code = "stale-change"


class BatchChanged(Conflict):
    """A sealed batch no longer has the content it was sealed with."""

    code = "batch-changed"


class NothingStaged(Conflict):
    """There is no staged change, or none that is due."""

    code = "nothing-staged"


class BatchState(Conflict):
    """A batch is not in the state that a step needs."""

    code = "batch-state"
