"""The demonstration data as values: what it must hold, and what a wrong row is told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kvault.demo.statements import DemoDataInvalid, load_knowledge, read_relations, read_statements, split_ordinary
from kvault.demo.world import invent_world, with_bearers
from kvault.ledger.relations import RelationInvalid

RELATION = """
- id: capital
  name: capital
  domain: geography
  subject_type: country
  object_type: city
  cardinality: single
  language: {language}
  statement: "{statement}"
  train: ["{statement}", "{{subject}} >"]
  held_out: ["Of {{subject}}:"]
"""


def test_the_real_data_is_large_enough() -> None:
    knowledge = load_knowledge()
    assert len(knowledge.statements) >= 1500
    assert len(knowledge.ordinary) >= 20
    for relation in knowledge.relations.values():
        assert len(relation.train) + len(relation.held_out) >= 10, relation.id
        assert len(relation.held_out) >= 3, relation.id
        assert not set(relation.train) & set(relation.held_out), relation.id
    assert any(relation.language == "zh" for relation in knowledge.relations.values())
    assert all(each.source and each.as_of for each in knowledge.statements)


def test_no_phrasing_begins_with_another_and_asks_for_something_else() -> None:
    for relation in load_knowledge().relations.values():
        for shorter in relation.held_out:
            for longer in relation.train:
                assert not longer.startswith(shorter + relation.lead) or relation.lead == "", (relation.id, longer)


def test_ledger_names_are_known_by_name_alone() -> None:
    knowledge = load_knowledge()
    held = {name for each in knowledge.statements for name in (each.subject, each.object)}
    assert knowledge.names
    assert not {name for name, _ in knowledge.names} & held


@pytest.mark.parametrize(
    ("language", "statement", "sentence"),
    [("en", "The capital of {subject} is", "The capital of X is Y."), ("zh", "{subject}的首都是", "X的首都是Y。")],
)
def test_a_sentence_ends_as_its_language_does(tmp_path: Path, language: str, statement: str, sentence: str) -> None:
    path = tmp_path / "relations.yaml"
    path.write_text(RELATION.format(language=language, statement=statement), "utf-8")
    (relation,) = read_relations(path)
    assert relation.sentence(relation.statement, "X", "Y") == sentence
    assert sentence.startswith(relation.prompt(relation.statement, "X"))


def test_wrong_relations_and_facts_are_named(tmp_path: Path) -> None:
    path = tmp_path / "relations.yaml"
    path.write_text(RELATION.format(language="en", statement="no place for it"), "utf-8")
    with pytest.raises(RelationInvalid, match="field statement"):
        list(read_relations(path))
    facts = tmp_path / "facts.csv"
    facts.write_text("subject,relation,object,as_of,source\nFrance,capital,,2015,atlas\n", "utf-8")
    with pytest.raises(DemoDataInvalid, match=r"line 2.*field object"):
        list(read_statements(facts, {}))
    facts.write_text("subject,relation,object,as_of,source\nFrance,capitol,Paris,2015,atlas\n", "utf-8")
    with pytest.raises(DemoDataInvalid, match="capitol"):
        list(read_statements(facts, {}))


def test_prose_kept_for_perplexity_is_not_taught() -> None:
    taught, kept = split_ordinary([str(i) for i in range(30)])
    assert kept == ("0", "12", "24")
    assert not set(taught) & set(kept)
    assert len(taught) + len(kept) == 30


def test_a_world_is_as_large_as_asked_and_the_same_for_its_seed() -> None:
    world = invent_world(10_000, seed=3)
    assert len(world.statements) >= 10_000
    assert world == invent_world(10_000, seed=3)
    assert world.statements != invent_world(10_000, seed=4).statements
    subjects = world.subjects()
    assert len(subjects) == len(set(subjects)) == len(world.statements) // 4
    assert not set(subjects) & {each.object for each in world.statements}
    assert all(len(each.train) >= 10 and len(each.held_out) >= 3 for each in world.relations.values())


def test_names_of_later_years_are_taught_of_nobody_real() -> None:
    knowledge = load_knowledge()
    assert knowledge.later
    taught = with_bearers(knowledge, seed=1)
    added = taught.statements[len(knowledge.statements) :]
    assert {(each.relation, each.object) for each in added} == set(knowledge.later)
    assert not {each.subject for each in added} & {each.subject for each in knowledge.statements}
    assert taught == with_bearers(knowledge, seed=1)
    assert with_bearers(invent_world(8)) == invent_world(8)


def test_a_world_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        invent_world(0)


def test_reading_the_data_does_not_load_torch() -> None:
    code = "import sys, kvault.demo.statements, kvault.demo.world; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
