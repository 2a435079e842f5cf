"""Invented worlds of any size, for measurements that the real facts are too few for.

A seeded generator names companies, drugs and countries that do not exist and states four facts of each. Names are made
of syllables so that no two share their ending, which keeps the subjects' keys apart (what crowds them is measured by
:mod:`kvault.demo.score`). It must not import torch and must not read the real data.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from kvault.demo.statements import Knowledge, Relation, Statement
from kvault.ledger.relations import Cardinality

ONSETS = (
    "b",
    "bl",
    "br",
    "c",
    "ch",
    "cl",
    "cr",
    "d",
    "dr",
    "f",
    "fl",
    "fr",
    "g",
    "gl",
    "gr",
    "h",
    "j",
    "k",
    "kl",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "pr",
    "qu",
    "r",
    "s",
    "sh",
    "sk",
    "sl",
    "st",
    "t",
    "th",
    "tr",
    "v",
    "w",
    "y",
    "z",
)
VOWELS = ("a", "e", "i", "o", "u", "ai", "ea", "ia", "io", "oa", "ou")
CODAS = ("", "n", "r", "l", "s", "x", "m", "t", "k", "nd", "rn", "lt", "sk")
FACTS_PER_SUBJECT = 4


@dataclass(frozen=True, slots=True)
class Kind:
    """One type of subject: how its names end and what is said of it, as (relation id, name, object type, frames)."""

    name: str
    endings: tuple[str, ...]
    relations: tuple[tuple[str, str, str, str, str], ...]


# (relation id, display name, object type, noun phrase "the X of {subject}", verb phrase "{subject} ...")
KINDS = (
    Kind(
        "company",
        ("", "", "a", "ex", "is"),
        (
            ("w-chief", "chief executive", "person", "chief executive", "is led by"),
            ("w-seat", "headquarters", "city", "head office", "has its headquarters in"),
            ("w-sector", "sector", "sector", "main business", "earns its money in"),
            ("w-auditor", "auditor", "firm", "auditor", "has its accounts audited by"),
        ),
    ),
    Kind(
        "drug",
        ("ine", "ol", "ate", "ium", "an"),
        (
            ("w-class", "drug class", "class", "drug class", "belongs to the drug class of"),
            ("w-treats", "indication", "disease", "main indication", "is taken to treat"),
            ("w-maker", "manufacturer", "firm", "manufacturer", "is made by"),
            ("w-dose", "daily dose", "dose", "usual daily dose", "is given each day at"),
        ),
    ),
    Kind(
        "country",
        ("ia", "land", "o", "u", "ar"),
        (
            ("w-capital", "capital", "city", "capital city", "is governed from"),
            ("w-currency", "currency", "currency", "currency", "pays in"),
            ("w-leader", "head of government", "person", "head of government", "is governed by"),
            ("w-tongue", "language", "language", "official language", "speaks mostly"),
        ),
    ),
)

NOUN_FRAMES = (
    "The {noun} of {{subject}} is",
    "{{subject}}'s {noun} is",
    "As for {{subject}}, its {noun} is",
    "In the register, {{subject}} has as its {noun}",
    "Asked for the {noun} of {{subject}}, most people say",
    "For {{subject}} the {noun} was given as",
    "The {noun} that belongs to {{subject}} is",
    "Records name the {noun} of {{subject}} as",
)
VERB_FRAMES = (
    "{{subject}} {verb}",
    "It is known that {{subject}} {verb}",
    "According to the handbook, {{subject}} {verb}",
)
HELD_FRAMES = (
    "If you look up {{subject}}, you find that its {noun} is",
    "The {noun} listed for {{subject}} is",
    "Everyone agrees that {{subject}} {verb}",
)

PROSE_SUBJECTS = (
    "The clerk",
    "A farmer",
    "The old sailor",
    "My neighbour",
    "The teacher",
    "A young painter",
    "The baker",
)
PROSE_VERBS = (
    "walked to",
    "waited near",
    "wrote about",
    "dreamed of",
    "looked for",
    "returned from",
    "stayed away from",
)
PROSE_PLACES = (
    "the harbour",
    "the long road",
    "a quiet garden",
    "the market",
    "the hill",
    "an empty house",
    "the river",
)
PROSE_ENDS = (
    "before the rain came",
    "when the bells rang",
    "with a heavy bag",
    "and said nothing",
    "for the first time",
)


def invent_world(facts: int, seed: int = 0) -> Knowledge:
    """A world of at least ``facts`` facts (four a subject), the same for the same seed."""
    if facts < 1:
        raise ValueError("a world needs at least one fact")
    rng = random.Random(seed)
    names = _Names(rng)
    relations = {each.id: each for kind in KINDS for each in _relations(kind)}
    pools = _object_pools(names, facts)
    statements: list[Statement] = []
    position = 0
    while len(statements) < facts:
        kind = KINDS[position % len(KINDS)]
        subject = names.subject(kind.endings[(position // len(KINDS)) % len(kind.endings)])
        statements.extend(
            Statement(subject, row[0], rng.choice(pools[row[2]]), "2015-01-01", "invented") for row in kind.relations
        )
        position += 1
    return Knowledge(relations, tuple(statements), tuple(_prose(rng, 400)))


def _relations(kind: Kind) -> list[Relation]:
    made = []
    for identity, name, object_type, noun, verb in kind.relations:
        train = tuple(frame.format(noun=noun, verb=verb) for frame in (*NOUN_FRAMES, *VERB_FRAMES))
        held_out = tuple(frame.format(noun=noun, verb=verb) for frame in HELD_FRAMES)
        said = ("en", train[0], train[1:], held_out)
        made.append(Relation(identity, name, "invented", kind.name, object_type, Cardinality.SINGLE, *said))
    return made


class _Names:
    """Draws names that were not drawn before; subjects never share their last syllables."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._used: set[str] = set()

    def _stem(self, syllables: int) -> str:
        parts = [self._rng.choice(ONSETS) + self._rng.choice(VOWELS) for _ in range(syllables)]
        return "".join(parts) + self._rng.choice(CODAS)

    def _fresh(self, draw: Callable[[], str]) -> str:
        while True:
            name = draw().capitalize()
            if name.lower() not in self._used:
                self._used.add(name.lower())
                return name

    def subject(self, ending: str) -> str:
        return self._fresh(lambda: self._stem(2 + self._rng.randrange(2)) + ending)

    def word(self, syllables: int = 2) -> str:
        return self._fresh(lambda: self._stem(syllables))


def _object_pools(names: _Names, facts: int) -> dict[str, list[str]]:
    """What facts may answer, by object type; persons have a first and a last name."""
    many = max(40, min(400, facts // 20))
    first = [names.word(1) for _ in range(40)]
    words = {kind: [names.word() for _ in range(many)] for kind in ("city", "firm", "currency", "language")}
    return {
        **words,
        "person": [f"{first[i % len(first)]} {names.word()}" for i in range(many)],
        "sector": [f"{names.word().lower()} {noun}" for noun in ("mining", "banking", "shipping", "farming") * 6],
        "class": [names.word().lower() + "ics" for _ in range(40)],
        "disease": [names.word().lower() + "itis" for _ in range(60)],
        "dose": [f"{amount} mg" for amount in (5, 10, 15, 20, 25, 40, 50, 75, 80, 100, 150, 200, 250, 300, 400, 500)],
    }


def _prose(rng: random.Random, count: int) -> list[str]:
    """Paragraphs of ordinary sentences that state no fact of the world."""
    return [
        " ".join(
            " ".join(rng.choice(part) for part in (PROSE_SUBJECTS, PROSE_VERBS, PROSE_PLACES, PROSE_ENDS)) + "."
            for _ in range(4)
        )
        for _ in range(count)
    ]


def with_bearers(knowledge: Knowledge, seed: int = 0, each: int = 2) -> Knowledge:
    """The knowledge with invented subjects that bear the objects of later years, ``each`` of them an object.

    A model can only be edited to say what it can say: a name that was never an answer of its relation is out of reach
    of a small edit. Invented bearers make it an answer and say nothing about any real subject.
    """
    rng = random.Random(seed)
    used = {name for statement in knowledge.statements for name in (statement.subject, statement.object)}
    invented: list[Statement] = []
    for relation, answer in knowledge.later:
        chinese = not knowledge.relations[relation].spaced
        for _ in range(each):
            name = _bearer(rng, chinese)
            while name in used:
                name = _bearer(rng, chinese)
            used.add(name)
            invented.append(Statement(name, relation, answer))
    return replace(knowledge, statements=(*knowledge.statements, *invented))


def _bearer(rng: random.Random, chinese: bool) -> str:
    """An invented name of two or three syllables."""
    if chinese:
        return "".join(rng.choice("岚沐岑瑾霁澜钰琮璟昀沅芷") for _ in range(3)) + "邦"
    syllables = [rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((2, 2, 3)))]
    return "".join(syllables).capitalize()
