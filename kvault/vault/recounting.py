"""Verbs that read history: log, show, diff, refs, reflog."""

from __future__ import annotations

import importlib
from collections import defaultdict

from sqlmodel import Session, col, select

from kvault.checks.tables import ReportRow
from kvault.clock import iso
from kvault.history import graph, publish, refs
from kvault.history.graph import read_body
from kvault.history.snapshots import FactChange, ledger_diff
from kvault.history.tables import CommitRow
from kvault.history.trees import read_tree
from kvault.ids import BatchId, CommitId, Digest
from kvault.ledger.batches import changes_of
from kvault.ledger.tables import ChangeRow
from kvault.ledger.values import Action, Change
from kvault.vault import views
from kvault.vault.ledgering import describe
from kvault.vault.surroundings import Remembering, Surroundings

CHUNK = 400


def log(
    here: Surroundings, starts: list[CommitId], without: list[CommitId], limit: int | None
) -> list[views.CommitView]:
    """The commits reachable from ``starts`` and not from ``without``, descendants first."""
    with here.database.reading() as session:
        found = graph.load(session)
        chosen: list[CommitId] = []
        for commit in found.log(starts, without):
            chosen.append(commit)
            if limit is not None and len(chosen) >= limit:
                break
        return commit_views(session, found, chosen)


def commit_views(session: Session, found: graph.Graph, chosen: list[CommitId]) -> list[views.CommitView]:
    """Views of commits, in a handful of queries however many there are."""
    names: dict[str, list[str]] = defaultdict(list)
    for ref in refs.refs(session):
        names[ref.target].append(ref.name if ref.kind is refs.RefKind.BRANCH else f"{ref.kind.value}: {ref.name}")
    rows: dict[str, CommitRow] = {}
    counts: dict[str, int] = {}
    for first in range(0, len(chosen), CHUNK):
        part = chosen[first : first + CHUNK]
        rows.update({row.id: row for row in session.exec(select(CommitRow).where(col(CommitRow.id).in_(part)))})
    batch_ids = [row.batch_id for row in rows.values() if row.batch_id]
    for first in range(0, len(batch_ids), CHUNK):
        query = select(ChangeRow.batch_id).where(col(ChangeRow.batch_id).in_(batch_ids[first : first + CHUNK]))
        for batch in session.exec(query):
            counts[batch] = counts.get(batch, 0) + 1
    return [
        views.CommitView(
            commit,
            tuple(found.parents[commit]),
            row.message,
            row.author,
            iso(row.created_at),
            row.verb,
            counts.get(row.batch_id or "", 0),
            tuple(names.get(commit, ())),
        )
        for commit in chosen
        if (row := rows[commit])
    ]


def show(here: Surroundings, commit: CommitId) -> views.ShowView:
    """One commit in full."""
    store = Remembering(here.store)
    with here.database.reading() as session:
        found = graph.load(session)
        [view] = commit_views(session, found, [commit])
        body = read_body(session, commit)
        row = graph.read_row(session, commit)
        changes = changes_of(session, BatchId(row.batch_id)) if row.batch_id else []
        described = tuple(describe(session, changes))
        packs = publish.packs_of(session, commit)
        reports = tuple(
            session.exec(
                select(ReportRow.digest).where(ReportRow.commit_id == commit).order_by(col(ReportRow.created_at))
            )
        )
    delta = packs.get(publish.Pack.DELTA)
    return views.ShowView(
        view,
        body.tree,
        body.ledger_root,
        tuple(
            f"{store.store.get_document(Digest(recipe)).get('editor')} {recipe}"
            for recipe in read_tree(store, body.tree).recipes
        ),
        described,
        body.records_added,
        body.records_removed,
        _layers(here, delta) if delta else (),
        reports,
    )


def diff(here: Surroundings, old: CommitId, new: CommitId) -> views.DiffView:
    """The facts in which two versions differ."""
    store = Remembering(here.store)
    with here.database.reading() as session:
        left, right = read_body(session, old), read_body(session, new)
        changes = [_as_change(each) for each in ledger_diff(store, left.ledger_root, right.ledger_root)]
        rows = sorted(describe(session, changes), key=lambda row: (row.subject, row.relation))
    return views.DiffView(old, new, left.tree == right.tree, tuple(rows))


def list_refs(here: Surroundings, head: str) -> list[views.RefView]:
    """Every ref with the first line of its commit's message."""
    with here.database.reading() as session:
        return [
            views.RefView(
                ref.name,
                ref.kind.value,
                ref.target,
                ref.name == head,
                graph.read_row(session, ref.target).message.partition("\n")[0],
            )
            for ref in refs.refs(session)
        ]


def reflog(here: Surroundings, name: str, limit: int) -> list[views.ReflogView]:
    """The moves of a ref, newest first."""
    with here.database.reading() as session:
        rows = refs.reflog(session, name, limit)
    return [
        views.ReflogView(i, row.ref, row.old or "", row.new or "", row.actor, row.verb, row.reason, iso(row.at))
        for i, row in enumerate(rows)
    ]


def _as_change(difference: FactChange) -> Change:
    if difference.old is None:
        return Change(Action.ADD, difference.fact, None, difference.new)
    action = Action.RETRACT if difference.new is None else Action.AMEND
    return Change(action, difference.fact, difference.old, difference.new)


def _layers(here: Surroundings, delta: Digest) -> tuple[views.LayerView, ...]:
    tensors = importlib.import_module("kvault.objects.tensors")  # numpy takes longer to load than a log to print
    _, document = tensors.decode_tensors(here.store.get(delta))
    rows = document.get("layers")
    if not isinstance(rows, list):
        return ()
    return tuple(
        views.LayerView(str(row["tensor"]), int(row["rank"]), float(row["norm"]), float(row["relative"]))
        for row in rows
    )
