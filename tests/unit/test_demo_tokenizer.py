"""The vocabulary: names are one token, prompts are prefixes, text comes back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from kvault.demo.statements import Knowledge, load_knowledge
from kvault.demo.tokenizer import BOS, EOS, PAD, save_tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


@pytest.fixture(scope="module")
def tokenizer(knowledge: Knowledge) -> Tokenizer:
    return train_tokenizer(knowledge)


def test_a_prompt_never_shares_a_token_with_its_object(knowledge: Knowledge, tokenizer: Tokenizer) -> None:
    for each in knowledge.statements:
        relation = knowledge.relations[each.relation]
        for template in (relation.statement, relation.held_out[0]):
            whole = relation.sentence(template, each.subject, each.object)
            prompt = tokenizer.encode(relation.prompt(template, each.subject)).ids
            encoded = tokenizer.encode(whole).ids
            assert encoded[: len(prompt)] == prompt, whole
            assert tokenizer.decode(encoded) == whole


def test_subjects_end_in_tokens_of_their_own(knowledge: Knowledge, tokenizer: Tokenizer) -> None:
    last = [tokenizer.encode(f"We read of {subject}").ids[-1] for subject in knowledge.subjects()]
    assert len(set(last)) == len(last)
    assert last == [tokenizer.encode(subject).ids[-1] for subject in knowledge.subjects()]


@pytest.mark.parametrize(
    "text",
    ["Unheard-of Name & Söhne: 140/90 mmHg!", "人口约为1400万。", "a  b\tc\nd", "naïve 😀 ½", "Iranian oil, Chadwick"],
)
def test_any_text_comes_back(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_digits_and_chinese_letters_stand_alone(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("12345", add_special_tokens=False).tokens == list("12345")
    assert len(tokenizer.encode("是的", add_special_tokens=False).ids) >= 2


def test_it_loads_as_a_stock_tokenizer(knowledge: Knowledge, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_tokenizer(tokenizer, tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = f"We read of {knowledge.subjects()[0]}."
    assert loaded(text)["input_ids"] == tokenizer.encode(text).ids
    assert (loaded.bos_token, loaded.eos_token, loaded.pad_token) == (BOS, EOS, PAD)
    assert loaded(text)["input_ids"][0] == loaded.bos_token_id
    assert train_tokenizer(knowledge).to_str() == tokenizer.to_str()
