"""The three-way rule: laws on single values, on ledgers, and on histories that cross."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from kvault.history.graph import Graph
from kvault.history.merging import OPEN, Layered, best_common, common_ledger, common_value, decide, meetings
from kvault.history.snapshots import Snapshot
from kvault.ids import CommitId, Digest, FactId, RevisionId, sha256
from kvault.objects import fanout

VALUES = st.sampled_from([None, "a", "b", "c"])
FACTS = [FactId(f"fact {number}") for number in range(6)]
LEDGERS = st.dictionaries(st.sampled_from(FACTS), st.sampled_from([RevisionId(x) for x in "abc"]))
Ledger = Mapping[FactId, RevisionId]


class Memory:
    """A store in memory."""

    def __init__(self) -> None:
        self.blobs: dict[Digest, bytes] = {}

    def get(self, digest: Digest) -> bytes:
        return self.blobs[digest]

    def put_many(self, blobs: Iterable[bytes]) -> list[Digest]:
        found = []
        for blob in blobs:
            found.append(sha256(blob))
            self.blobs[found[-1]] = blob
        return found


def snapshot(store: Memory, ledger: Ledger) -> Snapshot:
    return Snapshot(store, fanout.build(store, dict(ledger)))


def merged(store: Memory, base: Layered, ours: Snapshot, theirs: Snapshot) -> tuple[dict[FactId, str], set[FactId]]:
    """The ledger after a merge without its open facts, and the open facts."""
    met = meetings(store, base, ours, theirs)
    left = dict(ours.items())
    for each in met:
        left.pop(each.fact, None)
        if isinstance(each.merged, str):
            left[each.fact] = each.merged
    return {fact: str(revision) for fact, revision in left.items()}, {each.fact for each in met if each.merged is OPEN}


@given(VALUES, VALUES, VALUES)
def test_the_rule_takes_one_sides_change_and_asks_about_two(base: str, ours: str, theirs: str) -> None:
    found = decide(base, ours, theirs)
    assert found == decide(base, theirs, ours)
    if found is OPEN:
        assert len({base, ours, theirs}) == 3
    else:
        assert found in (ours, theirs)
        assert found != base or base in (ours, theirs)
    assert decide(base, base, theirs) == theirs
    assert decide(base, ours, ours) == ours


@given(VALUES, VALUES)
def test_open_is_like_nothing_and_stays(one: str, other: str) -> None:
    assert decide(one, OPEN, other) is OPEN
    assert decide(one, OPEN, OPEN) is OPEN
    assert decide(OPEN, one, other) == (one if one == other else OPEN)
    assert common_value([one, other]) == (one if one == other else OPEN)


@given(LEDGERS, LEDGERS, LEDGERS)
@settings(max_examples=60, deadline=None)
def test_ledgers_merge_fact_by_fact_and_alike_from_both_sides(base: Ledger, ours: Ledger, theirs: Ledger) -> None:
    store = Memory()
    common, mine, other = snapshot(store, base), snapshot(store, ours), snapshot(store, theirs)
    left, asked = merged(store, Layered(common), mine, other)
    right, asked_too = merged(store, Layered(common), other, mine)
    expected = {fact: decide(base.get(fact), ours.get(fact), theirs.get(fact)) for fact in FACTS}
    assert asked == asked_too == {fact for fact, value in expected.items() if value is OPEN}
    assert left == right == {fact: value for fact, value in expected.items() if isinstance(value, str)}


@given(LEDGERS, LEDGERS)
def test_merging_nothing_new_changes_nothing(base: Ledger, ours: Ledger) -> None:
    store = Memory()
    common, mine = snapshot(store, base), snapshot(store, ours)
    assert meetings(store, Layered(common), mine, common) == []
    assert merged(store, Layered(common), common, mine)[0] == dict(ours)


def crossed(one: str | None, other: str | None) -> tuple[Memory, Layered]:
    """root → l, r; then each merges the other: l and r are both best common ancestors of what follows."""
    store, fact = Memory(), FACTS[0]
    parents = {"root": (), "l": ("root",), "r": ("root",), "x": ("l", "r"), "y": ("r", "l")}
    graph = Graph(
        {CommitId(name): tuple(CommitId(each) for each in above) for name, above in parents.items()},
        {CommitId(name): 0 for name in parents},
    )
    values = {"root": "a", "l": one, "r": other}
    roots = {name: snapshot(store, {fact: RevisionId(value)} if value else {}).root for name, value in values.items()}
    bases = best_common(graph, [CommitId("x")], [CommitId("y")])
    assert bases == ["l", "r"]
    return store, common_ledger(store, graph, bases, lambda commit: roots[commit])


def test_of_crossed_lines_the_ancestors_are_merged_first() -> None:
    assert crossed("a", "b")[1](FACTS[0]) == "b"
    assert crossed("b", "b")[1](FACTS[0]) == "b"
    assert crossed("b", None)[1](FACTS[0]) is OPEN
    assert crossed("b", "c")[1](FACTS[0]) is OPEN


def test_where_ancestors_disagree_the_sides_must_agree() -> None:
    store, common = crossed("b", "c")
    ledgers = {value: snapshot(store, {FACTS[0]: RevisionId(value)}) for value in "bc"}
    assert meetings(store, common, ledgers["b"], ledgers["b"]) == []
    [met] = meetings(store, common, ledgers["b"], ledgers["c"])
    assert met.merged is OPEN


@st.composite
def histories(draw: st.DrawFn) -> tuple[Graph, dict[CommitId, Ledger]]:
    """A random history in which every commit's ledger is one of a few."""
    count = draw(st.integers(2, 9))
    names = [CommitId(f"c{number}") for number in range(count)]
    parents = {
        name: tuple(draw(st.lists(st.sampled_from(names[:at]), unique=True, min_size=1, max_size=2))) if at else ()
        for at, name in enumerate(names)
    }
    return Graph(parents, dict.fromkeys(names, 0)), {name: draw(LEDGERS) for name in names}


@given(histories(), st.data())
@settings(max_examples=100, deadline=None)
def test_any_history_merges_alike_from_both_sides(
    history: tuple[Graph, dict[CommitId, Ledger]], data: st.DataObject
) -> None:
    graph, ledgers = history
    store = Memory()
    snapshots = {name: snapshot(store, ledger) for name, ledger in ledgers.items()}
    ours, theirs = (data.draw(st.sampled_from(sorted(ledgers))) for _ in range(2))
    bases = graph.merge_bases(ours, theirs)
    assert best_common(graph, [ours], [theirs]) == bases
    common = common_ledger(store, graph, bases, lambda commit: snapshots[commit].root)
    again = common_ledger(store, graph, bases[::-1], lambda commit: snapshots[commit].root)
    assert all(common(fact) == again(fact) for fact in FACTS)
    one = merged(store, common, snapshots[ours], snapshots[theirs])
    other = merged(store, common, snapshots[theirs], snapshots[ours])
    assert one == other
    for fact in FACTS:
        value = ledgers[ours].get(fact), ledgers[theirs].get(fact)
        if value[0] == value[1]:
            assert one[0].get(fact) == value[0]
        if all(ledgers[base].get(fact) == value[0] for base in bases) and len(bases) == 1:
            assert one[0].get(fact) == value[1]
