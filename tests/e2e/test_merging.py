"""Branches that disagree, brought together by the command line alone."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Shell

pytestmark = pytest.mark.slow

WHO = "The chief executive of Intel is"


@pytest.fixture
def parted(shell: Shell) -> Shell:
    """side knows Intel's next chief executive, main the one between; main is current."""
    shell("branch", "side", "HEAD~1")
    shell("switch", "side")
    shell("amend", "Intel", "chief_executive", "Lip-Bu Tan", "--valid-from", "2025-03-18", "--evidence", "Intel, 2025")
    shell("commit", "-m", "Third news")
    shell("switch", "main")
    return shell


def test_a_merge_asks_waits_and_is_taken_back(parted: Shell) -> None:
    preview = parted("merge", "side", "--preview", "--json").json()
    assert [(row["subject"], row["kind"]) for row in preview["conflicts"]] == [("Intel", "amended")]
    before = parted("show", "--json").json()["tree"]
    said = parted("merge", "side", status=4)
    assert "Pat Gelsinger" in said.out
    assert "Lip-Bu Tan" in said.out
    assert "kvault merge --abort" in parted("commit", "-m", "no", "--allow-empty", status=4).err
    assert "Intel/chief_executive" in parted("merge", "--continue", status=4).err
    parted("merge", "--abort")
    parted("merge", "side", status=4)
    [row] = parted("conflicts", "--json").json()["conflicts"]
    assert (row["ours"], row["choice"]) == ("Pat Gelsinger from 2021-02-15", "")
    assert parted("resolve", "Intel/chief_executive", "--newest", "--ours", "--to", "x", status=2).err
    assert "Lip-Bu Tan" in parted("resolve", "Intel/chief_executive", "--newest").out
    parted("merge", "--continue", "-m", "Both")
    assert parted("ask", WHO).out.strip() == "Lip-Bu Tan"
    assert len(parted("show", "--json").json()["commit"]["parents"]) == 2
    assert "decided newest" in parted("conflicts", "HEAD").out
    assert parted("fsck", "--materialize").out.startswith("Clean")
    assert parted("revert", "HEAD", status=2).err
    parted("revert", "HEAD", "-m", "1")
    assert parted("show", "--json").json()["tree"] == before


def test_a_commit_is_picked_and_a_branch_rebased(parted: Shell) -> None:
    parted("cherry-pick", "side", status=4)
    parted("resolve", "--all", "--theirs")
    parted("cherry-pick", "--continue")
    assert parted("ask", WHO).out.strip() == "Lip-Bu Tan"
    parted("revert", "HEAD~2..HEAD", "--message", "Neither")
    assert parted("ask", WHO).out.strip() == "Bob Swan"
    parted("switch", "side")
    parted("rebase", "main~2", status=4)
    parted("resolve", "--all", "--to", "Somebody Else", "--valid-from", "2026-01-01", "--source", "a test")
    view = parted("rebase", "--continue", "--json").json()
    assert view["state"] == "done"
    assert [row["subject"] for row in parted("facts", "Somebody Else", "--json").json()] == ["Intel"]
    assert parted("fsck").out.startswith("Clean")
