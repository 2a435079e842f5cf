"""Gated records on a small model: exactness, purity, and answers under a key-value cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from kvault.bench.scenario import Scenario, draw_scenario, statistics_texts
from kvault.editing import ridge
from kvault.editing.calibration import Calibration, CalibrationDamaged, Surroundings, surroundings
from kvault.editing.consolidate import LayerMismatch, consolidate
from kvault.editing.gate_records import make_gated_records
from kvault.editing.gated import GatedMemory
from kvault.editing.recipe import Recipe, default_recipe
from kvault.editing.record import Record
from kvault.editing.statistics import collect
from kvault.lm.generate import greedy
from kvault.lm.model import LanguageModel
from kvault.lm.version import Version
from tests.unit.small_models import small_model, small_world

LAYER = 1


@dataclass(frozen=True, slots=True)
class Bench:
    lm: LanguageModel
    scenario: Scenario
    recipe: Recipe
    shared: Surroundings
    records: list[Record]
    made: list[Record]

    def memory(self, records: Sequence[Record] | None = None) -> GatedMemory:
        return GatedMemory(self.lm, self.records if records is None else records)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    lm = small_model(tmp_path_factory.mktemp("model"), request.param)
    scenario = draw_scenario(small_world(), 5)
    recipe = default_recipe("gated", lm, statistics=scenario.calibration.digest, layers=(LAYER,))
    shared = surroundings(lm, scenario.calibration, recipe.layers)
    made = make_gated_records(lm, recipe, shared, scenario.requests())
    return Bench(lm, scenario, recipe, shared, [_narrow(each) for each in made], made)


def _narrow(record: Record) -> Record:
    """The record with a gate that only its subject's own key opens: random weights crowd keys."""
    tensors = {**record.tensors, f"gamma.{LAYER}": np.array([0.8], dtype=np.float32)}
    return Record(record.base, record.recipe, record.group, record.subject, tensors, record.figures)


def _logits(lm: LanguageModel, prompt: str, version: Version | None) -> torch.Tensor:
    with lm.using(version), torch.inference_mode():
        return lm.model(torch.tensor([lm.encode(prompt)]), use_cache=False).logits


def _written(bench: Bench, prompt: str, version: Version | None) -> torch.Tensor:
    """What the gates' layer writes while a prompt is read: length × d_out."""
    written: list[torch.Tensor] = []
    with bench.lm.using(version), torch.inference_mode():
        hook = bench.lm.down_module(LAYER).register_forward_hook(lambda _m, _i, out: written.append(out[0].clone()))
        bench.lm.model(torch.tensor([bench.lm.encode(prompt)]), use_cache=False)
        hook.remove()
    return written[0]


def test_a_gate_adds_its_residual_at_the_subjects_last_token_and_nowhere_else(bench: Bench) -> None:
    for record, request in zip(bench.records, bench.scenario.requests(), strict=True):
        memory, prompt = bench.memory([record]), request.prompts[0]
        position = bench.lm.subject_token(prompt, request.subject)
        assert [(each.record, each.position) for each in memory.firings(bench.lm, prompt)] == [(record.id, position)]
        change = _written(bench, prompt, Version(memories=(memory,))) - _written(bench, prompt, None)
        np.testing.assert_allclose(change[position], record.tensors[f"r.{LAYER}"], atol=1e-5)
        change[position] = 0
        assert not change.any()


def test_text_that_opens_no_gate_passes_through_bit_for_bit(bench: Bench) -> None:
    prompts = [*(probe.prompt for probe in bench.scenario.locality), *bench.scenario.ordinary_texts[:4]]
    shut = [prompt for prompt in prompts if not bench.memory().firings(bench.lm, prompt)]
    assert shut
    version = Version(memories=(bench.memory(),))
    for prompt in shut:
        assert torch.equal(_logits(bench.lm, prompt, version), _logits(bench.lm, prompt, None))


def test_answers_under_a_cache_are_those_without_one(bench: Bench) -> None:
    version = Version(memories=(bench.memory(),))
    prompts = [probe.prompt for probe in bench.scenario.efficacy]
    cached = greedy(bench.lm, prompts, max_new_tokens=5, version=version)
    with bench.lm.using(version), torch.inference_mode():
        for prompt, answer in zip(prompts, cached, strict=True):
            ids = bench.lm.encode(prompt)
            for token in answer.tokens:
                assert int(bench.lm.model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()) == token
                ids.append(token)


def test_a_record_does_not_depend_on_those_made_with_it_nor_on_threads(bench: Bench) -> None:
    requests = bench.scenario.requests()
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        alone = make_gated_records(bench.lm, bench.recipe, bench.shared, requests[-1:])
    finally:
        torch.set_num_threads(before)
    assert alone[0].id == bench.made[-1].id


def test_a_version_is_a_set(bench: Bench) -> None:
    backwards = bench.memory([*reversed(bench.records), bench.records[0]])
    assert backwards.digest == bench.memory().digest
    prompt = bench.scenario.efficacy[0].prompt
    one, other = (_logits(bench.lm, prompt, Version(memories=(each,))) for each in (backwards, bench.memory()))
    assert torch.equal(one, other)


def test_taking_a_record_out_gives_the_base_back(bench: Bench) -> None:
    subject = bench.records[0].subject
    rest = bench.memory(bench.records[1:])
    prompt = next(each.prompts[0] for each in bench.scenario.requests() if each.subject == subject)
    assert torch.equal(_logits(bench.lm, prompt, Version(memories=(rest,))), _logits(bench.lm, prompt, None))


def test_records_survive_their_bytes(bench: Bench) -> None:
    assert [Record.from_bytes(each.to_bytes()).id for each in bench.records] == [each.id for each in bench.records]


def test_consolidation_solves_the_gates_records_and_says_what_it_cost(bench: Bench) -> None:
    statistics = collect(bench.lm, [LAYER], statistics_texts(bench.scenario.knowledge, 0), tokens=600)
    recipe = default_recipe("memit", bench.lm, statistics=statistics.id, layers=(LAYER,), params={"price": "0.001"})
    solver = ridge.Solver(recipe, statistics, {LAYER: bench.lm.down(LAYER).numpy()})

    def first_logits(version: Version) -> dict[str, float]:
        return {"largest": float(_logits(bench.lm, bench.scenario.efficacy[0].prompt, version)[0, -1].max())}

    made = consolidate(bench.lm, solver, bench.records, first_logits)
    weight = made.version.weights[bench.lm.down_name(LAYER)]
    record = bench.records[0]
    said = weight.double() @ torch.from_numpy(record.key(LAYER)).double()
    base = bench.lm.down(LAYER).double() @ torch.from_numpy(record.key(LAYER)).double()
    wanted = torch.from_numpy(record.target(LAYER)).double()
    assert (said - wanted).norm() < 0.2 * (base - wanted).norm()
    assert [loss.name for loss in made.losses] == ["largest"]
    assert made.losses[0].change == pytest.approx(made.losses[0].solved - made.losses[0].gated)


def test_consolidation_refuses_another_layer(bench: Bench) -> None:
    statistics = collect(bench.lm, [0], statistics_texts(bench.scenario.knowledge, 0), tokens=600)
    recipe = default_recipe("memit", bench.lm, statistics=statistics.id, layers=(0,))
    solver = ridge.Solver(recipe, statistics, {0: bench.lm.down(0).numpy()})
    with pytest.raises(LayerMismatch, match="layer"):
        consolidate(bench.lm, solver, bench.records)


def test_a_calibration_set_survives_its_bytes_and_damage_is_noticed() -> None:
    drawn = draw_scenario(small_world(), 5).calibration
    assert Calibration.from_bytes(drawn.to_bytes()) == drawn
    elsewhere = Calibration(drawn.neighbours, drawn.texts, "b" * 64)
    assert Calibration.from_bytes(elsewhere.to_bytes()) == elsewhere
    assert elsewhere.digest != drawn.digest
    assert replace(drawn, texts=()).digest != drawn.digest
    with pytest.raises(CalibrationDamaged):
        Calibration.from_bytes(b'{"format":"kvault calibration 1"}')


def test_the_subjects_own_text_is_no_rival(bench: Bench) -> None:
    neighbour = bench.scenario.calibration.neighbours[0]
    own = [
        text
        for text, foreign in zip(bench.shared.read, bench.shared.foreign(neighbour.subject), strict=True)
        if not foreign
    ]
    assert own
    assert all(text.endswith(neighbour.subject) for text in own)
