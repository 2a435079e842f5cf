"""Asking the past, exporting and signing on the command line."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Shell

pytestmark = pytest.mark.slow

INTEL = "The chief executive of Intel is"


def test_a_timeline_and_its_blame(shell: Shell) -> None:
    said = shell("timeline", INTEL).out
    assert all(name in said for name in ("Brian Krzanich", "Bob Swan", "Pat Gelsinger", "4 versions, 3 answers"))
    found = shell("timeline", INTEL, "HEAD~1..HEAD", "--json").json()
    assert [row["answer"] for row in found["rows"]] == ["Pat Gelsinger"]
    blamed = shell("blame", INTEL).out
    assert "One edit is responsible" in blamed
    assert "= chief_executive: Pat Gelsinger" in blamed
    assert shell("blame", INTEL, "HEAD~1", "--json").json()["suspects"][0]["facts"][0]["object"] == "Bob Swan"
    assert shell("blame", status=2).err


def test_the_history_of_a_fact_needs_no_model(shell: Shell) -> None:
    lines = shell("blame", "--fact", "Intel/chief_executive", "--json").json()["lines"]
    assert [line["object"] for line in lines] == ["Pat Gelsinger", "Bob Swan", "Brian Krzanich"]
    older = shell("blame", "--fact", "Intel/chief_executive", "HEAD~1", "--json").json()["lines"]
    assert [line["object"] for line in older] == ["Bob Swan", "Brian Krzanich"]
    assert shell("blame", "--fact", "Nobody/chief_executive", status=3).err


def test_as_of_a_day(shell: Shell) -> None:
    assert "production" in shell("ask", INTEL, "--as-of", "2026-01-01", status=3).err
    assert shell("ask", INTEL, "--as-of", "2999-01-01", "--at", "main").out.strip() == "Pat Gelsinger"
    assert "nowhere" in shell("ask", INTEL, "--as-of", "1999-01-01", "--at", "main", status=3).err
    held = shell("facts", "Intel", "--relation", "chief_executive", "--valid-at", "2020-01-01", "--json").json()
    assert [row["object"] for row in held] == ["Bob Swan"]


def test_exports_say_what_they_are(shell: Shell) -> None:
    made = shell("export", "adapter", "--format", "peft", "--rank", "1", "--json").json()
    assert made["rank"] == 1
    assert all(0 < lost < 1 for lost in made["lost"].values())
    assert (shell.folder / "adapter/adapter_config.json").is_file()
    assert shell("export", "adapter", status=4).err


def test_a_signed_commit_is_verified(shell: Shell) -> None:
    assert shell("commit", "-m", "x", "--allow-empty", "-S", status=2).err
    shell("keys", "generate", "ann.key")
    assert shell("verify-commit", status=1).out.strip().endswith("not signed")
    shell("commit", "-m", "signed", "--allow-empty", "-S", KVAULT_SIGNING_KEY="ann.key")
    assert "nobody here trusts" in shell("verify-commit", status=1).out
    shell("keys", "add", "ann@example.org", "ann.key.pub")
    assert "Good signature by ann@example.org" in shell("verify-commit").out
    assert shell("provenance").json()["predicate"]["runDetails"]["byproducts"][0]["name"] == "signature"
    assert shell("provenance", "--format", "prov-json").json()["agent"]
