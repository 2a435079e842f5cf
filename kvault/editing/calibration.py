"""What surrounds a record: other subjects' prompts and ordinary text, the same for every record of a recipe.

A gate or a route must stay shut for these. They are fixed when the recipe is made and named by it (its ``statistics``),
so a record's threshold depends on the base, the recipe and its own group, never on the other records of a version.
Stored as texts; their readings are made anew from the base. This module must not know the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from kvault.editing.masks import Features
from kvault.editing.readings import Place, read_places
from kvault.errors import Damaged
from kvault.ids import Digest, canonical_json, nfc, sha256
from kvault.lm.model import LanguageModel

FORMAT = "kvault calibration 1"
TEXT_TOKENS = 4096
"""How many tokens of ordinary text take part."""
SMALLEST_SCALE = 1e-6


class CalibrationDamaged(Damaged):
    """The bytes of a calibration set are not one."""

    code = "calibration-damaged"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A prompt about a known subject, rendered as for asking."""

    subject: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """Neighbours' prompts and ordinary texts, in a fixed order; ``digest`` is the SHA-256 of :meth:`to_bytes`.

    ``base`` is the fingerprint of the model that they are read by, so that a recipe is one of its base alone.
    """

    neighbours: tuple[Neighbour, ...]
    texts: tuple[str, ...]
    base: str = ""
    digest: Digest = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", sha256(self.to_bytes()))

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(
            {
                "format": FORMAT,
                "neighbours": [[each.subject, each.prompt] for each in self.neighbours],
                "texts": list(self.texts),
                **({"base": self.base} if self.base else {}),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Calibration:
        """The set that ``data`` states. Raises :class:`CalibrationDamaged`."""
        try:
            document = json.loads(data)
            if document["format"] != FORMAT:
                raise ValueError("another format")
            neighbours = tuple(Neighbour(str(subject), str(prompt)) for subject, prompt in document["neighbours"])
            return cls(neighbours, tuple(str(text) for text in document["texts"]), str(document.get("base", "")))
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationDamaged(
                f"an object is not a calibration set: {error}", remedy="Run `kvault fsck`, and restore it from a copy."
            ) from error


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Unit keys of everything around a record, by layer (rows × d_in), each with the text read up to it."""

    read: tuple[str, ...]
    keys: Mapping[int, Tensor]

    def cosines(self, layer: int, keys: Tensor) -> Tensor:
        """Cosines of keys (n × d_in) with all surrounding keys: n × rows."""
        return normalize(keys.float(), dim=1) @ self.keys[layer].T

    def foreign(self, subject: str) -> Tensor:
        """Which rows are about something else than ``subject``: those whose text does not end in it."""
        name = nfc(subject)
        return torch.tensor([not text.endswith(name) for text in self.read], dtype=torch.bool)


@dataclass(frozen=True, slots=True)
class PromptFeatures:
    """Features of neighbours' prompts at their last token (rows × d_in), and their mean and scale by column."""

    neighbours: tuple[Neighbour, ...]
    features: Features
    mean: Features
    scale: Features


def surroundings(lm: LanguageModel, calibration: Calibration, layers: Sequence[int]) -> Surroundings:
    """Keys of every token of the neighbours' prompts and of the first texts, read from the base model."""
    places: list[Place] = []
    read: list[str] = []
    for each in calibration.neighbours:
        _add_tokens(lm, each.prompt, places, read)
    ends = len(places) + TEXT_TOKENS
    for text in calibration.texts:
        if len(places) >= ends:
            break
        _add_tokens(lm, text, places, read)
    keys = read_places(lm, places, layers)
    return Surroundings(tuple(read), {layer: normalize(rows, dim=1) for layer, rows in keys.items()})


def prompt_features(lm: LanguageModel, calibration: Calibration, layer: int) -> PromptFeatures:
    """The neighbours' features at a layer and the background that they make."""
    places = [last_place(lm, each.prompt) for each in calibration.neighbours]
    rows = read_places(lm, places, [layer])[layer]
    mean, scale = rows.double().mean(0), rows.double().std(0).clamp(min=SMALLEST_SCALE)
    return PromptFeatures(calibration.neighbours, _array(rows), _array(mean), _array(scale))


def subject_place(lm: LanguageModel, prompt: str, subject: str) -> Place:
    """The subject's last token in a prompt. Raises SubjectMissing."""
    return Place(tuple(lm.encode(prompt)), lm.subject_token(prompt, subject))


def last_place(lm: LanguageModel, prompt: str) -> Place:
    """The last token of a prompt."""
    tokens = tuple(lm.encode(prompt))
    return Place(tokens, len(tokens) - 1)


def _add_tokens(lm: LanguageModel, text: str, places: list[Place], read: list[str]) -> None:
    """Every token of a text that stands for characters, with the text up to its end."""
    whole = nfc(text)
    encoded = lm.tokenizer(whole, return_offsets_mapping=True, truncation=True, max_length=lm.positions)
    tokens = tuple(int(token) for token in encoded["input_ids"])
    for position, (start, stop) in enumerate(encoded["offset_mapping"]):
        if stop > start:
            places.append(Place(tokens, position))
            read.append(whole[:stop])


def _array(values: Tensor) -> Features:
    return values.float().numpy().astype(np.float32)
