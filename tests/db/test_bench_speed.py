"""The history that reading is timed on is a sound one, and the figures name what they measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvault.bench import speed
from kvault.bench.figures import Setting
from kvault.bench.long_history import SIDE_EVERY, LongHistory, plan
from kvault.clock import Clock
from kvault.db import Database
from kvault.history.fsck import Level
from kvault.history.fsck import fsck as check
from kvault.ledger.batches import verify_sealed
from kvault.objects.store import ObjectStore


def quiet(_stage: str, _done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def test_a_plan_has_as_many_commits_as_wanted_and_real_merges() -> None:
    for commits in (1, 2, SIDE_EVERY, SIDE_EVERY + 2, SIDE_EVERY + 3, 200):
        steps = list(plan(commits))
        assert len(steps) == commits
        assert all(parent < at for at, step in enumerate(steps) for parent in step.parents)
        led = {parent for step in steps for parent in step.parents}
        assert led == set(range(commits - 1))
    assert sum(len(step.parents) > 1 for step in plan(200)) > 3


def test_the_history_is_sound(database: Database, store: ObjectStore) -> None:
    made = LongHistory(database, store, facts=300, commits=60).write(quiet)
    with database.reading() as session:
        report = check(session, store, now=Clock().now(), level=Level.FULL, verify_batch=verify_sealed, also_needed=())
    assert len(made) == 60
    assert [str(found) for found in report.findings] == []


def test_small_figures_of_each_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(speed, "QUICK_COMMITS", 60)
    monkeypatch.setattr(speed, "QUICK_FACTS", 8000)
    monkeypatch.setattr(speed, "DATABASES", {"SQLite": speed.DATABASES["SQLite"]})
    monkeypatch.setattr(speed, "QUICK_TIMES", 1)
    figures = speed.reading_times(Setting(True, (), tmp_path, quiet))
    assert [figure.name for figure in figures] == [f"SQLite: {name}" for name in speed.READINGS]
    assert all(figure.value > 0 for figure in figures)
    assert not list(tmp_path.iterdir())
