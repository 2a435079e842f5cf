"""Searching a graph for a planted culprit: found in any history, in few steps."""

from __future__ import annotations

from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.history.bisecting import BisectConfused, Mark, Said, Search, next_step, reachable, search_of
from kvault.history.graph import Graph
from kvault.ids import CommitId
from tests.unit.test_history_graph import graphs, line


def hunt(graph: Graph, search: Search, culprit: CommitId, skipped: frozenset[CommitId] = frozenset()) -> Search:
    """Answer truthfully until there is nothing to ask: bad is who has the culprit."""
    for _ in range(4 * len(graph.parents) + 4):
        step = next_step(graph, search)
        if step.ask is None:
            return search
        if step.ask in skipped:
            search = search.marked(step.ask, Mark.SKIP)
        else:
            search = search.marked(step.ask, Mark.BAD if graph.is_ancestor(culprit, step.ask) else Mark.GOOD)
    raise AssertionError("the search does not end")


@given(graphs(), st.data())
def test_the_culprit_is_found_in_any_history(graph: Graph, data: st.DataObject) -> None:
    bad = data.draw(st.sampled_from(sorted(graph.parents)))
    culprit = data.draw(st.sampled_from(sorted(graph.ancestors([bad]))))
    fine = [commit for commit in sorted(graph.parents) if not graph.is_ancestor(culprit, commit)]
    good = data.draw(st.sets(st.sampled_from(fine), min_size=1)) if fine else set()
    if not good:
        return
    ended = hunt(graph, Search(bad, frozenset(good)), culprit)
    assert next_step(graph, ended).first_bad == culprit


@given(graphs(), st.data())
def test_with_skips_the_culprit_is_the_answer_or_among_the_suspects(graph: Graph, data: st.DataObject) -> None:
    bad = data.draw(st.sampled_from(sorted(graph.parents)))
    culprit = data.draw(st.sampled_from(sorted(graph.ancestors([bad]))))
    fine = [commit for commit in sorted(graph.ancestors([bad])) if not graph.is_ancestor(culprit, commit)]
    skipped = data.draw(st.frozensets(st.sampled_from(sorted(graph.parents))))
    if not fine:
        return
    good = frozenset({data.draw(st.sampled_from(fine))})
    step = next_step(graph, hunt(graph, Search(bad, good), culprit, skipped))
    assert culprit in (step.first_bad, *step.suspects)
    assert set(step.suspects) <= skipped | {bad} | graph.ancestors([bad])


@pytest.mark.parametrize("count", [2, 3, 10, 100, 1000])
def test_a_line_takes_no_more_steps_than_halving(count: int) -> None:
    graph = line(*(f"{number:06}" for number in range(count)))
    names = sorted(graph.parents)
    for culprit in {names[1], names[count // 2], names[-1]} - {names[0]}:
        search, asked = Search(names[-1], frozenset({names[0]})), 0
        while (ask := next_step(graph, search).ask) is not None:
            search, asked = search.marked(ask, Mark.BAD if ask >= culprit else Mark.GOOD), asked + 1
        assert next_step(graph, search).first_bad == culprit
        assert asked <= ceil(log2(count))


def test_two_long_sides_of_a_merge_are_halved_as_one() -> None:
    left = {CommitId(f"l{i:02}"): (CommitId(f"l{i - 1:02}") if i else CommitId("root"),) for i in range(16)}
    right = {CommitId(f"r{i:02}"): (CommitId(f"r{i - 1:02}") if i else CommitId("root"),) for i in range(16)}
    tip = {CommitId("tip"): (CommitId("l15"), CommitId("r15")), CommitId("root"): ()}
    parents: dict[CommitId, tuple[CommitId, ...]] = {**left, **right, **tip}
    graph = Graph(parents, dict.fromkeys(parents, 0))
    step = next_step(graph, Search(CommitId("tip"), frozenset({CommitId("root")})))
    assert step.ask in ("l15", "r15")
    assert step.remaining == 33


@given(graphs())
def test_what_a_commit_leads_back_to_is_counted_as_defined(graph: Graph) -> None:
    everything = set(graph.parents)
    counted = reachable(graph, everything)
    assert counted == {commit: len(graph.ancestors([commit])) for commit in everything}


def test_a_common_ancestor_is_asked_first_where_a_good_commit_lies_aside() -> None:
    root, base, good, bad = (CommitId(name) for name in ("0root", "1base", "2good", "3bad"))
    graph = Graph({root: (), base: (root,), good: (base,), bad: (base,)}, {root: 0, base: 1, good: 2, bad: 3})
    step = next_step(graph, Search(bad, frozenset({good})))
    assert (step.ask, step.base_first) == (base, True)
    assert next_step(graph, Search(bad, frozenset({good, base}))).first_bad == bad
    with pytest.raises(BisectConfused, match="undone"):
        next_step(graph, Search(base, frozenset({good})))


def test_nothing_is_asked_before_both_ends_are_known() -> None:
    graph = line("a", "b")
    assert next_step(graph, Search()).ask is None
    assert next_step(graph, Search(CommitId("b"))).ask is None
    assert next_step(graph, Search(None, frozenset({CommitId("a")}))).ask is None


def test_what_is_said_last_of_a_commit_counts() -> None:
    a, b = CommitId("a"), CommitId("b")
    said = [Said(b, Mark.BAD, "ann", 1), Said(a, Mark.SKIP, "ann", 2), Said(a, Mark.GOOD, "ann", 3, "exit code 0")]
    assert search_of(said) == Search(b, frozenset({a}))
    assert search_of([*said, Said(b, Mark.GOOD, "ann", 4)]) == Search(None, frozenset({a, b}))
    assert [Said.read(each.document()) for each in said] == said


def test_ten_thousand_commits_are_halved_quickly() -> None:
    graph = line(*(f"{number:06}" for number in range(10_000)))
    step = next_step(graph, Search(CommitId("009999"), frozenset({CommitId("000000")})))
    assert abs(int(step.ask or 0) - 5000) <= 1
