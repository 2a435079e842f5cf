"""Do the merges hold: each one's ledger is its parents' three-way merge, with its resolutions where that is open.

Everything is worked out again from the two parents' ledgers and their common ancestors; what people decided is in the
commit itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kvault.history.commits import CommitBody
from kvault.history.findings import Code, Finding
from kvault.history.graph import Graph
from kvault.history.merging import Mark, common_ledger, meetings
from kvault.history.needs import Needs
from kvault.history.snapshots import Snapshot, ledger_diff
from kvault.ids import CommitId, FactId
from kvault.objects.failures import ObjectDamaged, ObjectMissing

MERGE = "merge"


def merges(needs: Needs, commits: Mapping[CommitId, CommitBody]) -> Iterator[Finding]:
    """Every merge of two sound parents, worked out again."""
    graph = Graph({name: body.parents for name, body in commits.items()}, {})
    for name, body in sorted(commits.items()):
        if body.verb != MERGE or len(body.parents) != 2 or any(parent not in commits for parent in body.parents):
            continue
        try:
            wrong = _wrong(needs, commits, graph, body)
        except (ObjectDamaged, ObjectMissing, KeyError):
            continue  # told as an object or as a missing commit
        if wrong:
            message = f"{len(wrong)} facts are neither merged from its parents nor decided, such as {wrong[0][:12]}"
            yield Finding(Code.MERGE_RESOLUTION, name, message, f"commit {name[:12]}")


def _wrong(needs: Needs, commits: Mapping[CommitId, CommitBody], graph: Graph, body: CommitBody) -> list[FactId]:
    """The facts that a merge has otherwise than its parents and its resolutions say."""
    ours, theirs = (commits[parent] for parent in body.parents)
    base = common_ledger(
        needs.store, graph, graph.merge_bases(*body.parents), lambda commit: commits[commit].ledger_root
    )
    decided = body.arguments.get("resolutions")
    resolutions = decided if isinstance(decided, Mapping) else {}
    store = needs.store
    expected: dict[FactId, object] = {
        each.fact: each.merged
        for each in meetings(store, base, Snapshot(store, ours.ledger_root), Snapshot(store, theirs.ledger_root))
    }
    expected.update({FactId(fact): revision for fact, revision in resolutions.items()})
    changed = {each.fact: each.new for each in ledger_diff(store, ours.ledger_root, body.ledger_root)}
    before = Snapshot(store, ours.ledger_root)
    wrong = {fact for fact in changed if fact not in expected}
    for fact, wanted in expected.items():
        has = changed[fact] if fact in changed else before(fact)
        if isinstance(wanted, Mark) or has != wanted:
            wrong.add(fact)
    return sorted(wrong)
