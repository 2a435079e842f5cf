"""Training on a tiny world: stock weights, the same for the same seed, and figures that can be told apart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from transformers import LlamaForCausalLM

from kvault.demo import score as scoring
from kvault.demo.corpus import Corpus, Mixture
from kvault.demo.network import Network
from kvault.demo.tokenizer import train_tokenizer
from kvault.demo.train import Trained, Training, orthogonal, save, train
from kvault.demo.world import invent_world

WORLD = invent_world(24)
TRAINING = Training(steps=60, batch=8, threads=1, compiled=False, layers=3, width=32, inner=128)


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(WORLD, TRAINING)


@pytest.fixture(scope="module")
def folder(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("model")
    save(trained, where)
    return where


def test_the_same_seed_gives_the_same_weights(trained: Trained) -> None:
    shorter = replace(TRAINING, steps=3)
    first, second = train(WORLD, shorter), train(WORLD, shorter)
    assert all(torch.equal(first.state[name], second.state[name]) for name in first.state)
    other = train(WORLD, replace(shorter, seed=1))
    assert any(not torch.equal(first.state[name], other.state[name]) for name in first.state)


def test_it_is_saved_as_a_stock_llama(trained: Trained, folder: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    network = Network(trained.config, TRAINING.disturbance, len(WORLD.relations))
    network.load_state_dict({name.removeprefix("model."): value for name, value in trained.state.items()}, strict=False)
    tokens = torch.randint(3, trained.config.vocab_size, (2, 12))
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    with torch.no_grad():
        logits = model(tokens).logits
        expected = network.plain(tokens)
    torch.testing.assert_close(logits, expected, atol=0.05, rtol=0.05)  # the file holds bfloat16


def test_facts_are_learned_and_scored(folder: Path) -> None:
    found = scoring.score(scoring.load(folder), WORLD)
    assert found.facts == len(WORLD.statements)
    assert found.perplexity_facts < 60
    assert len(found.crowding) == TRAINING.layers
    assert all(-1.0 <= each.mean_nearest <= each.largest <= 1.001 for each in found.crowding)
    text = scoring.report(found)
    assert "w-capital" in text
    assert "layer 2" in text


def test_answers_are_those_of_greedy_generation(folder: Path) -> None:
    answerer = scoring.load(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompts = [question.prompt for question in scoring.questions(WORLD)[:6]]
    for prompt, said in zip(prompts, answerer.answers(prompts), strict=True):
        ids = torch.tensor([answerer.ids(prompt)])
        output = model.generate(ids, do_sample=False, max_new_tokens=scoring.LONGEST, pad_token_id=0)
        text = answerer.text(output[0, ids.shape[1] :].tolist())
        assert text.startswith(said)


def test_kept_phrasings_and_prose_never_reach_the_rows() -> None:
    tokenizer = train_tokenizer(WORLD)
    corpus = Corpus(WORLD, tokenizer, seed=1, mixture=Mixture(exchanged=0.0))
    rows, weights = corpus.rows(64, 48)
    assert rows.shape == weights.shape == (64, 48)
    assert {0.0, 0.5, 2.0} <= set(weights.flatten().tolist())
    text = " ".join(tokenizer.decode(row.tolist()) for row in rows)
    assert "chief executive" in text
    assert "If you look up" not in text
    assert "Everyone agrees" not in text


def test_orthogonal_steps_have_singular_values_near_one() -> None:
    values = torch.linalg.svdvals(orthogonal(torch.randn(2, 24, 64, generator=torch.manual_seed(0))).float())
    assert 0.5 < float(values.min()) <= float(values.max()) < 1.4


def test_the_commands_print_figures(folder: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    result = runner.invoke(scoring.main, ["--model", str(folder), "--world", "24", "--json"])
    assert result.exit_code == 0, result.output
    assert {"seen", "unseen", "crowding", "perplexity_facts"} <= set(json.loads(result.stdout))
