"""The worker of these tests: the real Celery application with executors that leave rows and wait on files.

``celery -A tests.worker.counting worker`` serves the vault named by the environment. The executors publish into a table
of their own, so that a test can count what was done.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from celery import Celery
from sqlalchemy import Column, Integer, MetaData, String, Table, func, insert, select

from kvault.db import Database
from kvault.errors import InvalidInput, TryAgain
from kvault.runs.context import RunContext
from kvault.runs.execute import Executor
from kvault.settings import load
from workers.app import environment_app

METADATA = MetaData()
EFFECT = Table(
    "effect",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("run", String(64), nullable=False),
    Column("fence", Integer, nullable=False),
)


def count(context: RunContext) -> Mapping[str, object]:
    """Leave one row."""
    return _publish(context)


def gated(context: RunContext) -> Mapping[str, object]:
    """Leave a file named after the claim, wait for the file ``go``, then leave one row."""
    folder = Path(str(context.params["folder"]))
    (folder / f"started-{context.fence}").write_text(str(os.getpid()), "utf-8")
    steps = 0
    while not (folder / "go").exists():
        steps += 1
        context.progress("waiting", min(steps, 999), 1000)
        time.sleep(0.02)
    return _publish(context)


def silent(context: RunContext) -> Mapping[str, object]:
    """As ``gated``, without ever asking whether the run is still ours until it publishes."""
    folder = Path(str(context.params["folder"]))
    (folder / f"started-{context.fence}").write_text(str(os.getpid()), "utf-8")
    while not (folder / f"go-{context.fence}").exists():
        time.sleep(0.02)
    try:
        return _publish(context)
    finally:
        (folder / f"ended-{context.fence}").touch()


def refuse(context: RunContext) -> Mapping[str, object]:
    """Fail as bad input does."""
    raise InvalidInput("the ledger has a bad row", line=3, field="object", remedy="Mend the row.")


def crash(context: RunContext) -> Mapping[str, object]:
    """Fail as a programming error does."""
    raise ZeroDivisionError("a defect")


def later(context: RunContext) -> Mapping[str, object]:
    """Ask to be tried again, the first time."""
    if context.run.attempts == 1:
        raise TryAgain("the disk is full", remedy="Free some space.")
    return _publish(context)


def poison(context: RunContext) -> Mapping[str, object]:
    """Take the whole process down, every time."""
    os.kill(os.getpid(), 9)
    return {}


EXECUTORS: Mapping[str, Executor] = {
    "count": count,
    "gated": gated,
    "silent": silent,
    "refuse": refuse,
    "crash": crash,
    "later": later,
    "poison": poison,
}


@dataclass(frozen=True, slots=True)
class CountingVault:
    """A workplace with the executors above."""

    database: Database

    def executors(self) -> Mapping[str, Executor]:
        """The executors above."""
        return EXECUTORS


def effects(database: Database) -> dict[str, int]:
    """How many rows each run left."""
    with database.reading() as session:
        rows = session.execute(select(EFFECT.c.run, func.count()).group_by(EFFECT.c.run)).all()
    return dict(rows)


def _publish(context: RunContext) -> Mapping[str, object]:
    result: dict[str, object] = {"fence": context.fence, "holder": context.run.holder}
    with context.publishing() as session:
        session.execute(insert(EFFECT).values(run=context.id, fence=context.fence))
        context.finish(session, result)
    return result


def _open(folder: Path) -> CountingVault:
    return CountingVault(Database.open(load(folder, os.environ).database_url))


@functools.cache
def _own_app() -> Celery:
    return environment_app(_open)


def __getattr__(name: str) -> Celery:
    if name == "app":
        return _own_app()
    raise AttributeError(name)
