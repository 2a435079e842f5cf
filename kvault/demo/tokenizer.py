"""The demonstration model's own vocabulary: byte-level BPE in which a known proper name is one token.

Editing writes at the last token of a subject. Where subjects share their last token their keys crowd, so every subject
the model is taught has a token of its own, the same with and without a space before it, and every answer has one as
well. Names that are not listed fall apart into BPE pieces as in any other vocabulary. Text is cut so that a prompt and
its object never share a token, Chinese included: tokens of a prompt are a prefix of the tokens of prompt plus object.

This module must not import torch and must not know the model.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from kvault.demo.statements import Knowledge

BOS, EOS, PAD = "<bos>", "<eos>", "<pad>"
SPECIALS = (PAD, BOS, EOS)
HAN = r"\p{Han}"
BOUNDARY = r"(?![\p{L}\p{N}])"
WORDS = (
    r"'(?:s|t|re|ve|m|ll|d)" + BOUNDARY,
    r" ?[\p{L}\p{M}&&[^\p{Han}]]+",
    HAN,
    r" ?\p{N}",
    r" ?[^\s\p{L}\p{N}]",
    r"\s",
)
NAME_LIMIT = 48  # characters; longer answers stay in pieces


def train_tokenizer(knowledge: Knowledge, pieces: int = 3072) -> Tokenizer:
    """A tokenizer of about ``pieces`` BPE tokens plus one token a subject and one an answer.

    The same knowledge gives the same tokenizer. It puts ``<bos>`` before a text by default and nothing after it.
    """
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = _cut("|".join(WORDS))
    trainer = trainers.BpeTrainer(
        vocab_size=pieces,
        min_frequency=2,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learned.train_from_iterator(_texts(knowledge), trainer)
    document: dict[str, Any] = json.loads(learned.to_str())
    vocabulary: dict[str, int] = document["model"]["vocab"]
    subjects = knowledge.subjects()
    answers = _answers(knowledge, set(subjects))
    spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for name in [*subjects, *(lead + each for each, lead in answers.items())]:
        token = "".join(part for part, _ in spelled.pre_tokenize_str(name))
        vocabulary.setdefault(token, len(vocabulary))
    merges = [tuple(pair) for pair in document["model"]["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    tokenizer.pre_tokenizer = _cut(_pattern(subjects, answers))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, vocabulary[BOS])]
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` in the form that transformers loads without any code."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": PAD,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "padding_side": "left",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def _cut(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _pattern(subjects: list[str], answers: dict[str, str]) -> str:
    """The cutting rule: subjects without their space, then answers with theirs, then ordinary words."""
    alone = _choice(subjects)
    spaced = _choice([each for each, lead in answers.items() if lead])
    joined = _choice([each for each, lead in answers.items() if not lead])
    rules = [f"{alone}", f" (?={alone})"] if alone else []
    rules += [f" {spaced}"] if spaced else []
    rules += [joined] if joined else []
    return "|".join((*rules, *WORDS))


def _choice(names: Iterable[str]) -> str:
    """One alternation over the names, the longest first, branched on the first character so that it stays fast."""
    branches: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(names), key=lambda each: (-len(each), each)):
        end = "" if re.search(r"[\u3400-\u9fff]$", name) else BOUNDARY
        branches[name[0]].append(_escaped(name[1:]) + end)
    if not branches:
        return ""
    return "(?:" + "|".join(f"{_escaped(first)}(?:{'|'.join(rest)})" for first, rest in sorted(branches.items())) + ")"


def _escaped(text: str) -> str:
    return re.sub(r"([^\w\s])", r"\\\1", text)


def _answers(knowledge: Knowledge, subjects: set[str]) -> dict[str, str]:
    """The answers that get a token of their own, with what stands before each: a space, or nothing in Chinese."""
    found: dict[str, str] = {}
    for each in knowledge.statements:
        if each.object not in subjects and len(each.object) <= NAME_LIMIT:
            found.setdefault(each.object, knowledge.relations[each.relation].lead)
    for name, _ in knowledge.names:
        if name not in subjects and len(name) <= NAME_LIMIT:
            found.setdefault(name, "" if re.search(r"[\u3400-\u9fff]", name) else " ")
    return {name: lead for name, lead in found.items() if re.search(r"[^\W\d_]", name)}


def _texts(knowledge: Knowledge) -> Iterator[str]:
    """What BPE is learned from: prose, every phrasing, and every name with a space before it."""
    yield from knowledge.ordinary
    for relation in knowledge.relations.values():
        for template in (*relation.train, *relation.held_out):
            text = relation.prompt(template, "")
            yield from (text, text)
    for each in knowledge.statements:
        yield f" {each.subject} {each.object}"
    for name, _ in knowledge.names:
        yield f" {name}"
