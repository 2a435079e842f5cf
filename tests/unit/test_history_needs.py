"""Who needs an object: found through every level, however deep it is shared."""

from __future__ import annotations

from kvault.history.commits import CommitBody
from kvault.history.needs import Needs
from kvault.history.trees import Tree, put_tree
from kvault.ids import CommitId, Digest, RecipeId, sha256
from kvault.objects import fanout
from kvault.objects.store import ObjectStore


def _commit(store: ObjectStore, facts: dict[str, str], records: dict[str, str]) -> CommitBody:
    recipes = tuple(RecipeId(recipe) for recipe in sorted(set(records.values())))
    tree = put_tree(store, Tree(sha256(b"base"), fanout.build(store, records), {}, {}, recipes))
    return CommitBody(tree, fanout.build(store, facts), (), "commit", "ann", "ann", 1, 1)


def test_a_shared_record_names_every_commit(store: ObjectStore) -> None:
    record, recipe = store.put(b"record"), store.put_document({"editor": "memit"})
    many = {sha256(f"{number}".encode()): sha256(b"x") for number in range(100)}
    bodies = [_commit(store, {**many, "fact": str(number)}, {record: recipe}) for number in range(2)]
    needs = Needs(store)
    names = [CommitId(sha256(b"one")), CommitId(sha256(b"two"))]
    for name, body in zip(names, bodies, strict=True):
        needs.commit(name, body)
    expected = ", ".join(f"commit {name[:12]}" for name in sorted(names))
    assert needs.needed_by(record) == expected
    assert needs.needed_by(recipe) == expected
    assert needs.needed_by(bodies[0].ledger_root) == f"commit {names[0][:12]}"
    assert len(needs.revisions) == 102


def test_a_missing_node_hides_nothing_beside_it(store: ObjectStore) -> None:
    facts = {sha256(f"{number}".encode()): sha256(b"x") for number in range(100)}
    body = _commit(store, facts, {})
    root = fanout.read_node(store, body.ledger_root)
    gone = fanout.children(root)[0]
    lost = fanout.read_node(store, gone).count
    store.delete(gone)
    needs = Needs(store)
    needs.commit(CommitId(sha256(b"one")), body)
    assert len(needs.revisions) == 100 - lost
    assert gone in needs.users
    assert needs.unreadable == {}


def test_more_than_three_commits_are_counted(store: ObjectStore) -> None:
    needs = Needs(store)
    body = _commit(store, {}, {})
    for number in range(5):
        needs.commit(CommitId(sha256(f"{number}".encode())), body)
    assert needs.needed_by(body.tree).endswith(" and 2 more")
    needs.extra(Digest(sha256(b"x")), "a report")
    assert needs.needed_by(Digest(sha256(b"x"))) == "a report"
