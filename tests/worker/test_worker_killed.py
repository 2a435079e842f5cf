"""Workers that die or hang in the middle of a run: it comes back, and is done exactly once."""

from __future__ import annotations

import os
import signal

import pytest

from kvault.runs.states import RunState
from tests.worker.conftest import Workshop
from tests.worker.processes import until


def test_a_killed_workers_run_is_done_once_by_another(workshop: Workshop) -> None:
    first = workshop.worker()
    run_id = workshop.send("gated")
    assert workshop.started(1) == first.pid
    first.kill()
    assert workshop.read(run_id).state is RunState.RUNNING
    second = workshop.worker()
    assert workshop.started(2) == second.pid
    workshop.open_gate()
    run = workshop.ended(run_id)
    assert (run.state, run.fence, run.attempts) == (RunState.DONE, 2, 2)
    assert run.holder.endswith(f":{second.pid}")
    assert workshop.effects() == {run_id: 1}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_the_loser_of_the_fence_publishes_nothing(workshop: Workshop) -> None:
    hung = workshop.worker()
    run_id = workshop.send("silent")
    assert workshop.started(1) == hung.pid
    hung.pause()
    other = workshop.worker()
    assert workshop.started(2) == other.pid
    hung.resume()
    workshop.open_gate("go-1")
    ended = workshop.folder / "ended-1"
    until("the loser has tried to publish", ended.exists)
    assert workshop.read(run_id).state is RunState.RUNNING
    assert workshop.effects() == {}
    workshop.open_gate("go-2")
    run = workshop.ended(run_id)
    assert (run.state, run.result and run.result["fence"]) == (RunState.DONE, 2)
    until("the loser has let go", lambda: "was taken away from" in hung.text())
    assert workshop.effects() == {run_id: 1}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_a_killed_process_of_a_pool_is_replaced_and_its_run_comes_back(workshop: Workshop) -> None:
    worker = workshop.worker(pool="prefork")
    run_id = workshop.send("gated")
    victim = workshop.started(1)
    assert victim in worker.children()
    os.kill(victim, signal.SIGKILL)
    assert workshop.started(2) != victim
    assert worker.process.poll() is None
    workshop.open_gate()
    assert workshop.ended(run_id).state is RunState.DONE
    assert workshop.effects() == {run_id: 1}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("broker_url", ["redis"], indirect=True)
def test_a_run_that_kills_every_worker_fails_in_the_end(workshop: Workshop) -> None:
    worker = workshop.worker({"KVAULT_LEASE_SECONDS": "0.6"}, pool="prefork")
    run_id = workshop.send("poison")
    run = workshop.ended(run_id)
    assert (run.state, run.attempts) == (RunState.FAILED, 5)
    assert run.error is not None
    assert run.error["code"] == "run-abandoned"
    other = workshop.send("count")
    assert workshop.ended(other).state is RunState.DONE, worker.text()
