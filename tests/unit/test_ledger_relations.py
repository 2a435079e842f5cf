"""Relations: definitions, their digests, and rendering."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvault.ledger import prompts
from kvault.ledger.relations import (
    NamedRelation,
    RelationInvalid,
    UnknownRelation,
    Vocabulary,
    from_definition,
    parse_relations,
    read_relations,
)

DATA = Path(__file__).parents[2] / "kvault" / "demo" / "data" / "relations"
CAPITAL = """
- id: capital
  name: capital
  domain: geography
  statement: "The capital of {subject} is"
  train: ["{subject}'s capital is"]
  held_out: ["{subject} is governed from"]
"""


@pytest.mark.parametrize("path", sorted(DATA.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_demonstrations_relations_are_read(path: Path) -> None:
    relations = read_relations(path)
    assert relations
    for each in relations:
        assert from_definition(each.definition()) == each
        assert len(each.probes) >= 3
        assert not set(each.probes) & set(each.templates)


def test_a_revision_is_rendered() -> None:
    (capital,) = parse_relations(CAPITAL, "a.yaml")
    rendering = prompts.render(capital, "Peru", "Lima")
    assert rendering.prompts == ("The capital of Peru is", "Peru's capital is")
    assert rendering.probes == ("Peru is governed from",)
    assert (rendering.target, rendering.stop) == (" Lima", ".")
    assert rendering.sentence == "The capital of Peru is Lima."


@pytest.mark.parametrize(
    ("language", "lead", "stop"),
    [("en", " ", "."), ("zh", "", "。"), ("zh-Hans", "", "。"), ("ja", "", "。"), ("de", " ", ".")],
)
def test_languages_differ_in_space_and_stop(language: str, lead: str, stop: str) -> None:
    assert prompts.lead(language) == lead
    assert prompts.stop(language) == stop


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no list"),
        ("a: [", "not YAML"),
        ("- 3", "not a mapping"),
        ("- id: Capital", "usable id"),
        ("- {id: capital, statment: x}", "unknown key 'statment'"),
        ("- {id: capital, statement: 'no subject'}", "exactly once"),
        ("- {id: capital, statement: '{subject} {subject}'}", "exactly once"),
        ("- {id: capital, statement: '{subject} is', cardinality: three}", "no cardinality"),
        ("- {id: capital, statement: '{subject} is', train: x}", "not a list"),
        ("- {id: capital, statement: '{subject} is', held_out: ['{subject} is']}", "both taught and held out"),
        ("- {id: capital, statement: '{subject} is'}\n- {id: capital, statement: '{subject} is'}", "one id"),
    ],
)
def test_a_bad_definition_says_where(text: str, said: str) -> None:
    with pytest.raises(RelationInvalid) as caught:
        parse_relations(text, "a.yaml")
    assert said in str(caught.value)
    assert caught.value.where["file"] == "a.yaml"
    assert caught.value.remedy


def test_an_unknown_relation_suggests_near_names() -> None:
    (capital,) = parse_relations(CAPITAL, "a.yaml")
    words = Vocabulary([NamedRelation(capital.digest, capital)])
    assert words.find("capital").relation == capital
    for spelled in ("captial", "Capital", "capitals"):
        with pytest.raises(UnknownRelation) as caught:
            words.find(spelled)
        assert "Did you mean capital?" in caught.value.remedy
    with pytest.raises(UnknownRelation) as caught:
        words.find("employer")
    assert "relation list" in caught.value.remedy
