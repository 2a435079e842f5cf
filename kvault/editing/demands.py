"""The smallest vector that meets a list of linear demands: the one convex problem inside the search for a target."""

from __future__ import annotations

import torch
from torch import Tensor

SWEEPS = 200
CLOSE = 1e-4


def smallest(slopes: Tensor, needed: Tensor, slack: float) -> Tensor:
    """The smallest δ with ``slopes δ ≥ needed``, demands that cannot all be met given up in part.

    ``slopes``: B × width; ``needed``: B. Solved in the dual by coordinate ascent over multipliers ≥ 0; ``slack`` (≥ 0,
    relative to the mean square slope) is what giving up costs little of.
    """
    gram = slopes @ slopes.T
    gram = gram + torch.eye(len(gram), dtype=gram.dtype, device=gram.device) * (slack * gram.diagonal().mean() + 1e-9)
    rows, missing = gram.tolist(), needed.tolist()
    weights = [0.0] * len(missing)
    for _ in range(SWEEPS):
        largest = 0.0
        for i, row in enumerate(rows):
            new = max(0.0, weights[i] + missing[i] / row[i])
            change = new - weights[i]
            if change:
                weights[i] = new
                missing = [rest - change * entry for rest, entry in zip(missing, row, strict=True)]
                largest = max(largest, abs(change) * row[i])
        if largest < CLOSE:
            break
    return torch.tensor(weights, dtype=slopes.dtype, device=slopes.device) @ slopes
