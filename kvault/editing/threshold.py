"""Where a record opens: the cut between its own phrasings and everything near it that is not its own.

Gates (cosines of keys) and routes (overlaps of masks) ask the same question of two lists of similarities. The answer
must depend on one record alone, so that a version stays a set. This module must not know models or text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kvault.errors import InvalidInput

Similarities = npt.NDArray[np.float32]
PLACES = 4


@dataclass(frozen=True, slots=True)
class Cut:
    """A threshold with what it costs: the shares of own similarities above it and of others' at or below it."""

    value: float
    own_above: float
    others_below: float

    @property
    def clean(self) -> bool:
        """Whether the threshold parts the two lists without an error."""
        return self.own_above == 1.0 and self.others_below == 1.0


def cut_between(own: Similarities, others: Similarities, *, share: float, least: float, nearest: int) -> Cut:
    """The threshold that lets ``own`` through and keeps ``others`` out.

    Where the lists do not overlap it lies at ``share`` (0 to 1) of the way from the highest of ``others`` to the lowest
    of ``own``, and never under ``least``. Where they do, it is the cut with the best balanced accuracy over ``own`` and
    the ``nearest`` highest of ``others``; of equal cuts the highest, since a gate that stays shut does no harm to
    others. Rounded to four places, so that last bits of arithmetic do not decide. Raises InvalidInput for an empty
    ``own``.
    """
    if own.size == 0:
        raise InvalidInput("a record has no similarity of its own", field="own", remedy="Give it one phrasing.")
    rivals = np.sort(others.astype(np.float64))[::-1][:nearest]
    mine = own.astype(np.float64)
    lowest = float(mine.min())
    highest = float(rivals[0]) if rivals.size else least
    floor = max(highest, least)
    value = floor + share * (lowest - floor) if lowest > floor else _best_cut(mine, rivals, least)
    value = round(value, PLACES)
    above = float((mine > value).mean())
    below = float((others.astype(np.float64) <= value).mean()) if others.size else 1.0
    return Cut(value, above, below)


def _best_cut(own: npt.NDArray[np.float64], rivals: npt.NDArray[np.float64], least: float) -> float:
    """The cut with the best balanced accuracy among the midpoints of neighbouring similarities, ``least`` or more."""
    points = np.unique(np.concatenate([own, rivals]))
    cuts = np.concatenate([[points[0] - 1e-3], (points[:-1] + points[1:]) / 2])
    cuts = np.unique(np.maximum(cuts, least))
    kept = (own[None, :] > cuts[:, None]).mean(1)
    shut = (rivals[None, :] <= cuts[:, None]).mean(1) if rivals.size else np.ones(len(cuts))
    best = (kept + shut).round(9)
    return float(cuts[np.flatnonzero(best == best.max())[-1]])
