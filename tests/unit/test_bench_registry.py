"""Figures, aims and the list of benchmarks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kvault.bench.figures import Figure, at_least, at_most, machine
from kvault.bench.registry import BENCHES, NoSuchPartError, UnknownBenchmark, listing, run


def test_an_aim_says_on_which_side_a_figure_is_good() -> None:
    assert at_least(95).met(95)
    assert not at_least(95).met(94.9)
    assert at_most(5).met(5)
    assert not at_most(5).met(5.1)


def test_a_figure_that_falls_short_says_so() -> None:
    document = Figure("efficacy", 94.0, "%", 100, at_least(95)).document()
    assert document == {"name": "efficacy", "value": 94.0, "unit": "%", "n": 100, "aim": "≥ 95", "met": False}
    assert Figure("efficacy", 94.0, "%", 100).document()["met"] is None


def test_the_list_names_every_benchmark_and_its_parts() -> None:
    assert {row["name"] for row in listing()} == set(BENCHES)
    assert json.loads(json.dumps(listing())) == listing()


def test_unknown_names_are_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UnknownBenchmark, match="vault"):
        run("vualt", work=tmp_path)
    with pytest.raises(NoSuchPartError, match="world"):
        run("vault", only=["wrold"], work=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_machine_is_described_without_its_name() -> None:
    described = machine()
    assert described["cores"]
    assert "node" not in described
