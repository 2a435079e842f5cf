"""Storage and exchange as a person types them, on the demonstration model."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Shell

pytestmark = pytest.mark.slow
ASKED = "The chief executive of Intel is"


def test_a_clone_answers_commits_and_pushes_back(shell: Shell) -> None:
    shell("clone", ".", "../mine")
    mine = Shell(shell.folder.parent / "mine")
    assert mine("ask", ASKED).out.strip() == "Pat Gelsinger"
    mine("amend", "Intel", "chief_executive", "Lip-Bu Tan", "--valid-from", "2025-03-18", "--evidence", "Intel")
    mine("commit", "-m", "Third news")
    assert "main" in mine("push", "origin", "main").out
    assert shell("ask", ASKED).out.strip() == "Lip-Bu Tan"
    assert mine("fsck", "--materialize").status == shell("fsck", "--materialize").status == 0
    assert mine("show", "--json").json()["tree"] == shell("show", "--json").json()["tree"]
    assert "origin/main" in mine("remote", "list").out


def test_a_vault_comes_back_from_a_bundle(shell: Shell) -> None:
    shell("bundle", "create", "../all.kvb")
    outside = Shell(shell.folder.parent)
    assert "branch  main" in outside("bundle", "list-heads", "all.kvb").out
    assert "sound" in outside("bundle", "verify", "all.kvb").out
    outside("clone", "all.kvb", "restored")
    restored = Shell(shell.folder.parent / "restored")
    assert restored("revert", "HEAD").status == 0
    assert restored("ask", ASKED).out.strip() == "Bob Swan"
    data = (shell.folder.parent / "all.kvb").read_bytes()
    (shell.folder.parent / "cut.kvb").write_bytes(data[: len(data) // 2])
    said = outside("clone", "cut.kvb", "nothing", status=1)
    assert f"byte {len(data) // 2}" in said.err
    assert not (shell.folder.parent / "nothing").exists()


def test_storage_is_looked_after(shell: Shell) -> None:
    assert shell("gc", "--json").json()["piles"] == []
    assert shell("gc", "--grace", "1s", status=2).err
    assert "asked for" in shell("repack", "HEAD").out
    assert shell("ask", ASKED).out.strip() == "Pat Gelsinger"
    assert shell("fsck", "--repair", "--materialize=50%").status == 0
    assert shell("fsck", "--materialize=0%", status=2).err
