"""Waiting for a run that somebody else executes: reads the row again and again, since the row is the truth."""

from __future__ import annotations

import time

from kvault.db import Database
from kvault.errors import TryAgain
from kvault.ids import RunId
from kvault.runs import runs
from kvault.runs.context import Listener
from kvault.runs.states import Run, RunState


class NobodyWorks(TryAgain):
    """No worker has taken or finished the run in time."""

    code = "run-waiting"


def wait(
    database: Database,
    run_id: RunId,
    *,
    timeout: float | None = None,
    every: float = 0.2,
    listen: Listener | None = None,
) -> Run:
    """The run once it is over, whatever its outcome; ``listen`` hears its progress.

    Raises :class:`NobodyWorks` after ``timeout`` seconds; the run goes on.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    heard: tuple[str, int, int] | None = None
    while True:
        with database.reading() as session:
            run = runs.get(session, run_id)
        mark = (run.stage, run.done, run.total)
        if listen is not None and run.stage and mark != heard:
            listen(*mark)
            heard = mark
        if run.state.final:
            return run
        if deadline is not None and time.monotonic() >= deadline:
            raise NobodyWorks(
                "no worker has taken the run"
                if run.state is RunState.QUEUED
                else "the run takes longer than waited for",
                run=run_id,
                remedy="Start a worker for this vault, or ask for the run again later.",
            )
        time.sleep(every)
