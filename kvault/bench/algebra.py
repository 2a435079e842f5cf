"""What a set of records promises: the same bits in any order and with any threads, exact removal, and its size."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from kvault.bench.figures import Figure, at_least, at_most
from kvault.bench.ground import Ground
from kvault.bench.methods import solver_of
from kvault.bench.scoring import Examiner
from kvault.editing import ridge
from kvault.editing.making import make_records
from kvault.editing.recipe import Recipe, default_recipe
from kvault.editing.record import Record
from kvault.editing.request import Request
from kvault.ids import Digest, digest_of, sha256
from kvault.lm.version import Version
from kvault.objects.store import ObjectStore
from kvault.objects.tensors import encode_tensors

FEW = 12
"""Requests that are made again to see whether their bits are the same."""


@dataclass(frozen=True, slots=True)
class _Stages:
    """Seconds that one batch spent in each stage."""

    targets: float
    solve: float
    checks: float
    store: float

    @property
    def whole(self) -> float:
        return self.targets + self.solve + self.checks + self.store


def batch_seconds(ground: Ground) -> list[Figure]:
    """One batch: seconds an edit, split into stages, and how large solve and store are beside the whole."""
    scenario = ground.scenario
    edits = scenario.batches(ground.size.batch)[0]
    few = scenario.of(edits)
    examiner = Examiner(ground.lm, few)
    recipe = _recipe(ground)
    solver = solver_of(ground, recipe)
    ticks = [time.perf_counter()]
    records = make_records(ground.lm, recipe, few.requests())
    ticks.append(time.perf_counter())
    state, delta = ridge.update(solver, ridge.solve(solver, []), records)
    version = _version(ground, ridge.weights(solver, state))
    ticks.append(time.perf_counter())
    examiner.marks(version)
    ticks.append(time.perf_counter())
    with TemporaryDirectory(dir=ground.setting.work) as folder:
        store = ObjectStore.open(str(Path(folder) / "objects"))
        store.put_many([*(record.to_bytes() for record in records), delta_bytes(delta)])
    ticks.append(time.perf_counter())
    stages = _Stages(*(after - before for before, after in itertools.pairwise(ticks)))
    count = len(edits)
    return [
        Figure("batch: targets", stages.targets / count, "s/edit", count),
        Figure("batch: solve", stages.solve / count, "s/edit", count),
        Figure("batch: checks", stages.checks / count, "s/edit", count),
        Figure("batch: store", stages.store / count, "s/edit", count),
        Figure("batch: whole", stages.whole / count, "s/edit", count),
        Figure("batch: solve, share", 100 * stages.solve / stages.whole, "%", count, at_most(10)),
        Figure("batch: store, share", 100 * stages.store / stages.whole, "%", count, at_most(10)),
    ]


def batch_bytes(ground: Ground) -> list[Figure]:
    """Records and delta of one batch against twice the bytes of their keys and values: new facts, then amended ones."""
    recipe = _recipe(ground)
    solver = solver_of(ground, recipe)
    edits = ground.scenario.batches(ground.size.batch)[0]
    records = make_records(ground.lm, recipe, ground.scenario.requests(edits))
    state, delta = ridge.update(solver, ridge.solve(solver, []), records)
    back = [replace(edit, new=edit.old) for edit in edits]
    amended = make_records(ground.lm, recipe, ground.scenario.requests(back))
    _, second = ridge.update(solver, state, amended, remove=[record.id for record in records])
    return [*_bytes(ground, "new", records, delta, len(edits)), *_bytes(ground, "amended", amended, second, len(edits))]


def _bytes(ground: Ground, name: str, records: Sequence[Record], delta: ridge.Delta, facts: int) -> list[Figure]:
    layers = _recipe(ground).layers
    size = sum(len(record.to_bytes()) for record in records) + len(delta_bytes(delta))
    d_out, d_in = ground.lm.down(layers[0]).shape
    bound = 2 * (d_in + d_out) * 4 * facts * len(layers)
    dense = d_in * d_out * 4 * len(layers)
    return [
        Figure(f"objects of {name} facts: bytes", float(size), "bytes", facts),
        Figure(
            f"objects of {name} facts: against 2 (d_in + d_out) x 4 x facts x layers",
            size / bound,
            "x",
            facts,
            at_most(1.05),
        ),
        Figure(f"objects of {name} facts: against the dense delta", size / dense, "x", facts),
    ]


def same_bits(ground: Ground) -> list[Figure]:
    """The same requests in another order and with 1 and 2 threads: are records and weights the same to the bit?"""
    requests = ground.scenario.requests()[:FEW]
    before = torch.get_num_threads()
    digests: set[Digest] = set()
    try:
        for threads, order in ((1, requests), (2, requests), (2, list(reversed(requests)))):
            torch.set_num_threads(threads)
            digests.add(_digest(ground, order))
    finally:
        torch.set_num_threads(before)
    return [Figure("order and threads: different digests", float(len(digests)), "digests", 3, at_most(1))]


def removal(ground: Ground) -> list[Figure]:
    """A middle batch taken out again, against a set that never held it."""
    recipe = _recipe(ground)
    solver = solver_of(ground, recipe)
    held = ground.ridge_records[: 3 * ground.size.batch]
    third = len(held) // 3
    middle = held[third : 2 * third]
    rest = [*held[:third], *held[2 * third :]]
    full = ridge.solve(solver, held)
    without, _ = ridge.update(solver, full, remove=[record.id for record in middle])
    taken, never = ridge.weights(solver, without), ridge.weights(solver, ridge.solve(solver, rest))
    apart = max(
        float(np.linalg.norm(taken[layer] - never[layer]) / np.linalg.norm(never[layer])) for layer in recipe.layers
    )
    same = ground.examiner.agreement(_version(ground, taken), _version(ground, never))
    return [
        Figure("removal: relative difference of tensors", apart, "", len(middle), at_most(1e-6)),
        Figure("removal: same answers", same, "%", ground.examiner.asked, at_least(100)),
    ]


def delta_bytes(delta: ridge.Delta) -> bytes:
    """The bytes of a delta's factors."""
    tensors = {}
    for layer, (left, right) in delta.factors.items():
        tensors[f"left.{layer}"], tensors[f"right.{layer}"] = left, right
    return encode_tensors(tensors, {"format": "kvault delta 1"})


def _recipe(ground: Ground) -> Recipe:
    return default_recipe("memit", ground.lm, statistics=ground.statistics.id)


def _digest(ground: Ground, requests: Sequence[Request]) -> Digest:
    recipe = _recipe(ground)
    solver = solver_of(ground, recipe)
    records: list[Record] = make_records(ground.lm, recipe, requests)
    solved = ridge.weights(solver, ridge.solve(solver, records))
    tensors = {str(layer): sha256(weight.astype("<f4").tobytes()) for layer, weight in solved.items()}
    return digest_of({"records": sorted(record.id for record in records), "tensors": tensors})


def _version(ground: Ground, weights: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]) -> Version:
    return Version({ground.lm.down_name(layer): torch.from_numpy(weight) for layer, weight in weights.items()})
