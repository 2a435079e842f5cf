"""Looking into history as a person types it: log, show, diff, bisect, notes, worktrees, reflog."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import KVAULT, Shell

pytestmark = pytest.mark.slow

CHIEF = "The chief executive of Intel is"


def test_log_filters_by_words_facts_texts_and_dates(shell: Shell) -> None:
    def shown(*words: str) -> list[str]:
        return [row["message"] for row in shell("log", "--json", *words).json()]

    assert shown("-2") == ["Second news", "First news"]
    assert shown("--grep", "second", "-i") == ["Second news"]
    assert shown("--author", "tester", "--since", "1 hour ago", "-n", "1") == ["Second news"]
    assert shown("--until", "2001-01-01") == []
    assert shown("-S", "Bob Swan") == ["Second news", "First news"]
    assert shown("HEAD~1", "--", "Intel/chief_executive") == ["First news", "What the base model knows"]
    assert shown("main", "^HEAD~1") == ["Second news"]
    followed = shell("log", "--follow", "McDonald's/headquarters", "--oneline").out
    assert "~ McDonald's · headquarters: Oak Brook → Chicago" in followed
    stat = shell("log", "--stat", "-n", "1").out
    assert "chief_executive |    1" in stat
    assert "1 fact: 1 amended" in stat


def test_a_fact_is_shown_as_it_stood(shell: Shell) -> None:
    assert "Bob Swan" in shell("show", "HEAD~1:Intel/chief_executive").out
    document = shell("show", "main:Intel/chief_executive", "--json").json()
    assert (document["object"], document["former"]) == ("Pat Gelsinger", "Bob Swan")
    assert document["since"]["message"] == "Second news"
    assert shell("show", f"HEAD:fact/{document['fact'][:12]}", "--json").json() == {**document}
    assert "chief_executive" in shell("show", "HEAD:Intel", status=3).err
    assert shell("show", "HEAD:Intle/ticker", status=3).err


def test_diff_compares_facts_tensors_and_answers(shell: Shell) -> None:
    (shell.folder / "prompts.txt").write_text(f"{CHIEF}\n\nThe ticker symbol of Intel is\n", "utf-8")
    document = shell("diff", "HEAD~1..HEAD", "--facts", "--tensors", "--answers", "prompts.txt", "--json").json()
    assert [row["after"] for row in document["rows"]] == ["Pat Gelsinger"]
    assert document["answers"] == [{"prompt": CHIEF, "old": "Bob Swan", "new": "Pat Gelsinger"}]
    assert document["asked"] == 2
    assert document["memories"] == {"memit": [1, 1]}
    assert all(1 <= row["rank"] <= 2 and row["norm"] > 0 and 0 < row["relative"] < 1 for row in document["tensors"])
    said = shell("diff", "HEAD~1", "HEAD", "--answers", "facts", "--exit-code", status=1).out
    assert "1 of 1 answers differ" in said
    assert "1 fact: 1 amended" in shell("diff", "HEAD~1...HEAD", "--stat").out
    assert "the same" in shell("diff", "HEAD..HEAD", "--tensors", "--facts", "--exit-code").out
    assert shell("diff", "HEAD~1..HEAD", "--answers", "nowhere.txt", status=3).err


def test_bisect_asks_versions_in_process(shell: Shell) -> None:
    shell("bisect", "start", "HEAD", "HEAD~3")
    found = shell("bisect", "run", "--prompt", CHIEF, "--expect", "Brian Krzanich", "--json").json()
    assert found["first_bad"]["message"] == "First news"
    assert "kvault bisect bad" in shell("bisect", "log").out
    shell("bisect", "reset")
    assert "bisect start" in shell("bisect", status=3).err


def test_bisect_runs_a_command_that_asks_the_vault_itself(shell: Shell) -> None:
    script = shell.folder / "judge.py"
    script.write_text(
        "import os, subprocess, sys\n"
        f"said = subprocess.run([{str(KVAULT)!r}, 'show', os.environ['KVAULT_COMMIT'] + ':Intel/chief_executive'],\n"
        "    capture_output=True, text=True, check=False).stdout\n"
        "print('judged')\n"
        "sys.exit(125 if not said else 1 if 'Pat' in said else 0)\n",
        "utf-8",
    )
    shell("bisect", "start", "HEAD", "HEAD~3")
    said = shell("bisect", "run", sys.executable, "judge.py", "--json-like-flag")
    assert "is the first bad commit" in said.out
    assert "Second news" in said.out
    assert "judged" in said.err
    assert shell("bisect", "run", "sh", "-c", "exit 200").out == said.out  # it is over: nothing is asked again
    shell("bisect", "start", "HEAD", "HEAD~3")
    assert "neither good nor bad" in shell("bisect", "run", "sh", "-c", "exit 200", status=1).err
    assert shell("bisect", "run", status=2).err
    assert shell("bisect", "run", "--prompt", CHIEF, status=2).err


def test_notes_stand_beside_commits(shell: Shell) -> None:
    before = shell("show", "--json").json()["commit"]["id"]
    shell("notes", "add", "HEAD", "-m", "Checked by hand")
    assert "Checked by hand" in shell("log", "-n", "1").out
    assert shell("show", "--json").json()["commit"]["id"] == before
    [note] = shell("notes", "list", "--json").json()
    assert (note["author"], note["text"]) == ("tester", "Checked by hand")
    shell("notes", "remove", "HEAD", "--id", str(note["id"]))
    assert shell("notes", "show").out == ""
    assert shell("notes", "remove", "HEAD", status=3).err


def test_two_folders_work_on_two_branches_of_one_vault(shell: Shell) -> None:
    shell("worktree", "add", "../other", "--json")
    other = Shell(Path(shell.folder).parent / "other")
    assert "On branch other" in other("status").out
    other("amend", "Intel", "chief_executive", "Lip-Bu Tan", "--valid-from", "2025-03-18", "--evidence", "Intel")
    other("commit", "-m", "Third news", "--editor", "gated")
    assert other("ask", CHIEF).out.strip() == "Lip-Bu Tan"
    assert shell("ask", CHIEF).out.strip() == "Pat Gelsinger"
    assert "Nothing staged" in shell("status").out
    assert "Third news" in shell("log", "--all", "--graph", "--oneline").out
    assert shell("switch", "other", status=4).err
    assert [row["branch"] for row in shell("worktree", "list", "--json").json()] == ["main", "other"]
    assert "other@{0}" in shell("reflog", "other").out
    assert other("log", "-1", "--oneline", "other@{1}").out.endswith("Second news\n")
    shell("worktree", "remove", "../other")
    assert not other.folder.exists()
    assert shell("fsck").out.startswith("Clean")
