"""Timelines, blame and the history of facts as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kvault.render.table import shorten, table
from kvault.render.views import change

if TYPE_CHECKING:
    from kvault.vault import views_asking as views


def timeline(view: views.TimelineView) -> str:
    """The steps of a timeline, oldest first: what was said, for how long, and what changed it."""
    if not view.steps:
        return "No version lies in this range."
    rows = [
        (
            step.commit[:12],
            step.at[:10],
            str(step.commits),
            shorten(step.answer or "(nothing)", 34),
            f"{step.probability:.0%}",
            shorten(f"{step.runner_up} {step.runner_up_probability:.0%}", 34),
            shorten("; ".join(change(each) for each in step.changes) or step.message.partition("\n")[0], 60),
        )
        for step in view.steps
    ]
    head = ("since", "date", "versions", "answer", "", "runner-up", "changed by")
    return table(head, rows) + f"\n{len(view.rows)} versions, {len(view.steps)} answers"


def fact_history(view: views.FactHistoryView) -> str:
    """The revisions of a fact, newest first."""
    title = f"{view.subject} · {view.relation}"
    rows = [
        (
            line.commit[:12],
            line.at[:10],
            shorten(line.author, 24),
            line.action,
            shorten(line.object or "(taken out)", 34),
            _days(line),
            shorten(line.evidence or line.note, 40),
        )
        for line in view.lines
    ]
    return f"{title}\n" + table(("commit", "date", "author", "change", "object", "holds", "evidence"), rows)


def _days(line: views.FactLine) -> str:
    since = line.valid_from or line.effective
    return f"{since or '…'} to {line.valid_to or '…'}" if since or line.valid_to else "always"


__all__: Sequence[str] = ["fact_history", "timeline"]
