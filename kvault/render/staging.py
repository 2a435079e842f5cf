"""What is staged, what was taken back and what a failed run left, as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvault.render.views import changes, counted

if TYPE_CHECKING:
    from kvault.vault import views


def status(view: views.StatusView) -> str:
    """Where one is, and what waits."""
    lines = [f"On branch {view.branch} at {view.head[:12]}  {view.message}"]
    lines += [f"Run {run[:12]} is under way on this branch." for run in view.running]
    if view.doing:
        lines.append(f"A {view.doing} waits: kvault conflicts, then kvault {view.doing} --continue or --abort.")
    for left in view.left:
        lines += _left(left)
    if view.changes:
        later = f", {view.later} hold only from a later day" if view.later else ""
        lines.append(f"{counted(view.due + view.later, 'change')} staged: {view.due} due now{later}.")
        lines += changes(view.changes)
    elif not view.left:
        lines.append("Nothing staged.")
    return "\n".join(lines)


def unstaged(rows: Sequence[views.ChangeView]) -> str:
    """What was taken back."""
    return "\n".join([f"Took {counted(len(rows), 'staged change')} back:", *changes(rows)])


def _left(view: views.LeftView) -> list[str]:
    """A run's changes that wait to be tried again, and the commands for it."""
    named = f"Run {view.run[:12]} {view.state}" if view.run else "A run never began"
    why = f": {view.error}" if view.error else "."
    return [
        f"{named}{why}",
        f"Its {counted(len(view.changes), 'change')} wait; `kvault commit` tries them again, "
        "`kvault unstage FACT` (or --all) takes them back.",
        *changes(view.changes),
    ]
