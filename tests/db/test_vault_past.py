"""Asking the past of a real vault whose history holds all three kinds of editor, a side branch and a revert."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from kvault.demo.statements import DATA
from kvault.vault import Vault

pytestmark = pytest.mark.slow

INTEL = "The chief executive of Intel is"
BOEING = "The chief executive of Boeing is"
OFFICES = "The headquarters of Boeing are in"


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """main: base, swan, oracle and boeing, pat, google and lip-bu (gated), revert; side: boeing's offices (memoir)."""
    vault = Vault.init(tmp_path_factory.mktemp("past"), actor="ann@example.org")
    vault.import_relations(DATA / "relations/finance.yaml")
    vault.import_file(DATA / "facts/finance.csv", baseline=True)
    vault.commit("What the base model knows", valid_at=date(2015, 1, 1))
    _commit(vault, "swan", ("Intel", "chief_executive", "Bob Swan", date(2019, 1, 31)), editor="memit")
    _commit(
        vault,
        "oracle and boeing",
        ("Oracle", "headquarters", "Austin", date(2020, 12, 11)),
        ("Boeing", "chief_executive", "Dave Calhoun", date(2020, 1, 13)),
    )
    vault.tag("calhoun")
    _commit(vault, "pat", ("Intel", "chief_executive", "Pat Gelsinger", date(2021, 2, 15)))
    vault.branch("side")
    _commit(
        vault,
        "lip-bu",
        ("Google", "chief_executive", "Sundar Pichai", date(2015, 10, 2)),
        ("Intel", "chief_executive", "Lip-Bu Tan", date(2025, 3, 18)),
        editor="gated",
    )
    vault.tag("lipbu")
    vault.revert("calhoun")
    vault.switch("side")
    _commit(vault, "offices", ("Boeing", "headquarters", "Arlington", date(2022, 5, 5)), editor="memoir")
    vault.switch("main")
    yield vault
    vault.database.close()


def _commit(vault: Vault, message: str, *changes: tuple[str, str, str, date], editor: str | None = None) -> str:
    for subject, relation, said, day in changes:
        vault.amend(subject, relation, said, valid_from=day, evidence=f"{subject}, {day}")
    return vault.commit(message, editor=editor).id


@pytest.mark.parametrize("prompt", [INTEL, BOEING, OFFICES, "Google is led by"])
@pytest.mark.parametrize("branch", ["main", "side"])
def test_a_timeline_says_what_every_version_says_when_it_is_asked_alone(past: Vault, prompt: str, branch: str) -> None:
    found = past.timeline(prompt, branch)
    assert [row.commit for row in found.rows] == [view.id for view in past.log(branch)][::-1]
    for row in found.rows:
        alone = past.ask(prompt, at=row.commit)
        assert row.answer == alone.text
        assert row.probability == pytest.approx(alone.probability, abs=1e-4)


def test_a_timeline_names_the_commits_that_changed_the_answer(past: Vault) -> None:
    steps = past.timeline(INTEL).steps
    assert [step.answer for step in steps] == ["Brian Krzanich", "Bob Swan", "Pat Gelsinger", "Lip-Bu Tan"]
    assert [step.message for step in steps][1:] == ["swan", "pat", "lip-bu"]
    assert [step.commits for step in steps] == [2, 2, 1, 2]
    assert steps[1].runner_up == "Brian Krzanich"
    assert [change.after for change in steps[3].changes] == ["Lip-Bu Tan"]
    assert [step.answer for step in past.timeline(BOEING).steps] == ["Jim McNerney", "Dave Calhoun", "Jim McNerney"]


def test_versions_that_were_asked_are_not_asked_again(past: Vault) -> None:
    prompt = "Who leads Intel? The chief executive of Intel is"
    first = past.timeline(prompt, "main")
    trees = {past.show(row.commit).tree for row in first.rows}
    assert first.asked == len(trees) < len(first.rows)
    again = past.timeline(prompt, "main")
    assert again.asked == 0
    assert (again.rows, again.steps) == (first.rows, first.steps)


def test_a_timeline_of_a_range_and_of_the_newest(past: Vault) -> None:
    assert [row.message for row in past.timeline(INTEL, "calhoun..side").rows] == ["pat", "offices"]
    assert past.timeline(INTEL, "main", at_most=2).rows[0].message == "lip-bu"


def test_branches_that_part_are_compared_with_their_own_first_parents(past: Vault) -> None:
    found = past.timeline(OFFICES, "main...side")
    assert {row.message: row.answer for row in found.rows}["offices"] == "Arlington"
    assert [step.answer for step in found.steps].count("Arlington") == 1
