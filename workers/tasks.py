"""What a worker process does: the task ``kvault.run``, and the round that mends what was lost.

The task is a thin cover over :func:`kvault.runs.execute.execute`. Every worker makes the round while it is free to take
a message, so that whoever could do lost work also finds it; there is no process that has to be kept alive for it.
This module knows a vault only as a database and a mapping of executors; the model is loaded by the first run.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from celery import Celery, bootsteps
from celery.worker import WorkController

from kvault.clock import Clock
from kvault.db import Database
from kvault.errors import KvaultError
from kvault.ids import RunId
from kvault.runs.broker import TASK, CeleryQueue
from kvault.runs.execute import Executor, execute, recover
from kvault.runs.states import Limits
from kvault.settings import Settings

_log = logging.getLogger(__name__)


class Workplace(Protocol):
    """What a worker needs of a vault; the vault's façade is one."""

    @property
    def database(self) -> Database:
        """Where the runs are."""
        ...

    def executors(self) -> Mapping[str, Executor]:
        """Who does the work of each kind of run."""
        ...


Opener: TypeAlias = Callable[[Path], Workplace]
"""Opens the vault in a folder."""


def open_vault(folder: Path) -> Workplace:
    """The vault's façade, loaded by the first run: a worker's main process never loads a model."""
    opened: Workplace = importlib.import_module("kvault.vault").Vault.open(folder, os.environ)
    return opened


@dataclass(slots=True)
class Bench:
    """The one vault of this process, opened once, and again after a fork: connections and models are not shared."""

    folder: Path
    opener: Opener
    _held: tuple[int, Workplace] | None = field(default=None)

    def workplace(self) -> Workplace:
        """The vault as opened by the present process."""
        if self._held is None or self._held[0] != os.getpid():
            self._held = (os.getpid(), self.opener(self.folder))
        return self._held[1]


def holder() -> str:
    """Who a claim is written down for: the machine and the process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def register(app: Celery, settings: Settings, opener: Opener, limits: Limits, clock: Clock) -> None:
    """Give the application its task."""
    bench = Bench(settings.folder, opener)

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def run(vault_folder: str, run_id: str) -> None:
        """Execute the run; its outcome is in its row, so that an expected failure is a line in the log."""
        try:
            workplace = bench.workplace()
            done = execute(workplace.database, RunId(run_id), workplace.executors(), holder(), clock, limits=limits)
        except KvaultError as error:
            _log.error("run %s of the vault %s: %s", run_id, vault_folder, error)
        else:
            _log.info("run %s is %s", run_id, done.state.value)


@dataclass(slots=True)
class Round:
    """One look after runs to put back and messages to send again."""

    settings: Settings
    limits: Limits
    clock: Clock
    every: float
    _held: tuple[Database, CeleryQueue] | None = field(default=None)

    def walk(self) -> None:
        """Put back and send what is due; what cannot be done now is told in the log and done by a later round."""
        try:
            if self._held is None:
                self._held = Database.open(self.settings.database_url), CeleryQueue.open(self.settings, self.limits)
            for run_id in recover(*self._held, self.clock, limits=self.limits):
                _log.warning("run %s was sent again", run_id)
        except KvaultError as error:
            _log.warning("the round was cut short: %s", error)

    def close(self) -> None:
        """Give every connection back."""
        if self._held is not None:
            database, queue = self._held
            queue.close()
            database.close()


def recovery_step(round_: Round) -> type:
    """The round as a part of a worker's life: at its start, then as often as the round says.

    It runs between messages in the loop of the worker's main process and not in a thread, because that process forks
    whenever one of its pool has died, and a child that is forked while a thread is inside SQLite waits for ever.
    """

    class Recovery(bootsteps.StartStopStep):  # type: ignore[misc]
        """Starts and stops the round with the worker."""

        requires = ("celery.worker.components:Pool", "celery.worker.components:Timer")

        def start(self, parent: WorkController) -> None:
            """The worker starts."""
            round_.walk()
            parent.timer.call_repeatedly(round_.every, round_.walk)

        def stop(self, parent: WorkController) -> None:
            """The worker stops, and its timer with it."""
            round_.close()

    return Recovery
