"""Benchmark part ``sizes``: what a commit of 100 facts takes at the shapes of large models, encoded for real."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from kvault.bench.algebra import delta_bytes
from kvault.bench.figures import Figure, Setting, at_most
from kvault.editing import ridge
from kvault.editing.record import Record, layer_tensors
from kvault.ids import Digest, RecipeId

FACTS, LAYERS = 100, 5
SHAPES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"GPT-2 XL": (6400, 1600), "Llama-3-8B": (14336, 4096), "Qwen2.5-7B": (18944, 3584)}
)
"""By model the width of a down-projection's input and output."""


def commit_sizes(setting: Setting) -> list[Figure]:
    """Bytes of the records and the delta of 100 new facts in five layers, against twice their factors and the dense."""
    figures = []
    facts = FACTS // 10 if setting.quick else FACTS
    for done, (name, (d_in, d_out)) in enumerate(SHAPES.items()):
        setting.say("sizes", done, len(SHAPES))
        size = facts * len(_record(d_in, d_out).to_bytes()) + len(delta_bytes(_delta(facts, d_in, d_out)))
        bound = (d_in + d_out) * 4 * facts * LAYERS * 2
        figures += [
            Figure(f"{name}, {facts} facts: objects", size / 1e6, "MB", facts),
            Figure(f"{name}: against 2 (d_in + d_out) x 4 x facts x layers", size / bound, "x", facts, at_most(1.1)),
            Figure(f"{name}: against the dense delta", size / (d_in * d_out * 4 * LAYERS), "x", facts),
        ]
    return figures


def _record(d_in: int, d_out: int) -> Record:
    keys = {layer: np.ones(d_in, dtype=np.float32) for layer in range(LAYERS)}
    targets = {layer: np.ones(d_out, dtype=np.float32) for layer in range(LAYERS)}
    name = Digest(hashlib.sha256(f"{d_in} {d_out}".encode()).hexdigest())
    return Record(name, RecipeId(name), name, "a subject of some length", layer_tensors(keys, targets), {"steps": "7"})


def _delta(facts: int, d_in: int, d_out: int) -> ridge.Delta:
    one = (np.ones((d_out, facts), dtype=np.float32), np.ones((d_in, facts), dtype=np.float32))
    return ridge.Delta(dict.fromkeys(range(LAYERS), one))
