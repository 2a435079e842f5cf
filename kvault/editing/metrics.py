"""What it costs to move a matrix in each input direction: the one thing in which ridge editors differ.

Every editor here solves ``min ‖W K − V‖² + ‖(W − W0) M^½‖²`` (editing after Meng et al. 2023, Fang et al. 2025). Its
metric ``M`` shares the directions of the input's second moment ``C``, so it is given by one function of the energies:
how *cheap* a direction is, ``f(s) = 1 / M`` up to scale, 0 where a direction may not be used at all. The scale comes
from the recipe's ``price``: the median calibration key pays exactly that.

Third parties add an editor by an entry point in the group ``kvault.editors`` that names an :class:`Editor`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

import numpy as np
import numpy.typing as npt

from kvault.editing.exact import Float64, exact_matmul
from kvault.editing.recipe import Recipe, RecipeInvalid
from kvault.editing.statistics import Spectrum
from kvault.errors import NotFound

GROUP = "kvault.editors"
_FLOOR = 1e-3
"""Share of the mean energy below which no direction counts as emptier: it would be free to use."""

Cheapness = Callable[[Float64, Float64, Recipe], Float64]
"""From energies relative to their mean (descending), the rank of each as a share of ``d_in`` (0 is the most energetic)
and the recipe, how cheap each direction is."""


class UnknownEditor(NotFound):
    """No editor has this name."""

    code = "unknown-editor"


@dataclass(frozen=True, slots=True)
class Editor:
    """A ridge editor: its name, one line about it, and how cheap each direction is."""

    name: str
    summary: str
    cheapness: Cheapness


def _memit(energies: Float64, _ranks: Float64, _recipe: Recipe) -> Float64:
    # Meng et al. 2023, eq. 14: M = λ C.
    return np.asarray(1.0 / np.maximum(energies, _FLOOR), dtype=np.float64)


def _alphaedit(_energies: Float64, ranks: Float64, recipe: Recipe) -> Float64:
    # Fang et al. 2025, eq. 14: M = ρ I on the null space, infinite outside it.
    return np.where(_usable(ranks, recipe), 1.0, 0.0)


def _betaedit(energies: Float64, ranks: Float64, recipe: Recipe) -> Float64:
    # M = U (λ C + ρ I) Uᵀ on the null space U: it is nearly empty, and what it holds is paid for.
    usable = _usable(ranks, recipe)
    mean = math.fsum(energies[usable].tolist()) / max(1, int(usable.sum()))
    held = 1.0 / (1.0 + recipe.number("energy") * np.maximum(energies, 0.0) / max(mean, 1e-12))
    return np.where(usable, held, 0.0)


def _usable(ranks: Float64, recipe: Recipe) -> npt.NDArray[np.bool_]:
    """Which directions edits may use: the share ``directions`` of all, those of least energy."""
    return np.asarray(ranks >= 1.0 - recipe.number("directions") - 1e-9, dtype=np.bool_)


MEMIT = Editor("memit", "moving a direction costs its energy in ordinary text", _memit)
ALPHAEDIT = Editor("alphaedit", "only directions that ordinary text hardly uses, all at one price", _alphaedit)
BETAEDIT = Editor(
    "betaedit", "only directions that ordinary text hardly uses, priced by the energy they hold", _betaedit
)


def editor(name: str) -> Editor:
    """The ridge editor of a name, from the entry points. Raises :class:`UnknownEditor` naming those there are."""
    known = {each.name: each for each in (MEMIT, ALPHAEDIT, BETAEDIT)}
    if name in known:
        return known[name]
    points = entry_points(group=GROUP)
    for point in points:
        if point.name == name and isinstance(found := point.load(), Editor):
            return found
    names = sorted({*known, *(point.name for point in points)})
    raise UnknownEditor(f"no ridge editor is called {name!r}", remedy=f"There are: {', '.join(names)}.")


@dataclass(frozen=True, slots=True)
class Metric:
    """``M^(−½) = base I + U diag(extra) Uᵀ`` for one layer (d_in × d_in, never formed)."""

    directions: npt.NDArray[np.float32]
    extra: Float64
    base: float

    def whiten(self, K: npt.ArrayLike) -> Float64:
        """``E = M^(−½) K`` (d_in × N), reproducibly; each column depends on its own key alone."""
        keys = np.asarray(K, dtype=np.float64)
        inside = exact_matmul(self.directions.T, keys, slices=2) * self.extra[:, None]
        out = exact_matmul(self.directions, inside, slices=2)
        if self.base:
            np.add(out, keys * self.base, out=out)
        return out


def metric(recipe: Recipe, spectrum: Spectrum) -> Metric:
    """The metric of a recipe on one layer, scaled so that the median calibration key has ``kᵀ M⁻¹ k = 1 / price``."""
    price = recipe.number("price")
    if not price > 0:
        raise RecipeInvalid("the price must be positive", field="price", remedy="Write a number such as 0.05.")
    width, kept = spectrum.directions.shape
    energies = spectrum.energies.astype(np.float64)
    mean = (math.fsum(energies.tolist()) + spectrum.tail * (width - kept)) / width
    ranks = np.arange(kept + 1, dtype=np.float64) / width
    relative = np.append(energies, spectrum.tail) / mean
    roots = np.sqrt(editor(recipe.editor).cheapness(relative, ranks, recipe))
    if not np.isfinite(roots).all() or not roots.any():
        remedy = f"Allow a share above {1 - kept / width:.3f}."
        raise RecipeInvalid("no direction may be used", field="directions", remedy=remedy)
    base = float(roots[kept]) if kept < width else 0.0
    plain = Metric(spectrum.directions, roots[:kept] - base, base)
    gains = np.square(plain.whiten(spectrum.calibration)).sum(axis=0)
    scale = float(np.sqrt(1.0 / (price * float(np.median(gains)))))
    return Metric(spectrum.directions, plain.extra * scale, base * scale)
