"""Runs as values: the time left, and errors that cross processes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kvault.errors import Conflict, InvalidInput, KvaultError, NotFound, TryAgain
from kvault.ids import RunId
from kvault.runs.states import (
    SECOND,
    LeaseLost,
    Limits,
    Run,
    RunCancelled,
    RunPending,
    RunState,
    error_document,
    outcome,
    rebuilt_error,
)

RUN = Run(
    id=RunId("r1"), kind="commit", branch="main", state=RunState.RUNNING, params={}, result=None, error=None,
    actor="Ada", holder="here:1", fence=1, lease_until=0, attempts=1, stage="targets", done=10, total=40, message="",
    created_at=0, queued_at=0, sent_at=0, stage_at=100 * SECOND, started_at=0, finished_at=None,
)  # fmt: skip


def test_the_time_left_follows_the_speed_of_the_stage() -> None:
    assert RUN.seconds_left(105 * SECOND) == pytest.approx(15.0)
    assert RUN.document(105 * SECOND)["seconds_left"] == 15.0
    assert replace(RUN, done=40).seconds_left(105 * SECOND) == 0.0


@pytest.mark.parametrize("change", [{"done": 0}, {"state": RunState.QUEUED}, {"done": 5, "total": 0}])
def test_the_time_left_is_not_guessed(change: dict[str, object]) -> None:
    assert replace(RUN, **change).seconds_left(105 * SECOND) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("bad row", line=3, field="object", remedy="Mend it."),
        NotFound("no such branch", branch="man"),
        LeaseLost("gone", run="r1", remedy="See."),
        TryAgain("busy"),
        KvaultError("something else"),
    ],
    ids=lambda error: error.code,
)
def test_an_error_is_the_same_after_its_document(error: KvaultError) -> None:
    again = rebuilt_error(error_document(error))
    assert again.document() == error.document()
    assert (again.exit_status, again.http_status, str(again)) == (error.exit_status, error.http_status, str(error))
    for kind in (NotFound, Conflict, TryAgain):
        assert isinstance(again, kind) == isinstance(error, kind)


def test_an_unexpected_error_is_told_without_its_class_leaking_out() -> None:
    document = error_document(ZeroDivisionError("a\0b"))
    assert (document["code"], document["exit_status"]) == ("internal", 1)
    assert "ZeroDivisionError: a\\0b" in str(document["message"])


def test_an_outcome_is_a_result_or_an_error() -> None:
    assert outcome(replace(RUN, state=RunState.DONE, result={"commit": "c"})) == {"commit": "c"}
    with pytest.raises(RunPending):
        outcome(RUN)
    with pytest.raises(RunCancelled):
        outcome(replace(RUN, state=RunState.CANCELLED))
    with pytest.raises(NotFound, match="no such branch"):
        outcome(replace(RUN, state=RunState.FAILED, error=error_document(NotFound("no such branch"))))


def test_final_states_and_the_heartbeat() -> None:
    assert [state for state in RunState if state.final] == [RunState.DONE, RunState.FAILED, RunState.CANCELLED]
    assert Limits(lease=60).heartbeat == 10
