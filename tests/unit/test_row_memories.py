"""Memories of many versions in one batch: every row speaks as its own version's memory would."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from kvault.bench.scenario import Scenario, draw_scenario
from kvault.editing.calibration import surroundings
from kvault.editing.gate_records import make_gated_records
from kvault.editing.gated import GatedMemory
from kvault.editing.memoir import MemoirMemory, Site
from kvault.editing.memoir_records import background, make_memoir_records
from kvault.editing.recipe import default_recipe
from kvault.editing.record import Record
from kvault.editing.row_memories import RowGates, RowRoutes, united
from kvault.lm.generate import greedy, greedy_rows
from kvault.lm.model import LanguageModel
from kvault.lm.version import Memory, Version
from tests.unit.small_models import small_model, small_world

TOKENS = 5


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return small_model(tmp_path_factory.mktemp("model"), str(request.param))


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return draw_scenario(small_world(), 4)


@pytest.fixture(scope="module")
def gated(lm: LanguageModel, scenario: Scenario) -> list[Record]:
    recipe = default_recipe("gated", lm, statistics=scenario.calibration.digest, layers=(1,))
    made = make_gated_records(lm, recipe, surroundings(lm, scenario.calibration, recipe.layers), scenario.requests())
    return [  # random weights crowd keys: gates that open often, and for neighbours too
        Record(r.base, r.recipe, r.group, r.subject, {**r.tensors, "gamma.1": np.float32([0.5])}, r.figures)
        for r in made
    ]


@pytest.fixture(scope="module")
def routed(lm: LanguageModel, scenario: Scenario) -> tuple[Site, list[Record]]:
    params = {"active": "24", "steps": "40"}
    recipe = default_recipe("memoir", lm, statistics=scenario.calibration.digest, layers=(2,), params=params)
    shared = background(lm, recipe, scenario.calibration)
    made = make_memoir_records(lm, recipe, shared, scenario.single_requests())
    low = {"tau": np.float32([0.2])}
    return shared.site, [Record(r.base, r.recipe, r.group, r.subject, {**r.tensors, **low}, r.figures) for r in made]


def _sets(records: Sequence[Record]) -> list[list[Record]]:
    return [[], list(records), list(records[:1]), list(records[1:])]


def _alone(lm: LanguageModel, prompt: str, memories: tuple[Memory, ...]) -> tuple[int, ...]:
    return greedy(lm, [prompt], max_new_tokens=TOKENS, version=Version(memories=memories))[0].tokens


def test_gates_of_a_row_are_its_versions_own(lm: LanguageModel, scenario: Scenario, gated: list[Record]) -> None:
    sets = _sets(gated)
    rows = Version(memories=(RowGates(lm, *united(sets)),))
    seen = set()
    for probe in scenario.efficacy:
        together = greedy_rows(lm, probe.prompt, len(sets), max_new_tokens=TOKENS, version=rows)
        alone = [_alone(lm, probe.prompt, (GatedMemory(lm, some),) if some else ()) for some in sets]
        assert [row.tokens for row in together] == alone
        seen.update(alone)
    assert len(seen) > len(scenario.efficacy)


def test_routes_of_a_row_are_its_versions_own(
    lm: LanguageModel, scenario: Scenario, routed: tuple[Site, list[Record]]
) -> None:
    site, records = routed
    sets = _sets(records)
    rows = Version(memories=(RowRoutes(site, *united(sets)),))
    seen = set()
    for probe in scenario.efficacy:
        together = greedy_rows(lm, probe.prompt, len(sets), max_new_tokens=TOKENS, version=rows)
        alone = [_alone(lm, probe.prompt, (MemoirMemory(site, some),) if some else ()) for some in sets]
        assert [row.tokens for row in together] == alone
        seen.update(alone)
    assert len(seen) > len(scenario.efficacy)


def test_sets_are_united_by_id(gated: list[Record]) -> None:
    records, held = united([gated[::-1], gated[:1], []])
    assert [each.id for each in records] == sorted(each.id for each in gated)
    assert held.sum(axis=1).tolist() == [len(gated), 1, 0]
