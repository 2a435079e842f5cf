"""What the demonstration model is taught: relations, facts and ordinary prose, as plain values.

The real data (``data/``) and the invented worlds of :mod:`kvault.demo.world` both become a :class:`Knowledge`, so that
the tokenizer, the trainer and the scorer cannot tell them apart. This module must not import torch: the command line
and the ledger importer's tests read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from kvault.errors import InvalidInput
from kvault.ledger import prompts, relations
from kvault.ledger.reading import BadLine, Row, read_rows

DATA = Path(__file__).parent / "data"
LEDGERS = Path(__file__).parent / "ledgers"


class DemoDataInvalid(InvalidInput):
    """A fact of the demonstration data breaks a rule."""

    code = "demo-data-invalid"


class Relation(relations.Relation):
    """A ledger's relation in the words of training: ``train`` are the phrasings that are taught, ``held_out`` the rest.

    It is read and rendered as the ledger's are, so that a model is trained on exactly the text that edits and checks
    will use.
    """

    __slots__ = ()

    @property
    def id(self) -> str:
        """The relation's name in facts."""
        return self.slug

    @property
    def train(self) -> tuple[str, ...]:
        """The phrasings that are taught, the statement first."""
        return self.templates

    @property
    def held_out(self) -> tuple[str, ...]:
        """The phrasings that are kept for checking."""
        return self.probes

    @property
    def lead(self) -> str:
        """What stands between a prompt and its object."""
        return prompts.lead(self.language)

    @property
    def stop(self) -> str:
        """The mark that ends a statement."""
        return prompts.stop(self.language)

    @property
    def spaced(self) -> bool:
        """Whether words have spaces between them."""
        return bool(self.lead)

    def prompt(self, template: str, subject: str) -> str:
        """The template with the subject in place, ending right before the object."""
        return prompts.fill(template, subject)

    def sentence(self, template: str, subject: str, answer: str) -> str:
        """The whole statement, its stop included."""
        return prompts.sentence(self, template, subject, answer)


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
    known = {each.id: each for path in sorted((data / "relations").glob("*.yaml")) for each in read_relations(path)}
    statements = tuple(each for path in sorted((data / "facts").glob("*.csv")) for each in read_statements(path, known))
    ordinary = tuple(
        text for path in sorted((data / "text").glob("ordinary*.txt")) for text in paragraphs(path.read_text("utf-8"))
    )
    names = ledger_names(ledgers, known, statements)
    return Knowledge(known, statements, ordinary, names, later_objects(ledgers, known, statements))


def read_relations(path: Path) -> Iterator[Relation]:
    """The relations of one YAML file. Raises RelationInvalid naming the file, the relation and the field."""
    for each in relations.read_relations(path):
        yield Relation(**{field_.name: getattr(each, field_.name) for field_ in fields(each)})


def read_statements(path: Path, known: Mapping[str, Relation]) -> Iterator[Statement]:
    """The facts of one file. Raises DemoDataInvalid, or a line's own error, naming the file, the line and the field."""
    for row in read_rows(path).rows:
        if isinstance(row, BadLine):
            raise row.error
        fact = Statement(
            *(text.strip() for text in (row.subject, row.relation, row.object, row.valid_from, row.evidence))
        )
        for column in ("subject", "relation", "object"):
            if not getattr(fact, column):
                raise DemoDataInvalid("a fact lacks a value", file=path, line=row.line, field=column)
        if fact.relation not in known:
            raise DemoDataInvalid(
                f"no relation is called {fact.relation!r}", file=path, line=row.line, field="relation"
            )
        yield fact


def ledger_names(
    folder: Path, spoken: Mapping[str, Relation], known: Iterable[Statement]
) -> tuple[tuple[str, str], ...]:
    """Subjects and objects of the ledgers that no statement holds, each with its kind, sorted."""
    held = {name for each in known for name in (each.subject, each.object)}
    found: dict[str, str] = {}
    for row in _ledger_rows(folder):
        relation = spoken.get(row.relation)
        if relation is None:
            continue
        for name, kind in ((row.subject, relation.subject_type), (row.object, relation.object_type)):
            if name and name not in held:
                found.setdefault(name, kind)
    return tuple(sorted(found.items()))


def later_objects(
    folder: Path, spoken: Mapping[str, Relation], known: Iterable[Statement]
) -> tuple[tuple[str, str], ...]:
    """Relation and object of every ledger row whose object no statement of that relation has, sorted."""
    held = {(each.relation, each.object) for each in known}
    found = {(row.relation, row.object) for row in _ledger_rows(folder) if row.object}
    return tuple(sorted(pair for pair in found - held if pair[0] in spoken))


def _ledger_rows(folder: Path) -> Iterator[Row]:
    """Every row of the ledgers, whatever their form; the importer judges them and the lines that are no rows."""
    for suffix in ("csv", "jsonl"):
        for path in sorted(folder.glob(f"*.{suffix}")):
            yield from (row for row in read_rows(path).rows if isinstance(row, Row))


def paragraphs(text: str) -> Iterator[str]:
    """The paragraphs of a text, divided by empty lines, each on one line."""
    for block in text.split("\n\n"):
        line = " ".join(block.split())
        if line:
            yield line
