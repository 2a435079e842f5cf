"""The model and the scenario that the editors are compared on, made once and kept in a folder."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kvault.bench.figures import Say, Setting
from kvault.bench.scenario import Scenario, draw_scenario, statistics_texts
from kvault.bench.scoring import Examiner
from kvault.demo.statements import Knowledge
from kvault.demo.train import FOR_WORLDS, Training, save, train
from kvault.demo.world import invent_world
from kvault.editing.calibration import surroundings
from kvault.editing.gate_records import make_gated_records
from kvault.editing.making import make_records
from kvault.editing.recipe import default_recipe
from kvault.editing.record import Record
from kvault.editing.statistics import Statistics, collect
from kvault.lm.model import LanguageModel, load
from kvault.lm.source import resolve

SEED = 0
_STEP = re.compile(r"step (\d+) of (\d+)")


@dataclass(frozen=True, slots=True)
class Size:
    """How large the world is, how many of its facts change, in batches of how many, and how long the model learns."""

    facts: int
    edits: int
    batch: int
    training: Training


FULL = Size(facts=2400, edits=1000, batch=50, training=FOR_WORLDS)
QUICK = Size(facts=400, edits=100, batch=50, training=replace(FOR_WORLDS, steps=500, minutes=2.0))


class Ground:
    """What every comparison stands on; each piece is made when it is first asked for."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.size = QUICK if setting.quick else FULL

    @property
    def say(self) -> Say:
        """Where progress is told."""
        return self.setting.say

    @cached_property
    def knowledge(self) -> Knowledge:
        """The invented world."""
        return invent_world(self.size.facts, SEED)

    @cached_property
    def lm(self) -> LanguageModel:
        """A model trained for the world, from the work folder where it is there already."""
        folder = self.setting.work / f"world-{self.size.facts}"
        if not (folder / "model.safetensors").is_file():
            self._train(folder)
        return load(resolve(str(folder)), cache=self.setting.work)

    @cached_property
    def scenario(self) -> Scenario:
        """The edits and the probes."""
        return draw_scenario(self.knowledge, self.size.edits)

    @cached_property
    def examiner(self) -> Examiner:
        """Who asks the probes."""
        return Examiner(self.lm, self.scenario)

    @cached_property
    def statistics(self) -> Statistics:
        """Statistics of the early layers over the world's facts and its prose."""
        return collect(self.lm, self.lm.default_layers(), statistics_texts(self.knowledge, SEED))

    @cached_property
    def ridge_records(self) -> list[Record]:
        """One record for each edited subject. Ridge editors differ in their metric only, so they share these."""
        recipe = default_recipe("memit", self.lm, statistics=self.statistics.id)
        return make_records(
            self.lm, recipe, self.scenario.requests(), lambda done, total: self.say("targets", done, total)
        )

    @cached_property
    def gated_records(self) -> list[Record]:
        """One gated record for each edited subject."""
        calibration = self.scenario.calibration
        recipe = default_recipe("gated", self.lm, statistics=calibration.digest)
        shared = surroundings(self.lm, calibration, recipe.layers)
        requests = self.scenario.requests()
        return make_gated_records(
            self.lm, recipe, shared, requests, lambda done, total: self.say("gated records", done, total)
        )

    def _train(self, folder: Path) -> None:
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        save(train(self.knowledge, self.size.training, self._learning), unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.rename(folder)

    def _learning(self, line: str) -> None:
        if found := _STEP.match(line):
            self.say("training", int(found[1]), int(found[2]))
