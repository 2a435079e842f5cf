"""What a group of revisions becomes inside a model: tensors and figures, named by the digest of their bytes.

A record of a ridge editor or a gate holds, for each edited layer, one key ``k`` (``d_in``) and one target ``v``
(``d_out``), both float32 and anchored to the base model; other editors keep tensors of their own under names of their
own. A record depends on nothing but the base, the recipe and the group, so it can be made anywhere and shared by all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from kvault.errors import Damaged
from kvault.ids import Canonical, Digest, RecipeId, RecordId, digest_of, sha256
from kvault.objects.tensors import TensorsDamaged, decode_tensors, encode_tensors

FORMAT = "kvault record 1"
REMEDY = "Run `kvault fsck`, and restore the object from a copy."
Float32 = npt.NDArray[np.float32]
Array = npt.NDArray[np.generic]


class RecordDamaged(Damaged):
    """The bytes of a record are not a record."""

    code = "record-damaged"


@dataclass(frozen=True, slots=True)
class Record:
    """Tensors made for one group under one recipe, with what was seen while making them.

    ``figures`` are texts (verdicts, decimals); they are part of the bytes, so they must be as reproducible as the
    tensors. ``id`` is the SHA-256 of :meth:`to_bytes`.
    """

    base: Digest
    recipe: RecipeId
    group: Digest
    subject: str
    tensors: Mapping[str, Array]
    figures: Mapping[str, str]
    id: RecordId = field(init=False)
    data: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tensors = {name: np.ascontiguousarray(value) for name, value in sorted(self.tensors.items())}
        object.__setattr__(self, "tensors", MappingProxyType(tensors))
        object.__setattr__(self, "figures", MappingProxyType(dict(sorted(self.figures.items()))))
        document: dict[str, Canonical] = {
            "format": FORMAT,
            "base": self.base,
            "recipe": self.recipe,
            "group": self.group,
            "subject": self.subject,
            "figures": dict(self.figures),
        }
        data = encode_tensors(tensors, document)
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "id", RecordId(sha256(data)))

    def to_bytes(self) -> bytes:
        """Canonical safetensors bytes."""
        return self.data

    def key(self, layer: int) -> Float32:
        """The key at a layer: ``d_in``, float32."""
        return self._vector(f"k.{layer}")

    def target(self, layer: int) -> Float32:
        """The target at a layer: ``d_out``, float32; absolute, what the down-projection should say to the key."""
        return self._vector(f"v.{layer}")

    def _vector(self, name: str) -> Float32:
        try:
            return np.asarray(self.tensors[name], dtype=np.float32)
        except KeyError:
            raise RecordDamaged("a record lacks a tensor", record=self.id[:12], tensor=name, remedy=REMEDY) from None

    @classmethod
    def from_bytes(cls, data: bytes) -> Record:
        """The record of ``data``. Raises :class:`RecordDamaged`."""
        try:
            tensors, document = decode_tensors(data)
            if document["format"] != FORMAT:
                raise ValueError("another format")
            figures = document["figures"]
            if not isinstance(figures, Mapping):
                raise TypeError("figures are no mapping")
            return cls(
                base=Digest(str(document["base"])),
                recipe=RecipeId(str(document["recipe"])),
                group=Digest(str(document["group"])),
                subject=str(document["subject"]),
                tensors=tensors,
                figures={str(name): str(value) for name, value in figures.items()},
            )
        except (KeyError, TypeError, ValueError, TensorsDamaged) as error:
            raise RecordDamaged(f"an object is not a record: {error}", remedy=REMEDY) from error


def record_key(base: Digest, recipe: RecipeId, group: Digest) -> Digest:
    """The digest under which a record can be looked for before it is made."""
    return digest_of({"base": base, "recipe": recipe, "group": group})


def layer_tensors(keys: Mapping[int, Float32], targets: Mapping[int, Float32]) -> dict[str, Array]:
    """The tensors of a record with one key and one target for each layer."""
    found: dict[str, Array] = {f"k.{layer}": key for layer, key in keys.items()}
    return {**found, **{f"v.{layer}": target for layer, target in targets.items()}}
