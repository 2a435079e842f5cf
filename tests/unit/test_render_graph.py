"""The graph in columns: known drawings, and what holds of any history."""

from __future__ import annotations

from hypothesis import given

from kvault.history.graph import Graph
from kvault.render.graph import beside, draw, graph_lines
from tests.unit.test_history_graph import graphs


def drawn(text: str) -> list[str]:
    """The drawing of ``a: b c`` entries, children first."""
    commits = [(name.strip(), parents.split()) for name, _, parents in (row.partition(":") for row in text.split(";"))]
    return graph_lines(commits, [name for name, _ in commits])


def test_a_line() -> None:
    assert drawn("c:b; b:a; a:") == ["* c", "* b", "* a"]


def test_a_merge() -> None:
    assert drawn("m:a b; b:r; a:r; r:") == ["* m", "|\\", "| * b", "* | a", "|/", "* r"]


def test_three_branches_of_one_commit() -> None:
    assert drawn("x:r; y:r; z:r; r:") == ["* x", "| * y", "| | * z", "|_|/", "|/", "* r"]


def test_three_parents_and_a_lane_that_ends() -> None:
    assert drawn("m:a b c; c:; b:r; a:r; r:") == [
        "* m",
        "|\\",
        "|\\ \\",
        "| * | c",
        "|  /",
        "| * b",
        "* | a",
        "|/",
        "* r",
    ]


def test_a_parent_that_a_lane_waits_for_already() -> None:
    assert drawn("x:r; m:a r; a:r; r:") == ["* x", "| * m", "|/|", "| * a", "|/", "* r"]


def test_a_text_of_several_lines_stands_beside_its_commit() -> None:
    [merge, *_] = draw([("m", ["a", "b"]), ("b", ["a"]), ("a", [])])
    assert beside(merge, ["one", "two", "three"]) == ["*   one", "|\\  two", "| | three"]


@given(graphs())
def test_each_commit_has_one_star_and_lanes_never_run_out(graph: Graph) -> None:
    order = list(graph.log(graph.parents))
    rows = list(draw([(commit, graph.parents[commit]) for commit in order]))
    assert len(rows) == len(order)
    for row in rows:
        assert row.star.count("*") == 1
        for text in (*row.before, row.star, *row.after, row.beside):
            assert set(text) <= set("*|/\\_ ")
            assert text == text.rstrip()
    assert rows[-1].beside == ""


@given(graphs())
def test_a_commit_stands_where_a_lane_led_to_it(graph: Graph) -> None:
    """The lanes after a commit are as many as ids still waited for."""
    order = list(graph.log(graph.parents))
    waiting: set[str] = set()
    for commit, row in zip(order, draw([(each, graph.parents[each]) for each in order]), strict=True):
        waiting = (waiting - {commit}) | set(graph.parents[commit])
        lanes = row.beside.count("|")
        assert lanes >= len(waiting)
        assert (lanes == 0) == (not waiting)
