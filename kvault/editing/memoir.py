"""A residual memory with a route of its own for every edit (MEMOIR, in the form where edits are kept apart).

Beside one late feed-forward layer, ``FFN(a) = W0 a + U_j B_j (m_j ⊙ a)`` where ``j`` is the edit whose mask overlaps
the prompt's mask most, if it does so by more than that edit's own threshold τ; otherwise nothing is added. The route is
decided once, on the prompt, and kept while decoding under a cache. Only a matched edit's factors are ever read, so
removing an edit is exact and edits cannot leak into one another. This module reads records; how they are made is in
:mod:`kvault.editing.memoir_records`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from kvault.editing.masks import Features, TopHash, Words, best_match, unpack
from kvault.editing.record import Record
from kvault.ids import Digest, RecordId, digest_of
from kvault.lm.version import Removable

if TYPE_CHECKING:
    from kvault.lm.model import LanguageModel

KIND = "memoir"


@dataclass(frozen=True, slots=True)
class Site:
    """Where routes are read and where edits write: layers of the model, ``feature`` not above ``write``."""

    feature: int
    write: int
    hash: TopHash


@dataclass(frozen=True, slots=True)
class Route:
    """Where one prompt was led: the best record, its overlap, and the threshold that it had to exceed."""

    record: RecordId | None
    overlap: float
    threshold: float

    @property
    def taken(self) -> bool:
        """Whether the record speaks."""
        return self.record is not None and self.overlap > self.threshold


class MemoirMemory:
    """All MEMOIR records of a version, as a :class:`kvault.lm.version.Memory`; a pure function of their set."""

    kind = KIND

    def __init__(self, site: Site, records: Sequence[Record]) -> None:
        self.site = site
        self.records = tuple(sorted({each.id: each for each in records}.values(), key=lambda each: each.id))
        self.digest: Digest = digest_of([each.id for each in self.records])
        self._masks: Words = np.stack([np.asarray(each.tensors["mask"], dtype="<u8") for each in self.records])
        self._tau: Features = np.array(
            [float(each.tensors["tau"].reshape(())) for each in self.records], dtype=np.float32
        )
        self._columns = torch.from_numpy(np.stack([unpack(mask) for mask in self._masks]))  # N × active
        self._b, self._u = factors_of(self.records)
        self._lengths: Tensor | None = None
        self._chosen: Tensor | None = None

    def install(self, lm: LanguageModel) -> Sequence[Removable]:
        """Put the route and the memory into the model."""
        device = lm.device
        self._columns, self._b, self._u = (each.to(device) for each in (self._columns, self._b, self._u))
        self._lengths = self._chosen = None
        return [
            lm.down_module(self.site.feature).register_forward_pre_hook(self._decide()),
            lm.down_module(self.site.write).register_forward_hook(self._write()),
        ]

    def begin(self, lengths: Tensor) -> None:
        """A new batch of prompts: the next forward pass reads them and decides."""
        self._lengths, self._chosen = lengths, None

    def keep(self, rows: Tensor) -> None:
        """Decoding goes on with these rows only."""
        if self._chosen is not None:
            self._chosen = self._chosen[rows.to(self._chosen.device)]

    def routes(self, features: Features) -> list[Route]:
        """Where prompts with these features (rows × d_in, at the feature layer) are led."""
        index, overlap = best_match(self.site.hash.masks(features), self._masks, self.site.hash.active)
        return [
            Route(self.records[i].id, float(each), float(self._tau[i])) for i, each in zip(index, overlap, strict=True)
        ]

    def _decide(self) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            keys = inputs[0]  # batch × length × d_in
            if self._chosen is not None and (self._lengths is not None or keys.shape[1] == 1):
                return
            last = torch.full((len(keys),), keys.shape[1]) if self._lengths is None else self._lengths
            features = keys[torch.arange(len(keys)), last.to(keys.device) - 1].detach().float().cpu().numpy()
            index, overlap = best_match(self.site.hash.masks(features), self._masks, self.site.hash.active)
            self._chosen = torch.from_numpy(np.where(overlap > self._tau[index], index, -1)).to(keys.device)

        return hook

    def _write(self) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            if self._chosen is None or not bool((self._chosen >= 0).any()):
                return output
            rows = (self._chosen >= 0).nonzero()[:, 0]
            added = spoken(inputs[0][rows], self._chosen[rows], self._columns, self._b, self._u)
            changed = output.clone()
            changed[rows] += added.to(output.dtype)
            return changed

        return hook


def spoken(keys: Tensor, edits: Tensor, columns: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """``U_j B_j (m_j ⊙ a)``: rows × length × d_out, for inputs ``a`` (rows × length × d_in) and edits ``j``."""
    masked = keys.gather(2, columns[edits][:, None, :].expand(-1, keys.shape[1], -1))  # rows × length × active
    return torch.einsum("nta,nra,ndr->ntd", masked.float(), b[edits], u[edits])


def factors_of(records: Sequence[Record]) -> tuple[Tensor, Tensor]:
    """The factors of records, filled up to one rank: ``B`` N × rank × active, ``U`` N × d_out × rank."""
    rank = max(each.tensors["b"].shape[0] for each in records)
    b = torch.stack([_padded(each.tensors["b"], 0, rank) for each in records])
    return b, torch.stack([_padded(each.tensors["u"], 1, rank) for each in records])


def _padded(values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], axis: int, size: int) -> Tensor:
    """A factor as float32 with zeros up to ``size`` along ``axis``."""
    lacking = [(0, size - values.shape[i] if i == axis else 0) for i in range(values.ndim)]
    return torch.from_numpy(np.pad(np.asarray(values, dtype=np.float32), lacking))
