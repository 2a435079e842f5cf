"""Gated records as plain weights: the same keys and targets, solved under a ridge editor's metric.

A gate needs a module at answer time; a checkpoint or an adapter cannot hold one. Solving the records into the weights
costs some accuracy, and how much is for checks to say: whoever calls hands in how to take figures of a version. This
module must not know what the figures are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from kvault.editing import ridge
from kvault.editing.gated import GatedMemory, gated_layers
from kvault.editing.recipe import Recipe
from kvault.editing.record import Record, layer_tensors
from kvault.errors import InvalidInput
from kvault.lm.model import LanguageModel
from kvault.lm.version import Version

Figures = Callable[[Version], Mapping[str, float]]


class LayerMismatch(InvalidInput):
    """A gated record and the recipe that shall solve it are not about the same layer."""

    code = "layer-mismatch"


@dataclass(frozen=True, slots=True)
class Loss:
    """One figure with the gates in place and with their records in the weights."""

    name: str
    gated: float
    solved: float

    @property
    def change(self) -> float:
        """What consolidation did to the figure."""
        return self.solved - self.gated


@dataclass(frozen=True, slots=True)
class Consolidation:
    """The ridge records that took the gates' place, the version of plain weights, and what was lost."""

    records: tuple[Record, ...]
    version: Version
    losses: tuple[Loss, ...]


def ridge_record(gated: Record, recipe: Recipe) -> Record:
    """The gated record as a record of a ridge recipe of the same layer. Raises :class:`LayerMismatch`."""
    layers = gated_layers(gated)
    if layers != list(recipe.layers):
        raise LayerMismatch(
            f"a gate at layer {layers} cannot be solved at {list(recipe.layers)}",
            record=gated.id[:12],
            remedy="Use a ridge recipe of the gate's own layer.",
        )
    tensors = layer_tensors({each: gated.key(each) for each in layers}, {each: gated.target(each) for each in layers})
    figures = {name: value for name, value in gated.figures.items() if name != "gate"}
    return Record(gated.base, recipe.id, gated.group, gated.subject, tensors, figures)


def consolidate(
    lm: LanguageModel, solver: ridge.Solver, gated: Sequence[Record], figures: Figures | None = None
) -> Consolidation:
    """Solve gated records into the weights; with ``figures`` both versions are measured.

    Raises :class:`LayerMismatch` and the errors of the solve.
    """
    records = tuple(ridge_record(each, solver.recipe) for each in gated)
    solved = ridge.weights(solver, ridge.solve(solver, records))
    version = Version({lm.down_name(layer): torch.from_numpy(weight) for layer, weight in solved.items()})
    if figures is None:
        return Consolidation(records, version, ())
    before, after = figures(Version(memories=(GatedMemory(lm, gated),))), figures(version)
    return Consolidation(records, version, tuple(Loss(name, before[name], after[name]) for name in before))
