"""What kinds of conflict a merge can meet, and how each way of deciding decides: pure rules over what two sides claim.

Every rule that is not "ours" or "theirs" gives the same answer with the sides exchanged, or none at all; then the
conflict stays for a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from kvault.ids import RevisionId
from kvault.ledger.values import Evidence, Revision


class Kind(StrEnum):
    """Why a merge asks. The last two are warnings: nothing is to be decided, but the version should be checked."""

    AMENDED = "amended"
    """Both sides changed the same fact differently."""
    RETRACTED = "retracted"
    """One side changed the fact and the other withdrew it."""
    TWO_FACTS = "two-facts"
    """The sides would leave two facts for one subject in a relation that has one object at a time."""
    RESTRICTED = "restricted"
    """A policy says that changes of this relation are accepted by a person."""
    COLLIDING = "colliding-keys"
    """Two records have nearly one key and different targets."""
    RESIDUAL = "residual-grew"
    """A record is missed by more than twice what a parent missed it by."""

    @property
    def warning(self) -> bool:
        """Whether nothing is to be decided."""
        return self in {Kind.COLLIDING, Kind.RESIDUAL}


class Choice(StrEnum):
    """How a conflict is decided."""

    OURS = "ours"
    THEIRS = "theirs"
    NEWEST = "newest"
    EVIDENCE = "evidence"
    HAND = "by-hand"


STRATEGIES = (Choice.OURS, Choice.THEIRS, Choice.NEWEST, Choice.EVIDENCE)
"""The choices that need no words of a person's own."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one side says of a fact: its revision with what supports it, or that it is withdrawn since a day."""

    revision: RevisionId | None = None
    said: Revision | None = None
    evidence: Evidence | None = None
    withdrawn: date | None = None

    @property
    def since(self) -> date | None:
        """The day from which the claim holds, where that is known."""
        return self.withdrawn if self.said is None else self.said.valid_from

    @property
    def support(self) -> tuple[bool, bool, bool]:
        """How well it is supported: by anything, by something that can be looked up, by its very words."""
        found = self.evidence
        return (found is not None, bool(found and found.url), bool(found and found.quote))


def kind_of(ours: Claim, theirs: Claim) -> Kind:
    """The kind of an open fact."""
    return Kind.RETRACTED if ours.said is None or theirs.said is None else Kind.AMENDED


def agreed(ours: Claim, theirs: Claim) -> RevisionId | None:
    """The better supported of two revisions that say the same, or None where they say different things."""
    if ours.said is None or theirs.said is None or ours.said.baseline != theirs.said.baseline:
        return None
    if not ours.said.says(theirs.said) or ours.revision is None or theirs.revision is None:
        return None
    return min((ours, theirs), key=lambda claim: (*(not each for each in claim.support), claim.revision)).revision


def chosen(choice: Choice, ours: Claim, theirs: Claim) -> Claim | None:
    """The claim that a choice takes; None where the choice cannot tell them apart, or takes neither.

    The newest is the one that holds from the later day; a claim without a day is older than any, and a withdrawal
    without one cannot be compared. Better evidence is the richer kind; it does not decide about a withdrawal.
    """
    match choice:
        case Choice.OURS:
            return ours
        case Choice.THEIRS:
            return theirs
        case Choice.NEWEST:
            return _newest(ours, theirs)
        case Choice.EVIDENCE:
            if ours.said is None or theirs.said is None or ours.support == theirs.support:
                return None
            return max(ours, theirs, key=lambda claim: claim.support)
    return None


def overlapping(one: Revision, other: Revision) -> bool:
    """Whether there is a day on which both hold; a missing end is open."""
    starts = max(one.valid_from or date.min, other.valid_from or date.min)
    return starts < min(one.valid_to or date.max, other.valid_to or date.max)


def _newest(ours: Claim, theirs: Claim) -> Claim | None:
    for claim in (ours, theirs):
        if claim.said is None and claim.withdrawn is None:
            return None
    days = ours.since or date.min, theirs.since or date.min
    if days[0] == days[1]:
        return None
    return ours if days[0] > days[1] else theirs
