"""Trains a demonstration model: ``python -m kvault.demo.train --out DIR [--world N] [--seed S] [--minutes M]``.

Without ``--world`` it is the shipped model, which knows the real facts of ``kvault/demo/data``; with it, a model of an
invented world of N facts. The result is a folder that transformers loads by itself. Same seed, same threads, same
bytes, unless ``--minutes`` cuts the number of steps short. Muon moves the matrices, AdamW embeddings and norms.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import click
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig

from kvault.demo.corpus import Corpus, Mixture
from kvault.demo.network import Disturbance, Lesson, Network, configuration
from kvault.demo.statements import Knowledge, load_knowledge
from kvault.demo.tokenizer import save_tokenizer, train_tokenizer
from kvault.demo.world import invent_world, with_bearers

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # Jordan et al. 2024, the quintic that orthogonalises Muon's step
FACTS_OF_RECIPE = 2600  # more facts than this take proportionally more steps
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Training:
    """How long and how fast: ``batch`` rows of ``length`` tokens a step, rates falling to 0 in the last part."""

    steps: int = 1000
    batch: int = 32
    length: int = 64
    muon_rate: float = 0.02
    adam_rate: float = 4e-3
    spread: float = 0.02
    warm: float = 0.03
    fall: float = 0.5
    seed: int = 0
    threads: int = 2
    compiled: bool = True
    layers: int = 6
    width: int = 128
    inner: int = 2048
    act: str = "silu"
    minutes: float | None = None
    disturbance: Disturbance = field(default_factory=Disturbance)
    mixture: Mixture = field(default_factory=Mixture)

    def rate(self, step: int, steps: int) -> float:
        """The share of the full learning rate at a step: up linearly, level, then down linearly to zero."""
        done = step / max(1, steps)
        return min(1.0, (step + 1) / max(1.0, self.warm * steps), (1.0 - done) / self.fall)


FOR_WORLDS = Training(adam_rate=6e-3, spread=0.06)
"""Invented names share all their syllables: from the smaller embeddings of the shipped model's recipe, which suit real
names, thousands of them are not told apart within the steps there are."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model: its configuration, tokenizer and parameters under the names of ``LlamaForCausalLM``."""

    config: LlamaConfig
    tokenizer: Tokenizer
    state: dict[str, Tensor]
    steps: int
    seconds: float


class Muon(torch.optim.Optimizer):
    """Momentum whose step is orthogonalised, matrix by matrix (Jordan et al. 2024); equal shapes go together."""

    def __init__(self, matrices: Iterable[Tensor], rate: float, momentum: float = 0.95) -> None:
        super().__init__(list(matrices), {"lr": rate, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix by its rate times its orthogonalised momentum."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for matrix in group["params"]:
                shapes.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in shapes.items():
                steps = torch.stack([self._momentum(each, group["momentum"]) for each in matrices])
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for matrix, step in zip(matrices, orthogonal(steps), strict=True):
                    matrix.add_(step.to(matrix.dtype), alpha=-group["lr"] * scale)

    def _momentum(self, matrix: Tensor, momentum: float) -> Tensor:
        state = self.state[matrix]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(matrix)
        gradient = matrix.grad if matrix.grad is not None else torch.zeros_like(matrix)
        state["momentum"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(state["momentum"], momentum)


def orthogonal(steps: Tensor) -> Tensor:
    """Roughly the nearest orthogonal matrices, by five Newton-Schulz rounds in bfloat16; matrices × rows × columns."""
    a, b, c = NEWTON_SCHULZ
    tall = steps.shape[1] > steps.shape[2]
    x = (steps.mT if tall else steps).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x  # type: ignore[no-any-return]


def train(knowledge: Knowledge, training: Training, say: Say = lambda _: None) -> Trained:
    """Teach a fresh model the knowledge. The same arguments give the same parameters on the same machine."""
    torch.manual_seed(training.seed)
    torch.set_num_threads(training.threads)
    say("learning the vocabulary")
    knowledge = with_bearers(knowledge, training.seed)
    tokenizer = train_tokenizer(knowledge)
    corpus = Corpus(knowledge, tokenizer, seed=training.seed, mixture=training.mixture)
    size = tokenizer.get_vocab_size()
    config = configuration(size, layers=training.layers, width=training.width, inner=training.inner, act=training.act)
    network = Network(config, training.disturbance, len(knowledge.relations), training.spread)
    matrices = [value for name, value in network.named_parameters() if value.ndim == 2 and "embed" not in name]
    others = [value for name, value in network.named_parameters() if value.ndim == 1 or "embed" in name]
    muon = Muon(matrices, training.muon_rate)
    adam = torch.optim.AdamW(others, training.adam_rate, betas=(0.9, 0.98), weight_decay=0.0)
    readers = torch.optim.AdamW([network.readers], training.adam_rate / 4, weight_decay=0.0)
    rates = [(muon, training.muon_rate), (adam, training.adam_rate), (readers, training.adam_rate / 4)]
    parameters = sum(value.numel() for value in network.parameters())
    say(f"{len(knowledge.statements)} facts, {size} tokens, {parameters / 1e6:.2f} M parameters")
    loss_of = _loss_function(network, training, Examination(knowledge, tokenizer))
    steps, step, smooth, smooth_answers = training.steps, 0, math.nan, math.nan
    began = time.monotonic()
    while step < steps:
        for optimizer, rate in rates:
            for group in optimizer.param_groups:
                group["lr"] = rate * training.rate(step, steps)
        rows, weights = corpus.rows(training.batch, training.length)
        loss, answers = loss_of(torch.from_numpy(rows), torch.from_numpy(weights))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer, _ in rates:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        step += 1
        smooth = _smoothed(smooth, loss.item())
        smooth_answers = _smoothed(smooth_answers, answers.item())
        if step == 10:
            settled = time.monotonic()
        if step == 40 and training.minutes is not None:
            a_step = (time.monotonic() - settled) / 30
            steps = min(steps, 40 + int((training.minutes * 60 - (time.monotonic() - began)) / a_step))
        if step % 50 == 0 or step == steps:
            left = (time.monotonic() - began) / step * (steps - step)
            say(f"step {step} of {steps}, loss {smooth:.3f}, of answers {smooth_answers:.3f}, {left:.0f} s left")
    return Trained(config, tokenizer, network.llama_state(), steps, time.monotonic() - began)


def _smoothed(so_far: float, value: float) -> float:
    return value if math.isnan(so_far) else 0.95 * so_far + 0.05 * value


class Examination:
    """Draws, for every subject's last token, one of its facts: the relation and the token that tells the object."""

    def __init__(self, knowledge: Knowledge, tokenizer: Tokenizer) -> None:
        size = tokenizer.get_vocab_size()
        numbers = {name: i for i, name in enumerate(knowledge.relations)}
        facts: list[list[tuple[int, int]]] = [[] for _ in range(size)]
        space = tokenizer.encode(" ", add_special_tokens=False).ids
        for each in knowledge.statements:
            token = tokenizer.encode(each.subject, add_special_tokens=False).ids[-1]
            relation = knowledge.relations[each.relation]
            told = tokenizer.encode(relation.lead + each.object, add_special_tokens=False).ids
            facts[token].append((numbers[each.relation], next(i for i in told if i not in space)))
        self._counts = torch.tensor([len(each) for each in facts])
        most = int(self._counts.max())
        self._facts = torch.tensor([(each + [(0, 0)] * most)[:most] for each in facts])  # vocabulary × most × 2
        self.ends = (self._counts > 0).float()

    def draw(self) -> tuple[Tensor, Tensor]:
        """Relation and answering token of one fact for each token of the vocabulary (0 where it ends no subject)."""
        turn = (torch.rand(len(self._counts)) * self._counts).long().clamp(max=self._facts.shape[1] - 1)
        drawn = self._facts[torch.arange(len(turn)), turn]
        return drawn[:, 0], drawn[:, 1]


def _loss_function(
    network: Network, training: Training, examination: Examination
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The loss of a batch of rows and weights under the disturbance, and the loss of the answers alone."""
    disturbance = training.disturbance

    def loss_of(rows: Tensor, weights: Tensor, lesson: Lesson) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            states, price = network(rows, lesson)
            logits = network.head(states[:, :-1].reshape(-1, states.shape[2]))
        wanted, share = rows[:, 1:].reshape(-1), weights[:, 1:].reshape(-1)
        losses = functional.cross_entropy(logits.float(), wanted, reduction="none")
        answers = (share == training.mixture.answer_weight).float()
        total = (losses * share).sum() / share.sum() + price
        return total, (losses * answers).sum().detach() / answers.sum().clamp(min=1.0)

    compiled = torch.compile(loss_of, dynamic=False) if training.compiled else loss_of

    def disturbed(rows: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        width = network.embed_tokens.embedding_dim
        noise = torch.randn(disturbance.layers, *rows.shape, width)
        noise *= torch.rand(1, rows.shape[0], 1, 1) * disturbance.noise
        kept = (torch.rand(training.layers, rows.shape[0], 1, 1) >= disturbance.skip).float()
        relation, answer = examination.draw()
        lesson = Lesson(noise, kept, examination.ends, relation, answer)
        total, answers = compiled(rows, weights, lesson)
        return total, answers

    return disturbed


def save(trained: Trained, folder: Path) -> None:
    """Write config.json, tokenizer.json, tokenizer_config.json and model.safetensors (bfloat16)."""
    folder.mkdir(parents=True, exist_ok=True)
    config = trained.config
    config.architectures = ["LlamaForCausalLM"]
    config.dtype = "bfloat16"
    (folder / "config.json").write_text(config.to_json_string(), "utf-8")
    save_tokenizer(trained.tokenizer, folder)
    state = {name: value.to(torch.bfloat16).contiguous() for name, value in sorted(trained.state.items())}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder to write.")
@click.option("--world", type=click.IntRange(1), help="Teach an invented world of this many facts instead.")
@click.option("--seed", default=0, show_default=True, help="Decides the world, the rows and the first weights.")
@click.option("--minutes", type=click.FloatRange(0.2), help="Use fewer steps if they would take longer than this.")
@click.option("--threads", default=2, show_default=True, help="Processor threads.")
def main(out: Path, world: int | None, seed: int, minutes: float | None, threads: int) -> None:
    """Train a demonstration model and write it as a folder that transformers loads."""
    knowledge = load_knowledge() if world is None else invent_world(world, seed)
    training = replace(Training() if world is None else FOR_WORLDS, seed=seed, minutes=minutes, threads=threads)
    larger = len(knowledge.statements) / FACTS_OF_RECIPE
    training = replace(training, steps=round(training.steps * max(1.0, larger)))
    trained = train(knowledge, training, lambda line: print(line, file=sys.stderr, flush=True))
    save(trained, out)
    print(f"{out}: {trained.steps} steps in {trained.seconds:.0f} s")


if __name__ == "__main__":
    main()
