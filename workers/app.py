"""The Celery application of one vault's workers.

``make_app`` builds it from settings. ``celery -A workers.app worker`` finds ``app``, which is made on first use from
the environment: ``KVAULT_FOLDER`` names the vault (the working folder otherwise), ``KVAULT_<SETTING>`` override its
settings, and ``KVAULT_LEASE_SECONDS``, ``KVAULT_RESEND_SECONDS`` and ``KVAULT_POLL_SECONDS`` its patience. This is the
only place of the worker face that reads the environment.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from celery import Celery

from kvault.clock import Clock
from kvault.errors import InvalidInput, KvaultError
from kvault.runs.broker import celery_app
from kvault.runs.states import Limits
from kvault.settings import Settings, discover, load
from workers.tasks import Opener, Round, open_vault, recovery_step, register

POLL_SECONDS = 5.0
"""How often a worker looks for runs to put back and messages to send again."""


def make_app(
    settings: Settings,
    *,
    opener: Opener = open_vault,
    limits: Limits | None = None,
    poll: float = POLL_SECONDS,
    clock: Clock | None = None,
) -> Celery:
    """The application for the vault of ``settings``; ``opener`` decides who does the work.

    Raises :class:`InvalidInput` when the vault has no broker.
    """
    limits, clock = limits or Limits(), clock or Clock()
    app = celery_app(settings, limits)
    register(app, settings, opener, limits, clock)
    app.steps["worker"].add(recovery_step(Round(settings, limits, clock, poll)))
    return app


def from_environment(environment: Mapping[str, str], *, opener: Opener = open_vault) -> Celery:
    """The application that the environment describes; raises :class:`KvaultError` when it describes none."""
    folder = discover(Path(environment.get("KVAULT_FOLDER", ".")).resolve())
    default = Limits()
    limits = Limits(
        lease=_seconds(environment, "KVAULT_LEASE_SECONDS", default.lease),
        resend=_seconds(environment, "KVAULT_RESEND_SECONDS", default.resend),
    )
    poll = _seconds(environment, "KVAULT_POLL_SECONDS", POLL_SECONDS)
    return make_app(load(folder, environment), opener=opener, limits=limits, poll=poll)


def environment_app(opener: Opener = open_vault) -> Celery:
    """The application of this process's environment; an error is told in a few lines and ends the process."""
    try:
        return from_environment(os.environ, opener=opener)
    except KvaultError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_status) from error


def serve(folder: Path) -> None:
    """Work for the vault of ``folder`` in this process until it is told to stop: what ``kvault worker`` does."""
    app = from_environment({**os.environ, "KVAULT_FOLDER": str(folder.parent)})
    app.worker_main(["worker", "--pool", "solo", "--loglevel", "INFO"])


@functools.cache
def _own_app() -> Celery:
    return environment_app()


def __getattr__(name: str) -> Celery:
    if name == "app":
        return _own_app()
    raise AttributeError(name)


def _seconds(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise InvalidInput("not a number of seconds", field=name, remedy="Write a number above 0, as in 30 or 0.5.")
    return seconds
