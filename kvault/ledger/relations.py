"""Relations: what can be said of a subject, and in which words.

A definition is immutable and named by its digest; the vault keeps every version of it and marks one as current, so that
a revision stays tied to the phrasings it was written under. Rendering is :mod:`kvault.ledger.prompts`; this module must
not know any fact.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import yaml
from sqlalchemy import update
from sqlmodel import Session, col, select

from kvault.clock import Clock
from kvault.errors import InvalidInput, NotFound
from kvault.ids import Canonical, Digest, digest_of, nfc
from kvault.ledger.tables import RelationRow
from kvault.ledger.text import clean

SUBJECT = "{subject}"
TEMPLATE_LIMIT = 500
_SLUG = re.compile(r"[a-z][a-z0-9_]{0,99}\Z")
_KEYS = (
    "id",
    "name",
    "domain",
    "subject_type",
    "object_type",
    "cardinality",
    "language",
    "statement",
    "train",
    "held_out",
)


class Cardinality(StrEnum):
    """How many objects a subject has at one time."""

    SINGLE = "single"
    MANY = "many"


class RelationInvalid(InvalidInput):
    """A relation's definition breaks a rule."""

    code = "relation-invalid"


class UnknownRelation(NotFound):
    """No relation of the vault has this name."""

    code = "unknown-relation"


@dataclass(frozen=True, slots=True)
class Relation:
    """One definition. Every phrasing is a prefix that holds ``{subject}`` once and ends right before the object.

    ``prompts`` are the phrasings an edit may be made with besides ``statement``; ``probes`` are never used for editing
    and only ever asked.
    """

    slug: str
    name: str
    domain: str
    subject_type: str
    object_type: str
    cardinality: Cardinality
    language: str
    statement: str
    prompts: tuple[str, ...]
    probes: tuple[str, ...]

    def definition(self) -> dict[str, Canonical]:
        """The canonical form that :attr:`digest` is of."""
        return {
            "slug": self.slug,
            "name": self.name,
            "domain": self.domain,
            "subject_type": self.subject_type,
            "object_type": self.object_type,
            "cardinality": self.cardinality.value,
            "language": self.language,
            "statement": self.statement,
            "prompts": list(self.prompts),
            "probes": list(self.probes),
        }

    @property
    def digest(self) -> Digest:
        """The definition's name."""
        return digest_of(self.definition())

    @property
    def templates(self) -> tuple[str, ...]:
        """The statement, then the other phrasings for editing."""
        return (self.statement, *self.prompts)


@dataclass(frozen=True, slots=True)
class NamedRelation:
    """A definition with its digest worked out."""

    digest: Digest
    relation: Relation


class Vocabulary:
    """The current relations by slug."""

    def __init__(self, relations: Iterable[NamedRelation]) -> None:
        self._by_slug = {each.relation.slug: each for each in relations}

    def __len__(self) -> int:
        return len(self._by_slug)

    def relations(self) -> list[Relation]:
        """Every current relation, by slug."""
        return [self._by_slug[slug].relation for slug in sorted(self._by_slug)]

    def find(self, slug: str) -> NamedRelation:
        """The relation of that slug. Raises :class:`UnknownRelation` with the nearest names."""
        found = self._by_slug.get(slug)
        if found is not None:
            return found
        spelled = re.sub(r"[\s-]+", "_", slug.strip().lower())
        near = difflib.get_close_matches(spelled, self._by_slug, n=3, cutoff=0.6)
        if near:
            remedy = f"Did you mean {' or '.join(near)}?"
        elif self._by_slug:
            remedy = "See `kvault relation list`."
        else:
            remedy = "The vault has no relations yet: `kvault relation import FILE`."
        raise UnknownRelation(f"no relation is called {slug!r}", field="relation", remedy=remedy)


def read_relations(path: Path) -> list[Relation]:
    """The relations that a YAML file defines. Raises :class:`RelationInvalid` naming file, relation and field."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise NotFound("there is no such file", file=path, remedy="Check the path.") from None
    except UnicodeDecodeError as error:
        raise RelationInvalid(
            "the file is not UTF-8", file=path, byte=error.start, remedy="Save it as UTF-8."
        ) from None
    return parse_relations(text, str(path))


def parse_relations(text: str, file: str) -> list[Relation]:
    """The relations of a YAML text; ``file`` is only for messages."""
    try:
        rows = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = None if mark is None else mark.line + 1
        raise RelationInvalid("the file is not YAML", file=file, line=line, remedy="Correct the line.") from None
    if not isinstance(rows, list) or not rows:
        raise RelationInvalid(
            "the file holds no list of relations", file=file, remedy="Write one `- id: ...` a relation."
        )
    relations = [_relation(row, file, number) for number, row in enumerate(rows, start=1)]
    seen: set[str] = set()
    for each in relations:
        if each.slug in seen:
            raise RelationInvalid("two relations have one id", file=file, relation=each.slug, remedy="Rename one.")
        seen.add(each.slug)
    return relations


def register(session: Session, relations: Sequence[Relation], clock: Clock) -> list[NamedRelation]:
    """Make these definitions the current ones; equal definitions are left as they are."""
    named = [NamedRelation(each.digest, each) for each in relations]
    digests = [each.digest for each in named]
    known = {row.digest: row for row in session.exec(select(RelationRow).where(col(RelationRow.digest).in_(digests)))}
    for each in named:
        session.execute(
            update(RelationRow)
            .where(col(RelationRow.slug) == each.relation.slug, col(RelationRow.digest) != each.digest)
            .values(current=False)
        )
        row = known.get(each.digest)
        if row is None:
            row = RelationRow(
                digest=each.digest,
                slug=each.relation.slug,
                definition=dict(each.relation.definition()),
                current=True,
                created_at=clock.now(),
            )
        row.current = True
        session.add(row)
    session.flush()
    return named


def vocabulary(session: Session) -> Vocabulary:
    """The current relations."""
    rows = session.exec(select(RelationRow).where(col(RelationRow.current).is_(True)))
    return Vocabulary(NamedRelation(Digest(row.digest), from_definition(row.definition)) for row in rows)


def relations_by_digest(session: Session, digests: Collection[str]) -> dict[Digest, Relation]:
    """The definitions of these digests, current or not."""
    rows = session.exec(select(RelationRow).where(col(RelationRow.digest).in_(list(digests))))
    return {Digest(row.digest): from_definition(row.definition) for row in rows}


def from_definition(document: Mapping[str, object]) -> Relation:
    """A relation from its canonical form."""

    def texts(name: str) -> tuple[str, ...]:
        value = document[name]
        assert isinstance(value, list)
        return tuple(str(each) for each in value)

    fields = {
        name: str(document[name]) for name in ("slug", "name", "domain", "subject_type", "object_type", "language")
    }
    return Relation(
        **fields,
        cardinality=Cardinality(str(document["cardinality"])),
        statement=str(document["statement"]),
        prompts=texts("prompts"),
        probes=texts("probes"),
    )


def _relation(row: object, file: str, number: int) -> Relation:
    if not isinstance(row, dict):
        raise RelationInvalid(f"entry {number} is not a mapping", file=file, remedy="Write one `- id: ...` a relation.")
    slug = row.get("id")
    if not isinstance(slug, str) or not _SLUG.match(slug):
        raise RelationInvalid(
            f"entry {number} has no usable id",
            file=file,
            field="id",
            remedy="Use small letters, digits and underscores.",
        )
    unknown = sorted(str(key) for key in row if key not in _KEYS)
    if unknown:
        raise RelationInvalid(
            f"unknown key {unknown[0]!r}", file=file, relation=slug, remedy=f"Known keys are: {', '.join(_KEYS)}."
        )

    def word(name: str, default: str) -> str:
        value = row.get(name, default)
        if not isinstance(value, str):
            raise RelationInvalid("not a text", file=file, relation=slug, field=name, remedy="Put it in quotes.")
        return clean(value, name, 100).text

    cardinality = word("cardinality", Cardinality.SINGLE)
    if cardinality not in set(Cardinality):
        raise RelationInvalid(
            f"{cardinality!r} is no cardinality",
            file=file,
            relation=slug,
            field="cardinality",
            remedy="single or many.",
        )
    statement = _template(row.get("statement"), file, slug, "statement")
    prompts = _templates(row.get("train", []), file, slug, "train")
    probes = _templates(row.get("held_out", []), file, slug, "held_out")
    shared = sorted(set(probes) & {statement, *prompts})
    if shared:
        raise RelationInvalid(
            f"{shared[0]!r} is both taught and held out", file=file, relation=slug, field="held_out", remedy="Drop one."
        )
    return Relation(
        slug=slug,
        name=word("name", slug.replace("_", " ")),
        domain=word("domain", "general"),
        subject_type=word("subject_type", "thing"),
        object_type=word("object_type", "thing"),
        cardinality=Cardinality(cardinality),
        language=word("language", "en"),
        statement=statement,
        prompts=tuple(each for each in dict.fromkeys(prompts) if each != statement),
        probes=tuple(dict.fromkeys(probes)),
    )


def _templates(value: object, file: str, slug: str, field: str) -> list[str]:
    if not isinstance(value, list):
        raise RelationInvalid("not a list", file=file, relation=slug, field=field, remedy="Write one phrasing a line.")
    return [_template(each, file, slug, f"{field}[{i}]") for i, each in enumerate(value)]


def _template(value: object, file: str, slug: str, field: str) -> str:
    if not isinstance(value, str) or value.count(SUBJECT) != 1:
        raise RelationInvalid(
            "a phrasing must hold {subject} exactly once", file=file, relation=slug, field=field, remedy="Rewrite it."
        )
    return nfc(clean(value, field, TEMPLATE_LIMIT).text)
