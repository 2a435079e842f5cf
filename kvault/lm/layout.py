"""Where the parts of each model family lie: data, not code.

An architecture is a row of :data:`LAYOUTS`. Adding a family means adding a row; nothing else in kvault asks which
family a model belongs to. This module must not load models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from kvault.errors import Unsupported


class UnknownArchitecture(Unsupported):
    """The model's family has no layout."""

    code = "unknown-architecture"


@dataclass(frozen=True, slots=True)
class Layout:
    """Dotted paths inside one family's causal language model.

    ``body`` is the model without its head; ``blocks`` the list of layers; ``mlp`` and ``down`` (the down-projection,
    the matrix that edits change) are relative to a layer; ``norm`` is the final normalisation; ``words`` the token
    embeddings. ``rotary`` makes the position embeddings that layers are given, and is empty where ``places`` are added
    to the embeddings instead. ``transposed`` says that the down-projection is stored ``d_in × d_out``. ``early`` is the
    share of depth between which facts are usually edited, both ends included.
    """

    family: str
    body: str
    blocks: str
    mlp: str
    down: str
    norm: str
    head: str
    words: str
    places: str
    rotary: str
    transposed: bool
    early: tuple[Fraction, Fraction]

    def default_layers(self, count: int) -> tuple[int, ...]:
        """The layers of a model of ``count`` layers that are edited unless a recipe says otherwise."""
        first, last = (min(count - 1, int(share * count)) for share in self.early)
        return tuple(range(first, last + 1))


def _llama_like(family: str, early: tuple[Fraction, Fraction] = (Fraction(4, 32), Fraction(8, 32))) -> Layout:
    return Layout(
        family=family,
        body="model",
        blocks="model.layers",
        mlp="mlp",
        down="mlp.down_proj",
        norm="model.norm",
        head="lm_head",
        words="model.embed_tokens",
        places="",
        rotary="model.rotary_emb",
        transposed=False,
        early=early,
    )


LAYOUTS: Mapping[str, Layout] = {
    "gpt2": Layout(
        family="gpt2",
        body="transformer",
        blocks="transformer.h",
        mlp="mlp",
        down="mlp.c_proj",
        norm="transformer.ln_f",
        head="lm_head",
        words="transformer.wte",
        places="transformer.wpe",
        rotary="",
        transposed=True,
        early=(Fraction(13, 48), Fraction(17, 48)),
    ),
    "llama": _llama_like("llama"),
    "mistral": _llama_like("mistral"),
    "qwen2": _llama_like("qwen2", (Fraction(4, 28), Fraction(8, 28))),
    "qwen3": _llama_like("qwen3", (Fraction(4, 28), Fraction(8, 28))),
}
"""Layouts by the configuration's ``model_type``."""


def layout_of(model_type: str) -> Layout:
    """The layout of a family. Raises :class:`UnknownArchitecture` naming the families that have one."""
    try:
        return LAYOUTS[model_type]
    except KeyError:
        raise UnknownArchitecture(
            f"models of the family {model_type!r} cannot be edited yet",
            field="model_type",
            remedy=f"Use a model of one of these families: {', '.join(sorted(LAYOUTS))}.",
        ) from None
