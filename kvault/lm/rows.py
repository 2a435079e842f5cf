"""Many versions in one batch: each row carries its own version's factors over one set of weights.

Versions of a history differ by sums of thin factors that they share. So the factors are applied once to all rows, and
a row takes of each the share that its version holds: ``W a + L (s_i ⊙ Rᵀ a)``. This module must not know where factors
come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from kvault.errors import InvalidInput
from kvault.lm.version import Removable

if TYPE_CHECKING:
    from kvault.lm.model import LanguageModel

KIND = "rows"


@dataclass(frozen=True, slots=True)
class Factors:
    """Thin factors of one layer: ``left`` d_out × r, ``right`` d_in × r; ``owner`` (r) names whose a column is."""

    left: Tensor
    right: Tensor
    owner: Tensor


class RowDeltas:
    """What tells the rows of one batch apart in the weights, as a :class:`kvault.lm.version.Memory`.

    ``shares`` is rows × owners: how often a row takes an owner's columns (1, 0, or −1 to take them back).
    """

    kind = KIND

    def __init__(self, factors: Mapping[int, Factors], shares: Tensor) -> None:
        for layer, each in factors.items():
            if each.left.shape[1] != each.right.shape[1] or len(each.owner) != each.left.shape[1]:
                raise InvalidInput("two factors have different ranks", layer=layer, remedy="Give one delta's factors.")
        self._factors = dict(sorted(factors.items()))
        self._shares = shares.float()
        self._rows: Tensor | None = None

    def install(self, lm: LanguageModel) -> Sequence[Removable]:
        """Put the factors beside their down-projections."""
        handles: list[Removable] = []
        for layer, each in self._factors.items():
            if each.left.shape[1]:
                taken = self._shares[:, each.owner].to(lm.device)  # rows × r
                left, right = each.left.float().to(lm.device), each.right.float().to(lm.device)
                handles.append(lm.down_module(layer).register_forward_hook(self._hook(left.T, right, taken)))
        return handles

    def begin(self, lengths: Tensor) -> None:
        """A new batch, whose rows are in order from the first."""
        if len(lengths) != len(self._shares):
            raise InvalidInput(
                f"a batch of {len(lengths)} rows for {len(self._shares)} versions", remedy="Ask one row a version."
            )
        self._rows = None

    def keep(self, rows: Tensor) -> None:
        """Decoding goes on with these rows only."""
        self._rows = rows if self._rows is None else self._rows[rows]

    def _hook(
        self, left: Tensor, right: Tensor, taken: Tensor
    ) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            mine = taken if self._rows is None else taken[self._rows]
            read = inputs[0].float() @ right  # batch × length × r
            return output + ((read * mine[:, None]) @ left).to(output.dtype)

        return hook


def joined(parts: Sequence[Mapping[int, tuple[Tensor, Tensor]]]) -> dict[int, Factors]:
    """The factors of several owners beside each other; part ``i`` is owner ``i``."""
    layers = sorted({layer for part in parts for layer in part})
    found: dict[int, Factors] = {}
    for layer in layers:
        held = [(owner, *part[layer]) for owner, part in enumerate(parts) if layer in part]
        owners = [torch.full((left.shape[1],), owner) for owner, left, _ in held]
        found[layer] = Factors(
            torch.cat([left for _, left, _ in held], 1), torch.cat([right for *_, right in held], 1), torch.cat(owners)
        )
    return found
