"""What the demonstration model is taught: relations, facts and ordinary prose, as plain values.

The real data (``data/``) and the invented worlds of :mod:`kvault.demo.world` both become a :class:`Knowledge`, so that
the tokenizer, the trainer and the scorer cannot tell them apart. This module must not import torch: the command line
and the ledger importer's tests read it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import yaml

from kvault.errors import InvalidInput

DATA = Path(__file__).parent / "data"
LEDGERS = Path(__file__).parent / "ledgers"
SUBJECT = "{subject}"
FACT_COLUMNS = ("subject", "relation", "object", "as_of", "source")


class DemoDataInvalid(InvalidInput):
    """A relation, fact or text file of the demonstration data breaks a rule."""

    code = "demo-data-invalid"


@dataclass(frozen=True, slots=True)
class Relation:
    """What can be said of a subject, with the phrasings that are taught and those that are kept for checking.

    A phrasing is a prefix that holds ``{subject}`` and ends right before the object.
    """

    id: str
    name: str
    domain: str
    subject_type: str
    object_type: str
    cardinality: str
    language: str
    statement: str
    train: tuple[str, ...]
    held_out: tuple[str, ...]

    CHINESE: ClassVar[str] = "zh"

    @property
    def lead(self) -> str:
        """What stands between a prompt and its object: a space, nothing in Chinese."""
        return "" if self.language == self.CHINESE else " "

    @property
    def stop(self) -> str:
        """The mark that ends a statement."""
        return "。" if self.language == self.CHINESE else "."

    def prompt(self, template: str, subject: str) -> str:
        """The template with the subject in place, ending right before the object."""
        return template.replace(SUBJECT, subject)

    def sentence(self, template: str, subject: str, answer: str) -> str:
        """The whole statement, its stop included."""
        return f"{self.prompt(template, subject)}{self.lead}{answer}{self.stop}"


@dataclass(frozen=True, slots=True)
class Statement:
    """One fact as it stood on ``as_of`` according to ``source``."""

    subject: str
    relation: str
    object: str
    as_of: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Everything one demonstration model is taught.

    ``names`` are proper names that the statements do not hold but that its readers may edit in, each with the kind of
    thing it names (objects of later years, for instance): the tokenizer and the corpus make the model able to say
    them, and nothing is said of what they are true of.
    """

    relations: Mapping[str, Relation]
    statements: tuple[Statement, ...]
    ordinary: tuple[str, ...]
    names: tuple[tuple[str, str], ...] = field(default=())
    later: tuple[tuple[str, str], ...] = field(default=())
    """Relations (by id) with objects of later years, which the trainer teaches the model to say of invented bearers."""

    def subjects(self) -> list[str]:
        """The subjects, each once, in the order of their first statement."""
        return list(dict.fromkeys(each.subject for each in self.statements))

    def answers(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """The objects that are true of each subject and relation (several where the relation is many-valued)."""
        found: dict[tuple[str, str], tuple[str, ...]] = {}
        for each in self.statements:
            key = (each.subject, each.relation)
            found[key] = (*found.get(key, ()), each.object)
        return found


def split_ordinary(ordinary: Sequence[str], every: int = 12) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Ordinary paragraphs as ``(taught, kept)``: each ``every``-th one is kept to measure perplexity on."""
    taught = tuple(text for i, text in enumerate(ordinary) if i % every)
    kept = tuple(text for i, text in enumerate(ordinary) if i % every == 0)
    return taught, kept


def load_knowledge(data: Path = DATA, ledgers: Path = LEDGERS) -> Knowledge:
    """The real demonstration data, checked: relations, facts, ordinary prose, and the ledgers' later names."""
    relations = {each.id: each for path in sorted((data / "relations").glob("*.yaml")) for each in read_relations(path)}
    statements = tuple(
        each for path in sorted((data / "facts").glob("*.csv")) for each in read_statements(path, relations)
    )
    ordinary = tuple(
        text for path in sorted((data / "text").glob("ordinary*.txt")) for text in paragraphs(path.read_text("utf-8"))
    )
    names = ledger_names(ledgers, relations, statements)
    return Knowledge(relations, statements, ordinary, names, later_objects(ledgers, relations, statements))


def read_relations(path: Path) -> Iterator[Relation]:
    """The relations of one YAML file. Raises DemoDataInvalid naming the file, the relation and the field."""
    for row in yaml.safe_load(path.read_text("utf-8")) or []:
        if not isinstance(row, dict):
            raise DemoDataInvalid("a relation is not a mapping", file=path, remedy="Write one mapping a relation.")
        yield _relation(row, path)


def _relation(row: Mapping[str, object], path: Path) -> Relation:
    def text(name: str, default: str | None = None) -> str:
        value = row.get(name, default)
        if not isinstance(value, str) or not value:
            raise DemoDataInvalid("a relation lacks a text", file=path, relation=row.get("id"), field=name)
        return value

    def phrasings(name: str) -> tuple[str, ...]:
        value = row.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and SUBJECT in each for each in value):
            raise DemoDataInvalid(
                "phrasings must be a list of texts that hold {subject}", file=path, relation=row.get("id"), field=name
            )
        return tuple(str(each).rstrip() for each in value)

    language = text("language", "en")
    statement = text("statement").rstrip()
    taught = tuple(dict.fromkeys((statement, *phrasings("train"))))
    return Relation(
        id=text("id"),
        name=text("name"),
        domain=text("domain"),
        subject_type=text("subject_type", "thing"),
        object_type=text("object_type", "thing"),
        cardinality=text("cardinality", "one"),
        language=language,
        statement=statement,
        train=taught,
        held_out=phrasings("held_out"),
    )


def read_statements(path: Path, relations: Mapping[str, Relation]) -> Iterator[Statement]:
    """The facts of one CSV file. Raises DemoDataInvalid naming the file, the line and the field."""
    with path.open(encoding="utf-8", newline="") as handle:
        for line, row in enumerate(csv.DictReader(handle), start=2):
            values = [(row.get(column) or "").strip() for column in FACT_COLUMNS]
            for column, value in zip(FACT_COLUMNS[:3], values, strict=False):
                if not value:
                    raise DemoDataInvalid("a fact lacks a value", file=path, line=line, field=column)
            if values[1] not in relations:
                raise DemoDataInvalid(f"no relation is called {values[1]!r}", file=path, line=line, field="relation")
            yield Statement(*values)


def ledger_names(
    folder: Path, relations: Mapping[str, Relation], known: Iterable[Statement]
) -> tuple[tuple[str, str], ...]:
    """Subjects and objects of the ledgers that no statement holds, each with its kind, sorted."""
    held = {name for each in known for name in (each.subject, each.object)}
    found: dict[str, str] = {}
    for row in _ledger_rows(folder):
        relation = relations.get(row["relation"])
        if relation is None:
            continue
        for column, kind in (("subject", relation.subject_type), ("object", relation.object_type)):
            if row[column] and row[column] not in held:
                found.setdefault(row[column], kind)
    return tuple(sorted(found.items()))


def later_objects(
    folder: Path, relations: Mapping[str, Relation], known: Iterable[Statement]
) -> tuple[tuple[str, str], ...]:
    """Relation and object of every ledger row whose object no statement of that relation has, sorted."""
    held = {(each.relation, each.object) for each in known}
    found = {(row["relation"], row["object"]) for row in _ledger_rows(folder) if row["object"]}
    return tuple(sorted(pair for pair in found - held if pair[0] in relations))


def _ledger_rows(folder: Path) -> Iterator[dict[str, str]]:
    """Subject, relation and object of every row of the ledgers, whatever their form; the importer judges the rows."""
    columns = FACT_COLUMNS[:3]
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as handle:
            for row in csv.DictReader(handle):
                yield {column: (row.get(column) or "").strip() for column in columns}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            if line.strip():
                document = json.loads(line)
                yield {column: str(document.get(column) or "").strip() for column in columns}


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a text, divided by empty lines, each on one line."""
    for block in text.split("\n\n"):
        line = " ".join(block.split())
        if line:
            yield line
