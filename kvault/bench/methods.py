"""Every editor that is compared, as one function from the common ground to a version that holds all edits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch

from kvault.bench.ground import Ground
from kvault.editing import ridge
from kvault.editing.consolidate import consolidate
from kvault.editing.gated import GatedMemory
from kvault.editing.memoir import MemoirMemory
from kvault.editing.memoir_records import background, make_memoir_records
from kvault.editing.recipe import Recipe, default_recipe
from kvault.editing.record import Record
from kvault.editing.sequential import FineTuning, SequentialAlphaEdit, SequentialFineTuning
from kvault.lm.version import BASE, Version

Method = Callable[[Ground], Version]


def unedited(_ground: Ground) -> Version:
    """The base model."""
    return BASE


def ridge_set(editor: str) -> Method:
    """A ridge editor's set of all records, solved at once."""

    def version(ground: Ground) -> Version:
        recipe = default_recipe(editor, ground.lm, statistics=ground.statistics.id)
        solver = solver_of(ground, recipe)
        records = [under(record, recipe) for record in ground.ridge_records]
        solved = ridge.weights(solver, ridge.solve(solver, records))
        return Version({ground.lm.down_name(layer): torch.from_numpy(weight) for layer, weight in solved.items()})

    return version


def gated(ground: Ground) -> Version:
    """Gated records, a γ each."""
    return Version(memories=(GatedMemory(ground.lm, ground.gated_records),))


def consolidated(ground: Ground) -> Version:
    """The gated records solved into the weights of their layer under MEMIT's metric."""
    records = ground.gated_records
    layers = default_recipe("gated", ground.lm).layers
    recipe = default_recipe("memit", ground.lm, statistics=ground.statistics.id, layers=layers)
    return consolidate(ground.lm, solver_of(ground, recipe), records).version


def memoir(ground: Ground) -> Version:
    """MEMOIR, a route and factors for each edit."""
    calibration = ground.scenario.calibration
    recipe = default_recipe("memoir", ground.lm, statistics=calibration.digest)
    shared = background(ground.lm, recipe, calibration)
    records = make_memoir_records(
        ground.lm,
        recipe,
        shared,
        ground.scenario.single_requests(),
        lambda done, total: ground.say("memoir", done, total),
    )
    return Version(memories=(MemoirMemory(shared.site, records),))


def alphaedit_chain(ground: Ground) -> Version:
    """AlphaEdit as published: batch after batch on the model that the last one left."""
    recipe = default_recipe("alphaedit", ground.lm, statistics=ground.statistics.id)
    return _chain(ground, SequentialAlphaEdit(ground.lm, recipe, ground.statistics))


def fine_tuning_chain(ground: Ground) -> Version:
    """Fine-tuning of one matrix, batch after batch."""
    recipe = default_recipe("memit", ground.lm)
    return _chain(ground, SequentialFineTuning(ground.lm, recipe, FineTuning(layer=recipe.layers[-1])))


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "unedited": unedited,
        "AlphaEdit": ridge_set("alphaedit"),
        "BetaEdit": ridge_set("betaedit"),
        "MEMIT": ridge_set("memit"),
        "MEMOIR": memoir,
        "gated records": gated,
        "gated records, consolidated": consolidated,
        "sequential AlphaEdit": alphaedit_chain,
        "fine-tuning": fine_tuning_chain,
    }
)
"""The rows of the table, in order."""


def solver_of(ground: Ground, recipe: Recipe) -> ridge.Solver:
    """The solver of a ridge recipe on the ground's model."""
    return ridge.Solver(recipe, ground.statistics, {layer: ground.lm.down(layer).numpy() for layer in recipe.layers})


def under(record: Record, recipe: Recipe) -> Record:
    """The same record under another ridge recipe with the same layers and the same way to look for targets."""
    return Record(record.base, recipe.id, record.group, record.subject, record.tensors, record.figures)


def _chain(ground: Ground, chain: SequentialAlphaEdit | SequentialFineTuning) -> Version:
    batches = ground.scenario.batches(ground.size.batch)
    for number, batch in enumerate(batches):
        chain.edit(ground.scenario.requests(batch))
        ground.say("batches", number + 1, len(batches))
    return chain.version
