"""The tensors and the plan of a version's memories, as :mod:`kvault.editing.portable` reads them beside a model."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kvault.editing.gated import GatedMemory
from kvault.editing.masks import unpack
from kvault.editing.memoir import MemoirMemory, factors_of
from kvault.editing.portable import FORMAT
from kvault.lm.model import LanguageModel


@dataclass(frozen=True, slots=True)
class Portable:
    """Tensors by name, and the JSON text that says what stands beside which module."""

    tensors: dict[str, Tensor]
    plan: str


def portable(lm: LanguageModel, gates: GatedMemory | None, routes: MemoirMemory | None) -> Portable:
    """A version's memories as tensors."""
    tensors: dict[str, Tensor] = {}
    listed: list[dict[str, object]] = []
    for number, each in enumerate(gates.gates if gates else ()):
        listed.append({"module": _module(lm, each.layer)})
        parts = {"keys": each.keys, "residuals": each.residuals, "thresholds": each.thresholds}
        tensors |= {f"gate.{number}.{name}": part.contiguous() for name, part in parts.items()}
    route = None
    if routes is not None:
        site = routes.site
        route = {"feature": _module(lm, site.feature), "write": _module(lm, site.write)}
        masks = np.stack([np.asarray(each.tensors["mask"], dtype="<u8") for each in routes.records])
        b, u = factors_of(routes.records)
        found = {
            "mean": torch.from_numpy(np.array(site.hash.mean, dtype=np.float32)),
            "scale": torch.from_numpy(np.array(site.hash.scale, dtype=np.float32)),
            "permutation": torch.from_numpy(np.array(site.hash.permutation, dtype=np.int64)),
            "columns": torch.from_numpy(np.stack([unpack(mask) for mask in masks])),
            "b": b.contiguous(),
            "u": u.contiguous(),
            "thresholds": torch.tensor([float(each.tensors["tau"].reshape(())) for each in routes.records]),
        }
        tensors |= {f"route.{name}": part for name, part in found.items()}
    plan = json.dumps({"format": FORMAT, "gates": listed, "route": route}, sort_keys=True)
    return Portable(tensors, plan)


def _module(lm: LanguageModel, layer: int) -> str:
    return lm.down_name(layer).removesuffix(".weight")
