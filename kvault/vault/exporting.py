"""Writing a version as a checkpoint that ``AutoModelForCausalLM.from_pretrained`` opens.

The version's matrices take the base's place; everything else is the base's own. One cast at the end, its error stated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from kvault.errors import Conflict, Unsupported
from kvault.lm.model import LanguageModel
from kvault.lm.version import Version

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


class MemoryCannotBeExported(Unsupported):
    """The version holds memories, which plain weights cannot carry."""

    code = "memory-export"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was written; ``cast_error`` is the largest difference of any element to float32."""

    files: tuple[str, ...]
    bytes: int
    cast_error: float


def write_checkpoint(lm: LanguageModel, version: Version, folder: Path, dtype: str, card: str) -> Checkpoint:
    """Write ``version`` of ``lm`` to ``folder``, which must be new or empty, with ``card`` as its README.

    Raises :class:`Conflict` where the folder holds anything, :class:`MemoryCannotBeExported` where weights alone are
    not the version.
    """
    if version.memories:
        raise MemoryCannotBeExported(
            "this version answers through memories beside the weights",
            remedy="Solve its gated records into the weights first: kvault consolidate.",
        )
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("the folder is not empty", folder=folder, remedy="Name a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = DTYPES[dtype]
    with lm.using(version):
        full = {name: tensor.detach().to("cpu") for name, tensor in lm.model.state_dict().items()}
        cast = {name: tensor.to(wanted) if tensor.is_floating_point() else tensor for name, tensor in full.items()}
        error = max(
            (float((full[name] - cast[name].to(full[name].dtype)).abs().max()) for name in full if full[name].numel()),
            default=0.0,
        )
        kept = lm.model.config.dtype
        lm.model.config.dtype = wanted
        try:
            lm.model.save_pretrained(folder, state_dict=cast)
        finally:
            lm.model.config.dtype = kept
    lm.tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(card, "utf-8")
    files = tuple(sorted(path.name for path in folder.iterdir()))
    return Checkpoint(files, sum((folder / name).stat().st_size for name in files), error)
