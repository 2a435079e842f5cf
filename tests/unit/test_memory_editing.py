"""Gates and MEMOIR teach the demonstration model, and the gates can be solved into its weights."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kvault.bench.scenario import Scenario, draw_scenario, statistics_texts
from kvault.bench.scoring import Examiner
from kvault.demo.statements import load_knowledge
from kvault.editing import ridge
from kvault.editing.calibration import surroundings
from kvault.editing.consolidate import consolidate
from kvault.editing.gate_records import make_gated_records
from kvault.editing.gated import GatedMemory
from kvault.editing.memoir import MemoirMemory
from kvault.editing.memoir_records import background, make_memoir_records
from kvault.editing.recipe import default_recipe
from kvault.editing.statistics import collect
from kvault.lm.model import LanguageModel, load
from kvault.lm.source import resolve
from kvault.lm.version import Version

EDITS = 6


@dataclass(frozen=True, slots=True)
class Bench:
    lm: LanguageModel
    scenario: Scenario
    examiner: Examiner


@pytest.fixture(scope="module")
def bench() -> Bench:
    lm = load(resolve("kvault/demo"))
    scenario = draw_scenario(load_knowledge(), EDITS, seed=5)
    few = scenario.of(scenario.edits)
    return Bench(lm, few, Examiner(lm, few))


def test_gated_records_teach_and_consolidation_keeps_what_they_taught(bench: Bench) -> None:
    lm, scenario = bench.lm, bench.scenario
    recipe = default_recipe("gated", lm, statistics=scenario.calibration.digest)
    records = make_gated_records(lm, recipe, surroundings(lm, scenario.calibration, recipe.layers), scenario.requests())
    marks = bench.examiner.marks(Version(memories=(GatedMemory(lm, records),)))
    assert marks.efficacy >= 80
    assert marks.unseen >= 60
    assert marks.locality >= 99
    statistics = collect(lm, recipe.layers, statistics_texts(scenario.knowledge, 0), tokens=6000)
    solved = default_recipe("memit", lm, statistics=statistics.id, layers=recipe.layers)
    solver = ridge.Solver(solved, statistics, {layer: lm.down(layer).numpy() for layer in solved.layers})
    made = consolidate(lm, solver, records, lambda version: {"efficacy": bench.examiner.marks(version).efficacy})
    assert made.losses[0].gated == marks.efficacy
    assert made.losses[0].solved >= 60


def test_memoir_teaches(bench: Bench) -> None:
    lm, scenario = bench.lm, bench.scenario
    recipe = default_recipe("memoir", lm, statistics=scenario.calibration.digest)
    shared = background(lm, recipe, scenario.calibration)
    records = make_memoir_records(lm, recipe, shared, scenario.single_requests())
    marks = bench.examiner.marks(Version(memories=(MemoirMemory(shared.site, records),)))
    assert marks.efficacy == 100
    assert marks.locality >= 99
    assert marks.same_subject >= 95
