"""What to type when a change is refused: commands that can be followed as they stand.

A remedy names the verb that gets the two sides out of each other's way: `unstage` for what is only staged, an end or a
retraction for what a version holds already. Pure: texts from values.
"""

from __future__ import annotations

import shlex
from datetime import date

from kvault.ledger.values import Fact, Revision


def named(fact: Fact) -> str:
    """The fact as `unstage` and `revert --fact` take it, quoted for a shell."""
    return fact.id[:12] if fact.scope else shlex.quote(f"{fact.subject}/{fact.relation}")


def unstage(fact: Fact, day: date | None = None) -> str:
    """The command that takes a staged change of ``fact`` back; with ``day``, the one that takes effect then."""
    return f"`kvault unstage {named(fact)}{f' --valid-from {day}' if day else ''}`"


def give_a_day(fact: Fact, staged: Revision) -> str:
    """For a change without a day where one is staged: nothing says which of the two comes first."""
    return (
        f"Say from which day it holds (--valid-from), or take the staged change back first:"
        f" {unstage(fact, staged.valid_from)}."
    )


def keep_one(fact: Fact, held: Revision, *, staged: bool) -> str:
    """For two objects that are claimed from the same day."""
    if staged:
        return f"Keep the one that is right; if it is the new one, first {unstage(fact, held.valid_from)}."
    words = " ".join(shlex.quote(text) for text in (fact.subject, fact.relation))
    return f"Correct the day; or, where what stands is wrong, `kvault retract {words}` and add the right one."


def end_first(fact: Fact, held: Revision, day: date) -> str:
    """For a change on ``day`` while what stands lasts longer by its own account."""
    words = " ".join(shlex.quote(text) for text in (fact.subject, fact.relation, held.object))
    since = f" --valid-from {held.valid_from}" if held.valid_from else ""
    return (
        f"Begin on {held.valid_to}, or first end what stands and then repeat this:"
        f" `kvault amend {words}{since} --valid-to {day}`."
    )


def amend_instead(fact: Fact, held: Revision, *, staged: bool) -> str:
    """For an addition where another object stands."""
    back = f", or take what is staged back: {unstage(fact, held.valid_from)}" if staged else ""
    return f"To replace what stands, amend it with the day of the change (--valid-from){back}."


def later_first(fact: Fact, held: Revision, *, staged: bool) -> str:
    """For a change dated before what stands."""
    if staged:
        return f"Correct the day, or take the later change back first: {unstage(fact, held.valid_from)}."
    return "Correct the day, or revert the later change first."
