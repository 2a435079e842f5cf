"""Provenance of a commit in both languages, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from kvault.clock import Clock, iso
from kvault.db import Database
from kvault.history.graph import read_body
from kvault.history.trees import read_tree
from kvault.ids import CommitId, is_digest
from kvault.ledger.tables import RelationRow
from kvault.objects.store import ObjectStore
from kvault.settings import Settings
from kvault.vault import Vault
from kvault.vault.surroundings import Surroundings
from tests.db.test_vault_asof import WORDS
from tests.db.worlds import BASE, World


@pytest.fixture
def vault(database: Database, store: ObjectStore, tmp_path: Path) -> Vault:
    """Two facts told in one commit, which is signed."""
    world = World(database, store)
    world.root()
    world.commit({"Kenya": "Nairobi", "Chad": "N'Djamena"}, message="Capitals\n\nof two countries")
    with database.writing() as session:
        session.execute(update(RelationRow).values(definition=WORDS))
    settings = Settings(tmp_path / ".kvault", base="org/model@1", signing_key="ann.key")
    vault = Vault(Surroundings(settings, database, store, "ann", Clock(world.tick)))
    vault.generate_key(tmp_path / "ann.key")
    vault.sign("main")
    return vault


def test_in_toto_names_subjects_dependencies_and_the_run(vault: Vault) -> None:
    found: Any = vault.provenance("main")
    commit = vault.resolve("main")
    with vault.database.reading() as session:
        body = read_body(session, commit)
    tree = read_tree(vault.here.store, body.tree)
    assert (found["_type"], found["predicateType"]) == (
        "https://in-toto.io/Statement/v1",
        "https://slsa.dev/provenance/v1",
    )
    subjects = {row["name"]: row["digest"]["sha256"] for row in found["subject"]}
    assert subjects == {"commit": commit, "tree": body.tree, "ledger": body.ledger_root, **tree.tensors}
    build, run = found["predicate"]["buildDefinition"], found["predicate"]["runDetails"]
    needs = [(row["name"], row["digest"]["sha256"]) for row in build["resolvedDependencies"]]
    assert ("base model", BASE) in needs
    assert ("parent", body.parents[0]) in needs
    assert ("batch", body.batch) in needs
    assert [name for name, _ in needs].count("evidence") == 2
    assert all(is_digest(digest) for _, digest in needs)
    assert build["externalParameters"]["message"] == body.message
    assert build["internalParameters"]["recordsAdded"] == list(body.records_added)
    assert run["metadata"]["finishedOn"] == iso(body.committed_at)
    assert [row["name"] for row in run["byproducts"]] == ["signature"]


def test_prov_json_relates_only_what_it_declares(vault: Vault) -> None:
    found: Any = vault.provenance("main", "prov-json")
    declared = {name for part in ("entity", "activity", "agent") for name in found[part]}
    relations = {name: rows for name, rows in found.items() if name not in ("prefix", "entity", "activity", "agent")}
    ends = [end for rows in relations.values() for row in rows.values() for end in row.values()]
    assert ends
    assert set(ends) <= declared
    commit = f"kvault:{vault.resolve('main')}"
    assert {row["prov:generatedEntity"] for row in relations["wasDerivedFrom"].values()} >= {commit}
    assert {found["entity"][row["prov:usedEntity"]]["kvault:source"] for row in
            relations["hadPrimarySource"].values()} == {"gazetteer on Nairobi", "gazetteer on N'Djamena"}  # fmt: skip
    assert len({key for rows in relations.values() for key in rows}) == sum(len(rows) for rows in relations.values())


def test_the_first_commit_has_a_provenance_too(vault: Vault) -> None:
    found: Any = vault.provenance("main~1")
    names = [row["name"] for row in found["predicate"]["buildDefinition"]["resolvedDependencies"]]
    assert names == ["base model"]
    assert CommitId(found["subject"][0]["digest"]["sha256"]) == vault.resolve("main~1")
