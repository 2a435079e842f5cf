"""What uniting two sets of records does to each of them, before anything is asked of a model.

Keys and residuals are in the records and the solution is closed, so what each record will lack is known as soon as the
set is. This module must not know what a merge is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kvault.editing.certificates import Collision, LayerCertificate, certificates
from kvault.editing.ridge import State
from kvault.ids import RecordId

GROWN = 2.0
"""How many times a parent's residual is worth a warning."""
NOTICEABLE = 0.05
"""The share of what a record asks for below which nothing that is missing is worth one."""


class CautionKind(StrEnum):
    """What may go wrong where sets are united."""

    COLLIDING = "colliding-keys"
    RESIDUAL = "residual-grew"


@dataclass(frozen=True, slots=True)
class Caution:
    """One warning, in words that name the subjects."""

    kind: CautionKind
    text: str


@dataclass(frozen=True, slots=True)
class Predicted:
    """The share of what a record asks for that it lacks at its worst layer: in each parent that holds it, and then."""

    record: RecordId
    subject: str
    parents: tuple[float | None, ...]
    united: float

    @property
    def grew(self) -> bool:
        """Whether it is past twice what a parent lacks."""
        held = [each for each in self.parents if each is not None]
        return self.united > NOTICEABLE and any(self.united > GROWN * each for each in held)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Every record of the united set, the warnings, and the capacity used at the fullest layer of ``room``."""

    records: tuple[Predicted, ...]
    cautions: tuple[Caution, ...]
    used: float
    room: int


def forecast(united: State, parents: Sequence[State]) -> Forecast:
    """What a united set looks like beside the sets that it came from."""
    now, before = certificates(united), [certificates(parent) for parent in parents]
    lacking = _lacking(now)
    former = [_lacking(each) for each in before]
    subjects = {record.id: record.subject for record in united.records}
    records = tuple(
        Predicted(record, subjects[record], tuple(each.get(record) for each in former), share)
        for record, share in sorted(lacking.items())
    )
    known = {(each.first, each.second) for one in before for each in _collisions(one)}
    cautions = [
        Caution(CautionKind.COLLIDING, f"{each.first} and {each.second} have nearly one key (cosine {each.keys:.2f})")
        for each in _collisions(now)
        if (each.first, each.second) not in known
    ]
    cautions += [
        Caution(
            CautionKind.RESIDUAL,
            f"{each.subject} will lack {each.united:.0%} of its change, and lacked "
            + " and ".join(f"{share:.0%}" for share in each.parents if share is not None),
        )
        for each in records
        if each.grew
    ]
    fullest = max(now, key=lambda layer: layer.used / max(1, layer.room), default=None)
    return Forecast(
        records, tuple(dict.fromkeys(cautions)), fullest.used if fullest else 0.0, fullest.room if fullest else 0
    )


def _lacking(layers: Sequence[LayerCertificate]) -> dict[RecordId, float]:
    found: dict[RecordId, float] = {}
    for layer in layers:
        for each in layer.records:
            found[each.record] = max(found.get(each.record, 0.0), each.residual)
    return found


def _collisions(layers: Sequence[LayerCertificate]) -> list[Collision]:
    """The pairs that collide at any layer, each once, its subjects in order."""
    found: dict[tuple[str, str], Collision] = {}
    for layer in layers:
        for each in layer.collisions:
            first, second = sorted((each.first, each.second))
            found.setdefault((first, second), Collision(first, second, each.keys, each.residuals))
    return [found[pair] for pair in sorted(found)]
