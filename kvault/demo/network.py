"""The network that is trained: a Llama, written out so that training can act on its early layers.

Parameters bear the names of a stock ``LlamaForCausalLM``, so that what is trained here is saved and loaded as one.
Some things are added while training, all so that facts can be edited later at the subject's last token:

* the feed-forward parts of the late layers are left out of a row now and then, so that facts come to be kept by the
  early layers, at the subject, and not by a late look-up at the end of the prompt;
* a linear map for each relation must find the object in the subject's state after the early layers, which keeps the
  facts of one subject apart there;
* noise on what the first layers' feed-forward parts write, so that the small disturbance one edit makes to the
  keys of others does not change their answers;
* a price on keys of one subject that differ with the words before it;
* a price on keys of different subjects that point the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaConfig
from transformers.activations import ACT2FN


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What training adds to the first ``layers`` layers.

    ``noise`` is the largest standard deviation of the noise, as a share of the hidden state's root mean square;
    ``drift`` and ``crowding`` are the prices of keys that change with context and of keys that lie near one another;
    ``sample`` subject positions of a batch are compared pair by pair. ``reading`` is the weight of finding objects in
    the state after the early layers; ``skip`` is how often a late feed-forward part is left out of a row.
    """

    layers: int = 2
    noise: float = 0.1
    drift: float = 0.1
    crowding: float = 0.1
    sample: int = 192
    reading: float = 0.3
    skip: float = 0.25


@dataclass(frozen=True, slots=True)
class Lesson:
    """What one batch disturbs: ``noise`` (early layers × batch × length × width), ``kept`` (layers × batch × 1 × 1,
    0 where a row skips a feed-forward part), and for each token of the vocabulary whether it ends a subject, a
    relation of that subject and the token that answers it (drawn anew for each batch).
    """

    noise: Tensor
    kept: Tensor
    ends: Tensor
    relation: Tensor
    answer: Tensor


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        scaled = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled


class Attention(nn.Module):
    """Causal self-attention with rotary positions, computed by plain products (the fastest on a CPU, backward too)."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        width = int(config.hidden_size)
        self.heads = int(config.num_attention_heads)
        self.q_proj = nn.Linear(width, width, bias=False)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        shape = (batch, length, self.heads, width // self.heads)
        q = _rotate(self.q_proj(x).view(shape).transpose(1, 2), cos, sin)  # batch × heads × length × head width
        k = _rotate(self.k_proj(x).view(shape).transpose(1, 2), cos, sin)
        v = self.v_proj(x).view(shape).transpose(1, 2)
        scores = (q @ k.transpose(2, 3)) * shape[3] ** -0.5 + mask
        mixed = scores.float().softmax(-1).to(v.dtype) @ v
        written: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(batch, length, width))
        return written


class FeedForward(nn.Module):
    """The gated feed-forward part whose down-projection edits change."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
        self.act = ACT2FN[config.hidden_act]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is written to the residual stream, and the keys, batch × length × inner width."""
        keys = self.act(self.gate_proj(x)) * self.up_proj(x)
        return self.down_proj(keys), keys


class Layer(nn.Module):
    """One layer: attention and feed-forward, each behind its norm."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = FeedForward(config)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)


class Network(nn.Module):
    """The whole model; ``forward`` gives the logits' inputs and the keys' price, ``head`` the logits."""

    def __init__(self, config: LlamaConfig, disturbance: Disturbance, relations: int = 1, spread: float = 0.02) -> None:
        """``spread``: the standard deviation of fresh embeddings; that of other matrices is 0.02."""
        super().__init__()
        self.readers = nn.Parameter(torch.eye(config.hidden_size).repeat(relations, 1, 1))
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.disturbance = disturbance
        self.head_width = config.hidden_size // config.num_attention_heads
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=spread if "embed" in name else 0.02)

    def forward(self, tokens: Tensor, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """The last hidden states, batch × length × width, and what the lesson adds to the loss."""
        cos, sin, mask = _positions(tokens.shape[1], self.head_width, tokens.device)
        x = self.embed_tokens(tokens)
        named = lesson.ends[tokens].flatten()  # tokens: batch × length
        chosen = named.topk(self.disturbance.sample).indices
        who = torch.where(named[chosen] > 0, tokens.flatten()[chosen], -1)
        price = x.new_zeros(())
        for index, layer in enumerate(self.layers):
            x = x + layer.self_attn(layer.input_layernorm(x), cos, sin, mask)  # type: ignore[operator]
            written, keys = layer.mlp(layer.post_attention_layernorm(x))  # type: ignore[operator]
            if index < self.disturbance.layers:
                size = (x + written).detach().float().pow(2).mean(-1, keepdim=True).sqrt()
                written = written + lesson.noise[index] * size
                price = price + self._price(keys.flatten(0, 1)[chosen], who)
            else:
                written = written * lesson.kept[index]
            x = x + written
            if index == self.disturbance.layers - 1:
                price = price + self._reading(x.flatten(0, 1)[chosen], who, lesson)
        return self.norm(x), price

    @torch.no_grad()
    def plain(self, tokens: Tensor) -> Tensor:
        """Logits without any disturbance, batch × length × vocabulary: what the saved model gives."""
        cos, sin, mask = _positions(tokens.shape[1], self.head_width, tokens.device)
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = x + layer.self_attn(layer.input_layernorm(x), cos, sin, mask)  # type: ignore[operator]
            x = x + layer.mlp(layer.post_attention_layernorm(x))[0]  # type: ignore[operator]
        return self.head(self.norm(x))

    def _reading(self, states: Tensor, who: Tensor, lesson: Lesson) -> Tensor:
        """How badly the objects are found in the subjects' early states (sample × width)."""
        unit = states.float() * torch.rsqrt(states.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        subject = who.clamp(min=0)
        read = torch.einsum("nd,nde->ne", unit, self.readers[lesson.relation[subject]])
        losses = functional.cross_entropy(self.head(read).float(), lesson.answer[subject], reduction="none")
        counted = (who >= 0).float()
        return self.disturbance.reading * (losses * counted).sum() / counted.sum().clamp(min=1.0)

    def _price(self, keys: Tensor, who: Tensor) -> Tensor:
        """The price of keys (sample × inner width) that belong to the subjects ``who`` (-1 for none)."""
        unit = functional.normalize(keys.float(), dim=1)
        cosines = unit @ unit.T
        counted = (who[:, None] >= 0) & (who[None, :] >= 0)
        same = (counted & (who[:, None] == who[None, :])).float()
        other = (counted & (who[:, None] != who[None, :])).float()
        drift = ((1.0 - cosines) * same).sum() / same.sum().clamp(min=1.0)
        crowding = (cosines.square() * other).sum() / other.sum().clamp(min=1.0)
        return self.disturbance.drift * drift + self.disturbance.crowding * crowding

    def head(self, states: Tensor) -> Tensor:
        """Logits, positions × vocabulary, by the embedding matrix."""
        return functional.linear(states, self.embed_tokens.weight)

    def llama_state(self) -> dict[str, Tensor]:
        """The parameters under the names of ``LlamaForCausalLM``."""
        return {f"model.{name}": value.detach() for name, value in self.state_dict().items() if name != "readers"}


def _positions(length: int, head_width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Rotary cosines and sines, length × head width, and the causal mask, length × length."""
    rates = 10000.0 ** (-torch.arange(0, head_width, 2, device=device).float() / head_width)
    angles = torch.outer(torch.arange(length, device=device).float(), rates)
    angles = torch.cat((angles, angles), dim=-1)
    mask = torch.full((length, length), -1e4, device=device).triu(1)
    return angles.cos(), angles.sin(), mask


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return (x * cos + turned * sin).to(x.dtype)


def configuration(
    vocabulary: int, *, layers: int = 6, width: int = 128, inner: int = 2048, act: str = "silu"
) -> LlamaConfig:
    """The shape of the demonstration model as a stock Llama configuration."""
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        hidden_act=act,
        num_attention_heads=max(1, width // 32),
        num_key_value_heads=max(1, width // 32),
        max_position_embeddings=512,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
