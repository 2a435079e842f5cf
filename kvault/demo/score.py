"""How well a demonstration model knows what it was taught: ``python -m kvault.demo.score [--model DIR] [--json]``.

Prints greedy exact match on taught and on never-taught phrasings, by relation; perplexity of fact text and of ordinary
text that was kept back; and how near the subjects' keys lie to one another at each layer. Answers are generated token
by token until the sentence stops; nothing is scored by feeding the answer in.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import torch
from torch import Tensor
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerBase

from kvault.demo.statements import Knowledge, load_knowledge, split_ordinary
from kvault.demo.world import invent_world

MODEL = Path(__file__).parent / "model"
LONGEST = 12  # tokens of an answer
STOPS = (".", "。")


@dataclass(frozen=True, slots=True)
class Question:
    """One prompt, which phrasing it is, and the answers that count as right."""

    relation: str
    seen: bool
    prompt: str
    subject: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Crowding:
    """Cosines between different subjects' keys at one layer: each subject's nearest, averaged, and the largest."""

    layer: int
    mean_nearest: float
    largest: float


@dataclass(frozen=True, slots=True)
class Score:
    """Shares of right answers (0 to 1), perplexities, and crowding by layer."""

    facts: int
    subjects: int
    seen: float
    unseen: float
    by_relation: dict[str, tuple[float, float]]
    perplexity_facts: float
    perplexity_ordinary: float
    crowding: tuple[Crowding, ...]


def questions(knowledge: Knowledge, phrasings: int = 1) -> list[Question]:
    """For every subject and relation ``phrasings`` taught and as many never-taught prompts, templates in turn."""
    asked = []
    for i, ((subject, name), answers) in enumerate(sorted(knowledge.answers().items())):
        relation = knowledge.relations[name]
        for seen, templates in ((True, relation.train), (False, relation.held_out)):
            for turn in range(min(phrasings, len(templates))):
                prompt = relation.prompt(templates[(i + turn) % len(templates)], subject)
                asked.append(Question(name, seen, prompt, subject, answers))
    return asked


class Answerer:
    """Asks a model many prompts at once: prompts of one length go together, so nothing is padded."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, batch: int = 256) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._batch = batch

    def ids(self, text: str) -> list[int]:
        """The token ids of a text, ``<bos>`` before it."""
        return list(self._tokenizer(text)["input_ids"])

    def text(self, tokens: Sequence[int]) -> str:
        """The text of generated tokens, without marks of the vocabulary's own."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True)).strip()

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """What the model says after each prompt, up to and without the mark that ends the sentence."""
        found = [""] * len(prompts)
        for rows, batch in self._buckets([self.ids(prompt) for prompt in prompts]):
            for row, text in zip(rows, self._generate(batch), strict=True):
                found[row] = text
        return found

    def _buckets(self, encoded: Sequence[Sequence[int]]) -> Iterator[tuple[list[int], Tensor]]:
        lengths: dict[int, list[int]] = defaultdict(list)
        for row, ids in enumerate(encoded):
            lengths[len(ids)].append(row)
        for rows in lengths.values():
            for start in range(0, len(rows), self._batch):
                chosen = rows[start : start + self._batch]
                yield chosen, torch.tensor([list(encoded[row]) for row in chosen])

    @torch.inference_mode()
    def _generate(self, prompts: Tensor) -> list[str]:
        """Greedy continuation of prompts × length, until every row has stopped."""
        end = self._tokenizer.eos_token_id
        output = self._model(prompts, use_cache=True)
        said: list[list[int]] = [[] for _ in range(len(prompts))]
        texts: list[str | None] = [None] * len(prompts)
        for _ in range(LONGEST):
            following = output.logits[:, -1].argmax(-1)
            for row, token in enumerate(following.tolist()):
                if texts[row] is None:
                    said[row].append(token)
                    texts[row] = self._finished(said[row], token == end)
            if all(text is not None for text in texts):
                break
            output = self._model(following[:, None], past_key_values=output.past_key_values, use_cache=True)
        return [
            text if text is not None else str(self._tokenizer.decode(ids)).strip()
            for text, ids in zip(texts, said, strict=True)
        ]

    def _finished(self, ids: list[int], ended: bool) -> str | None:
        if ended:
            return str(self._tokenizer.decode(ids[:-1])).strip()
        last = str(self._tokenizer.decode(ids[-1:])).strip()
        return str(self._tokenizer.decode(ids[:-1])).strip() if last in STOPS else None

    @torch.inference_mode()
    def perplexity(self, texts: Sequence[str]) -> float:
        """Perplexity over the tokens of the texts, each read from its ``<bos>`` on."""
        total, count = 0.0, 0
        for _, batch in self._buckets([self.ids(text)[:256] for text in texts]):
            logits = self._model(batch).logits[:, :-1].float()
            losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum")
            total, count = total + float(losses), count + batch[:, 1:].numel()
        return math.exp(total / max(1, count))

    @torch.inference_mode()
    def keys(self, prompts: Sequence[str]) -> list[Tensor]:
        """The input of each layer's down-projection at the last token of each prompt: prompts × d_ff, a layer each."""
        layers = self._model.model.layers
        kept: list[list[tuple[list[int], Tensor]]] = [[] for _ in layers]
        rows: list[int] = []
        hooks = [
            layer.mlp.down_proj.register_forward_pre_hook(
                lambda _module, inputs, index=index: kept[index].append((list(rows), inputs[0][:, -1].float()))
            )
            for index, layer in enumerate(layers)
        ]
        try:
            for chosen, batch in self._buckets([self.ids(prompt) for prompt in prompts]):
                rows[:] = chosen
                self._model.model(batch)
        finally:
            for hook in hooks:
                hook.remove()
        order = torch.tensor([row for chosen, _ in kept[0] for row in chosen])
        return [torch.cat([values for _, values in each])[order.argsort()] for each in kept]


def crowding(answerer: Answerer, knowledge: Knowledge) -> tuple[Crowding, ...]:
    """Nearness of different subjects' keys, each read at the end of its subject in its relation's own statement."""
    ends: dict[str, str] = {}
    for each in knowledge.statements:
        relation = knowledge.relations[each.relation]
        prompt = relation.prompt(relation.statement, each.subject)
        ends.setdefault(each.subject, prompt[: prompt.index(each.subject) + len(each.subject)])
    found = []
    for layer, keys in enumerate(answerer.keys(list(ends.values()))):
        unit = torch.nn.functional.normalize(keys, dim=1)
        cosines = (unit @ unit.T).fill_diagonal_(-1.0)
        nearest = cosines.max(dim=1).values
        found.append(Crowding(layer, float(nearest.mean()), float(nearest.max())))
    return tuple(found)


def score(answerer: Answerer, knowledge: Knowledge, phrasings: int = 1) -> Score:
    """All figures of a model against the knowledge it was taught."""
    asked = questions(knowledge, phrasings)
    said = answerer.answers([each.prompt for each in asked])
    right: dict[tuple[str, bool], list[bool]] = defaultdict(list)
    for question, text in zip(asked, said, strict=True):
        right[(question.relation, question.seen)].append(text in question.answers)
    facts = [
        knowledge.relations[each.relation].sentence(
            knowledge.relations[each.relation].statement, each.subject, each.object
        )
        for each in knowledge.statements
    ]
    return Score(
        facts=len(knowledge.statements),
        subjects=len(knowledge.subjects()),
        seen=_share(flag for (_, seen), flags in right.items() if seen for flag in flags),
        unseen=_share(flag for (_, seen), flags in right.items() if not seen for flag in flags),
        by_relation={
            name: (_share(right[(name, True)]), _share(right[(name, False)]))
            for name in sorted({each.relation for each in asked})
        },
        perplexity_facts=answerer.perplexity(facts),
        perplexity_ordinary=answerer.perplexity(split_ordinary(knowledge.ordinary)[1]),
        crowding=crowding(answerer, knowledge),
    )


def _share(flags: Iterator[bool] | Sequence[bool]) -> float:
    counted = list(flags)
    return sum(counted) / len(counted) if counted else math.nan


def load(folder: Path) -> Answerer:
    """The model and tokenizer of a folder, the model in float32."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return Answerer(model, AutoTokenizer.from_pretrained(folder))


def report(found: Score) -> str:
    """The figures as a readable table."""
    lines = [
        f"{found.facts} facts about {found.subjects} subjects",
        "",
        f"{'relation':<28} {'taught':>8} {'unseen':>8}",
    ]
    lines += [f"{name:<28} {seen:>8.1%} {unseen:>8.1%}" for name, (seen, unseen) in found.by_relation.items()]
    lines += [f"{'all':<28} {found.seen:>8.1%} {found.unseen:>8.1%}", ""]
    lines += [f"perplexity of fact text      {found.perplexity_facts:8.2f}"]
    lines += [f"perplexity of ordinary text  {found.perplexity_ordinary:8.2f}", ""]
    lines += [
        f"layer {each.layer}: nearest other subject's key: cosine "
        f"{each.mean_nearest:.2f} on average, {each.largest:.2f} at most"
        for each in found.crowding
    ]
    return "\n".join(lines)


@click.command()
@click.option(
    "--model", type=click.Path(exists=True, file_okay=False, path_type=Path), default=MODEL, show_default=False
)
@click.option("--world", type=click.IntRange(1), help="Score a model of an invented world of this many facts.")
@click.option("--seed", default=0, show_default=True, help="The seed of that world.")
@click.option("--phrasings", default=1, show_default=True, help="Taught and unseen phrasings asked for every fact.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def main(model: Path, world: int | None, seed: int, phrasings: int, as_json: bool) -> None:
    """Print how well a demonstration model knows what it was taught."""
    knowledge = load_knowledge() if world is None else invent_world(world, seed)
    found = score(load(model), knowledge, phrasings)
    print(json.dumps(asdict(found), indent=2) if as_json else report(found))


if __name__ == "__main__":
    main()
