"""Inputs of down-projections, read off while the base model reads prompts.

What keys, gates and routes are made of. The model is run only as far up as the highest layer that is asked for. Texts
of one length go together in batches that depend on the texts alone, and one thread computes, so that readings do not
depend on the machine's load. This module must not know what the readings are for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kvault.editing.statistics import read_keys
from kvault.lm.layers import single_thread
from kvault.lm.model import LanguageModel

BATCH = 64


@dataclass(frozen=True, slots=True)
class Place:
    """One token of one text: ``tokens`` is the whole text as the model reads it, ``position`` the token's index."""

    tokens: tuple[int, ...]
    position: int


def read_places(lm: LanguageModel, places: Sequence[Place], layers: Sequence[int]) -> dict[int, Tensor]:
    """The input of each layer's down-projection at each place: by layer, places × d_in, float32 on the CPU."""
    wanted = sorted(set(layers))
    # A later token never changes an earlier one, so places of one text share one reading.
    texts: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, place in enumerate(places):
        texts[place.tokens].append(index)
    lengths: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for tokens in texts:
        lengths[len(tokens)].append(tokens)
    found: dict[int, Tensor] = {}
    with single_thread(), torch.inference_mode():
        for _, same in sorted(lengths.items()):
            for start in range(0, len(same), BATCH):
                part = same[start : start + BATCH]
                rows = torch.tensor([row for row, tokens in enumerate(part) for _ in texts[tokens]])
                which = [index for tokens in part for index in texts[tokens]]
                spots = torch.tensor([places[index].position for index in which])
                for layer, keys in read_keys(lm, torch.tensor(part, device=lm.device), wanted).items():
                    store = found.setdefault(layer, torch.empty(len(places), keys.shape[2]))
                    store[torch.tensor(which)] = keys[rows.to(keys.device), spots.to(keys.device)].float().cpu()
    return found
