"""A version's change of the weights as one low-rank adapter: ``W0 + B A`` at every edited layer, one rank for all.

The change is exact in as many columns as there are records; a cap on the rank keeps the largest singular values and
says how much of the change's energy is lost. This module must not know adapters' files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvault.editing.ridge import Solution, State
from kvault.errors import InvalidInput

Float32 = npt.NDArray[np.float32]
_NOTHING = 1e-9
"""Singular values below this share of a layer's largest are rounding."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """One layer: ``b`` d_out × r, ``a`` r × d_in, and the share of the change's energy (‖·‖²) that they leave out."""

    b: Float32
    a: Float32
    lost: float


@dataclass(frozen=True, slots=True)
class Adapter:
    """The layers of an adapter, all of ``rank``; layers that need less are filled up with zeros."""

    rank: int
    layers: Mapping[int, LowRank]


def adapter(state: State, cap: int | None = None) -> Adapter:
    """The adapter of a state, of rank ``cap`` at most. Raises InvalidInput where the state changes nothing."""
    if cap is not None and cap < 1:
        raise InvalidInput("a rank is at least 1", field="rank", remedy="Give a higher cap.")
    split = {layer: _singular(solution) for layer, solution in state.solutions.items()}
    needed = max((int((s > _NOTHING * s[0]).sum()) for _, s, _ in split.values() if len(s) and s[0] > 0), default=0)
    if needed == 0:
        raise InvalidInput("this version changes no weight", field="format", remedy="Use the base model as it is.")
    rank = min(needed, cap or needed)
    return Adapter(rank, {layer: _cut(*parts, rank) for layer, parts in split.items()})


def _singular(
    solution: Solution,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """``U s Vᵀ`` of a layer's change, by its thin factors where those are thinner than the matrix."""
    if solution.Y.shape[1] >= min(solution.change.shape):
        u, s, vt = np.linalg.svd(solution.change, full_matrices=False)
        return u, s, vt
    left, upper = np.linalg.qr(solution.Y)
    right, lower = np.linalg.qr(solution.X)
    u, s, vt = np.linalg.svd(upper @ lower.T)
    return left @ u, s, vt @ right.T


def _cut(u: npt.NDArray[np.float64], s: npt.NDArray[np.float64], vt: npt.NDArray[np.float64], rank: int) -> LowRank:
    root = np.zeros(rank)
    kept = min(rank, len(s))
    root[:kept] = np.sqrt(s[:kept])
    b, a = np.zeros((u.shape[0], rank)), np.zeros((rank, vt.shape[1]))
    b[:, :kept], a[:kept] = u[:, :kept], vt[:kept]
    energy = float((s**2).sum())
    lost = float((s[kept:] ** 2).sum()) / energy if energy else 0.0
    return LowRank((b * root).astype(np.float32), (a * root[:, None]).astype(np.float32), lost)
