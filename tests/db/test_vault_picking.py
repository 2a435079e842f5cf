"""cherry-pick and revert through the façade: of commits, ranges, merges, single facts, and of each other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from kvault.errors import Conflict, InvalidInput, NotFound
from kvault.history.operations import NoOperation
from kvault.vault import Vault
from tests.db.small_vaults import copy_of, found_vault, said, say, tree

Make = Callable[[], Vault]


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Vault:
    """Four commits on side after the first edit, one on main; main is current."""
    folder = tmp_path_factory.mktemp("seed")
    vault = found_vault(folder / "vault", folder / "model")
    say(vault, ("Dorne", "leader", "Prince D", "2019-01-01"), message="first", editor="memit")
    vault.branch("side")
    say(vault, ("Elbonia", "leader", "Anna", "2020-01-01"), message="ours")
    vault.switch("side")
    say(vault, ("Avaria", "capital", "A1", "2020-01-01"), ("Avaria", "leader", "A2", "2020-01-01"), message="one")
    say(vault, ("Borduria", "capital", "B1", "2020-01-01"), message="two")
    say(vault, ("Avaria", "capital", "A3", "2021-01-01"), message="three")
    say(vault, ("Cascara", "capital", "", "2021-01-01"), message="four")
    vault.switch("main")
    return vault


@pytest.fixture
def make(seed: Vault, tmp_path: Path) -> Make:
    """Makes copies of the seed."""
    count = iter(range(100))
    return lambda: copy_of(seed, tmp_path / str(next(count)))


def test_a_range_picked_is_as_if_it_had_been_made_here(make: Make) -> None:
    vault, straight = make(), make()
    view = vault.cherry_pick(["side~4..side"], name_origin=True)
    assert (view.state, [made.message.partition("\n")[0] for made in view.made]) == (
        "done",
        ["one", "two", "three", "four"],
    )
    say(straight, ("Avaria", "capital", "A1", "2020-01-01"), ("Avaria", "leader", "A2", "2020-01-01"))
    say(straight, ("Borduria", "capital", "B1", "2020-01-01"))
    say(straight, ("Avaria", "capital", "A3", "2021-01-01"), ("Cascara", "capital", "", "2021-01-01"))
    assert tree(vault) == tree(straight)
    picked = vault.show("HEAD~3").commit
    assert picked.message == f"one\n\n(cherry picked from commit {vault.resolve('side~3')})"
    assert (picked.verb, picked.author) == ("cherry-pick", "tester")
    assert vault.fsck(materialize=True).findings == ()


def test_a_pick_that_has_nothing_left_is_left_out(make: Make) -> None:
    vault = make()
    vault.cherry_pick(["side~2"])
    view = vault.cherry_pick(["side~2", "side"])
    assert view.skipped == (vault.resolve("side~2"),)
    assert len(view.made) == 1
    with pytest.raises(NoOperation):
        vault.cherry_pick_continue()


def test_a_pick_stops_at_a_conflict_and_goes_on_after_the_decision(make: Make) -> None:
    vault = make()
    view = vault.cherry_pick(["side~1", "side"])
    assert (view.state, view.at, view.left) == ("conflicts", vault.resolve("side~1"), 2)
    [conflict] = vault.conflicts().conflicts
    assert (conflict.subject, conflict.ours, conflict.theirs) == ("Avaria", "Old Avaria City", "A3 from 2021-01-01")
    vault.decide(["Avaria/capital"], choice="theirs")
    after = vault.cherry_pick_continue()
    assert (after.state, len(after.made)) == ("done", 2)
    assert (said(vault, "Avaria"), said(vault, "Avaria", "leader")) == ("A3", "Old Avaria Leader")
    assert vault.fsck(materialize=True).findings == ()


def test_abort_puts_the_branch_back_and_skip_goes_on(make: Make) -> None:
    vault = make()
    head = vault.resolve("HEAD")
    assert vault.cherry_pick(["side~2", "side~1", "side"]).state == "conflicts"
    assert vault.resolve("HEAD") != head
    assert vault.cherry_pick_abort().head == head == vault.resolve("HEAD")
    assert vault.fsck().findings == ()
    vault.cherry_pick(["side~2", "side~1", "side"])
    view = vault.cherry_pick_continue(skip=True)
    assert (view.state, len(view.made), view.skipped) == ("done", 1, (vault.resolve("side~1"),))
    assert (said(vault, "Borduria"), said(vault, "Avaria"), said(vault, "Cascara")) == ("B1", "Old Avaria City", "")


def test_a_merge_is_picked_as_seen_from_a_parent(make: Make) -> None:
    vault = make()
    vault.branch("joined")
    vault.switch("joined")
    vault.merge("side")
    vault.switch("main")
    with pytest.raises(InvalidInput, match="is a merge"):
        vault.cherry_pick(["joined"])
    vault.cherry_pick(["joined"], mainline=1)
    assert tree(vault) == tree(vault, "joined")


def test_a_pick_under_another_metric_makes_records_of_the_branchs_own(make: Make) -> None:
    vault = make()
    vault.branch("other", "main~2")
    vault.switch("other")
    say(vault, ("Freedonia", "capital", "F1", "2020-01-01"), editor="alphaedit")
    vault.switch("main")
    vault.cherry_pick(["other"])
    assert said(vault, "Freedonia") == "F1"
    assert [recipe.split()[0] for recipe in vault.show().recipes] == ["memit"]


def test_a_revert_of_a_range_is_a_history_without_it(make: Make) -> None:
    vault = make()
    vault.switch("side")
    made = vault.revert("side~4..side~1")
    assert made.left_alone == ()
    without = make()
    without.switch("side")
    without.branch("less", "side~4")
    without.switch("less")
    without.cherry_pick(["side"])
    assert tree(vault) == tree(without)


def test_a_range_whose_facts_changed_again_says_so(make: Make) -> None:
    vault = make()
    vault.switch("side")
    with pytest.raises(Conflict, match="Avaria/capital"):
        vault.revert("side~4..side~2")
    made = vault.revert("side~4..side~2", keep_later=True)
    assert made.left_alone == ("Avaria/capital",)
    assert (said(vault, "Avaria"), said(vault, "Avaria", "leader")) == ("A3", "Old Avaria Leader")
    assert said(vault, "Borduria") == "Old Borduria City"


def test_a_revert_of_a_revert_and_of_one_fact(make: Make) -> None:
    vault = make()
    vault.switch("side")
    before = tree(vault)
    vault.revert("side~3", facts=["Avaria/leader"])
    assert (said(vault, "Avaria", "leader"), said(vault, "Avaria")) == ("Old Avaria Leader", "A3")
    vault.revert("HEAD")
    assert tree(vault) == before
    with pytest.raises(NotFound):
        vault.revert("side~3", facts=["Nowhere/leader"])


def test_a_merge_reverted_and_reverted_again(make: Make) -> None:
    vault = make()
    before = tree(vault)
    vault.merge("side")
    merged = tree(vault)
    vault.revert("HEAD", mainline=1)
    assert tree(vault) == before
    vault.revert("HEAD")
    assert tree(vault) == merged
    vault.revert("HEAD~2", mainline=2)
    assert said(vault, "Elbonia", "leader") == "Old Elbonia Leader"
    assert vault.fsck(materialize=True).findings == ()


def test_a_consolidation_can_be_taken_back(make: Make) -> None:
    vault = make()
    say(vault, ("Freedonia", "capital", "F1", "2020-01-01"), editor="gated")
    before = tree(vault)
    vault.consolidate()
    assert tree(vault) != before
    vault.revert("HEAD")
    assert tree(vault) == before


def test_staged_changes_survive_a_pick_of_other_facts(make: Make) -> None:
    vault = make()
    vault.amend("Freedonia", "leader", "F", valid_from=date(2020, 1, 1))
    vault.cherry_pick(["side"])
    assert vault.commit("mine").changes == 1
