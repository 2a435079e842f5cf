"""What an executor is given: its run, a way to tell progress, and the right to publish.

A thread of the context gives the signs of life, so that the work itself never waits for the database and holds no
transaction while a model runs. When the run was taken away, the next call of ``progress`` or ``publishing`` raises
:class:`LeaseLost` and the work stops. This module knows no kind of work.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from sqlmodel import Session

from kvault.clock import Clock
from kvault.db import Database
from kvault.errors import InvalidInput, KvaultError
from kvault.ids import RunId
from kvault.runs import runs
from kvault.runs.states import LeaseLost, Limits, Run

Listener: TypeAlias = Callable[[str, int, int], None]
"""Called with stage, done and total in the calling process: a progress bar."""

PROGRESS_SECONDS = 0.5
"""Progress is written at most so often."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Mark:
    stage: str
    stage_at: int
    done: int
    total: int


class RunContext:
    """One claimed run in the hands of its executor."""

    def __init__(
        self, database: Database, run: Run, *, clock: Clock, limits: Limits, listen: Listener | None = None
    ) -> None:
        self.run = run
        self.limits = limits
        self._database = database
        self._clock = clock
        self._listen = listen
        self._mark = _Mark("", run.stage_at, 0, 0)
        self._written = self._mark
        self._lost = threading.Event()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"run-{run.id[:8]}", daemon=True)

    @property
    def id(self) -> RunId:
        """The run's name."""
        return self.run.id

    @property
    def kind(self) -> str:
        """What kind of work it is."""
        return self.run.kind

    @property
    def params(self) -> Mapping[str, object]:
        """The parameters that the run was created with."""
        return self.run.params

    @property
    def fence(self) -> int:
        """The number of this claim; it grows with every claim of the run."""
        return self.run.fence

    @property
    def lost(self) -> bool:
        """Whether the run was taken away from this holder."""
        return self._lost.is_set()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` pieces of ``stage`` are finished; cheap enough for every step.

        Raises :class:`LeaseLost` when the run was taken away, which ends the work.
        """
        self.proceed()
        if not 0 <= done <= max(total, 0):
            raise InvalidInput(f"{done} of {total} is no progress", field=stage, remedy="Count from 0 to the total.")
        last = self._mark
        began = last.stage_at if last.stage == stage else self._clock.now()
        self._mark = _Mark(stage, began, done, total)
        self._wake.set()
        if self._listen is not None:
            self._listen(stage, done, total)

    def proceed(self) -> None:
        """Raise :class:`LeaseLost` when the run was taken away; reads no database."""
        if self.lost:
            raise LeaseLost("the run was taken away from this worker", run=self.id, remedy="Nothing was published.")

    def check(self, session: Session) -> None:
        """Raise :class:`LeaseLost` unless the run is ours; it stays so until the transaction of ``session`` ends."""
        runs.check(session, self.id, self.fence)

    def finish(self, session: Session, result: Mapping[str, object]) -> None:
        """Mark the run as done in the transaction of ``session``, so that work and outcome are published as one."""
        runs.finish(session, self.id, self.fence, result, clock=self._clock)

    @contextmanager
    def publishing(self) -> Iterator[Session]:
        """A writing session whose transaction is ours alone: it begins with the check of the fence."""
        self.proceed()
        with self._database.writing() as session:
            self.check(session)
            yield session

    @contextmanager
    def alive(self) -> Iterator[RunContext]:
        """Signs of life while the block runs; the last progress is written at its end."""
        self._thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            self._wake.set()
            self._thread.join()

    def _beat(self) -> None:
        """Write progress soon and a heartbeat in time; a database that is away is tried until the lease ends."""
        trusted_until = time.monotonic() + self.limits.lease
        while not self.lost:
            self._wake.wait(self.limits.heartbeat)
            self._wake.clear()
            stopping = self._stopping.is_set()
            if stopping and self._mark == self._written:
                return
            try:
                self._write()
                trusted_until = time.monotonic() + self.limits.lease
            except LeaseLost:
                self._lost.set()
            except KvaultError as error:
                _log.warning("run %s: no sign of life could be given: %s", self.id, error.message)
                if time.monotonic() >= trusted_until:
                    self._lost.set()
            if stopping:
                return
            self._stopping.wait(min(PROGRESS_SECONDS, self.limits.heartbeat))

    def _write(self) -> None:
        mark = self._mark
        with self._database.writing() as session:
            if mark == self._written:
                runs.heartbeat(session, self.id, self.fence, limits=self.limits, clock=self._clock)
            else:
                runs.progress(
                    session,
                    self.id,
                    self.fence,
                    stage=mark.stage,
                    stage_at=mark.stage_at,
                    done=mark.done,
                    total=mark.total,
                    limits=self.limits,
                    clock=self._clock,
                )
        self._written = mark
