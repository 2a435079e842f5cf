"""Gated records: residuals that are looked up beside a down-projection instead of being solved into it.

For each token the record whose key lies nearest speaks, and only where the cosine exceeds its own threshold γ
(Fei et al. 2025). Everything else passes through untouched, bit for bit. This module reads records and makes a memory
of them; how records and their γ come about is in :mod:`kvault.editing.gate_records`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from kvault.editing.record import Record
from kvault.errors import InvalidInput
from kvault.ids import Digest, RecordId, digest_of
from kvault.lm.version import Removable

if TYPE_CHECKING:
    from kvault.lm.model import LanguageModel

KIND = "gated"
COSINES = 1 << 24
"""How many cosines are held at once."""


@dataclass(frozen=True, slots=True)
class Gates:
    """The records of one layer: unit keys ``N × d_in``, residuals ``N × d_out``, thresholds ``N``; all float32."""

    layer: int
    keys: Tensor
    residuals: Tensor
    thresholds: Tensor

    def to(self, device: torch.device) -> Gates:
        """The same gates on a device."""
        return Gates(self.layer, self.keys.to(device), self.residuals.to(device), self.thresholds.to(device))

    def nearest(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """For each row of ``keys`` (tokens × d_in) the nearest record's index and its cosine; the first one on ties."""
        unit = normalize(keys.float(), dim=1)
        size = max(1, COSINES // max(1, len(self.keys)))
        parts = [(part @ self.keys.T).max(dim=1) for part in torch.split(unit, size)]
        return torch.cat([part.indices for part in parts]), torch.cat([part.values for part in parts])

    def add(self, keys: Tensor, written: Tensor) -> Tensor:
        """``written`` (… × d_out) plus the residual of the nearest record wherever its gate is open for ``keys``."""
        rows = keys.reshape(-1, keys.shape[-1])
        index, cosine = self.nearest(rows)
        fired = (cosine > self.thresholds[index]).nonzero()[:, 0]
        if len(fired) == 0:
            return written
        flat = written.reshape(-1, written.shape[-1]).clone()
        flat[fired] += self.residuals[index[fired]].to(flat.dtype)
        return flat.reshape(written.shape)


@dataclass(frozen=True, slots=True)
class Firing:
    """One record that spoke: at which token of a prompt, how near it was, and what it would have taken."""

    record: RecordId
    layer: int
    position: int
    cosine: float
    threshold: float


class GatedMemory:
    """All gated records of a version, as a :class:`kvault.lm.version.Memory`.

    A pure function of the set of records: they are put in the order of their ids.
    """

    kind = KIND

    def __init__(self, lm: LanguageModel, records: Sequence[Record]) -> None:
        self.records = tuple(sorted({each.id: each for each in records}.values(), key=lambda each: each.id))
        layers = sorted({layer for each in self.records for layer in gated_layers(each)})
        self._gates = tuple(gates_of(lm, layer, self.records) for layer in layers)
        self.digest: Digest = digest_of([each.id for each in self.records])

    @property
    def gates(self) -> tuple[Gates, ...]:
        """The gates by layer, ascending."""
        return self._gates

    def install(self, lm: LanguageModel) -> Sequence[Removable]:
        """Put the gates beside their down-projections."""
        return [lm.down_module(each.layer).register_forward_hook(_hook(each.to(lm.device))) for each in self._gates]

    def begin(self, lengths: Tensor) -> None:
        """Nothing to prepare: every token decides for itself."""

    def keep(self, rows: Tensor) -> None:
        """Nothing to keep: every token decides for itself."""

    def firings(self, lm: LanguageModel, prompt: str) -> list[Firing]:
        """Which records speak while the prompt is read, for attribution."""
        found: list[Firing] = []
        ids = torch.tensor([lm.encode(prompt)], device=lm.device)
        holders = {each.layer: held_at(each.layer, self.records) for each in self._gates}

        def watch(gates: Gates) -> Removable:
            def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
                index, cosine = gates.nearest(inputs[0][0])
                for at in (cosine > gates.thresholds[index]).nonzero()[:, 0].tolist():
                    which = int(index[at])
                    spoke = holders[gates.layer][which].id
                    found.append(Firing(spoke, gates.layer, at, float(cosine[at]), float(gates.thresholds[which])))

            return lm.down_module(gates.layer).register_forward_hook(hook)

        handles = [watch(each.to(lm.device)) for each in self._gates]
        try:
            with torch.inference_mode():
                lm.model(ids, use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return found


def gated_layers(record: Record) -> list[int]:
    """The layers beside which a record stands."""
    return sorted(int(name.removeprefix("gamma.")) for name in record.tensors if name.startswith("gamma."))


def held_at(layer: int, records: Sequence[Record]) -> list[Record]:
    """The records that stand beside a layer, in the order given."""
    return [each for each in records if f"gamma.{layer}" in each.tensors]


def gates_of(lm: LanguageModel, layer: int, records: Sequence[Record]) -> Gates:
    """The gates of one layer, in the records' order. Raises InvalidInput where none has one."""
    chosen = held_at(layer, records)
    if not chosen:
        raise InvalidInput("no record stands beside this layer", layer=layer, remedy="Use a gated recipe's records.")
    keys = torch.from_numpy(np.stack([each.key(layer) for each in chosen]))
    residuals = np.stack([np.asarray(each.tensors[f"r.{layer}"], dtype=np.float32) for each in chosen])
    thresholds = np.stack([np.asarray(each.tensors[f"gamma.{layer}"], dtype=np.float32).reshape(()) for each in chosen])
    unit = normalize(keys.double(), dim=1).float()
    return Gates(layer, unit, torch.from_numpy(residuals), torch.from_numpy(thresholds))


def _hook(gates: Gates) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return gates.add(inputs[0], output)

    return hook
