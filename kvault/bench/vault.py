"""The benchmark ``vault``: how well each editor holds a world's changes, and what one batch costs.

Its parts: ``world`` (every editor beside the others), ``batch`` (seconds by stage), ``objects`` (bytes), ``order`` (the
same bits whatever the order and the threads), ``removal`` (exactness), ``routing`` (finding one MEMOIR edit among many)
and ``start`` (how fast commands start).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, fields
from types import MappingProxyType

from kvault.bench.algebra import batch_bytes, batch_seconds, removal, same_bits
from kvault.bench.figures import Aim, Benchmark, Figure, Setting, at_least, at_most
from kvault.bench.ground import Ground
from kvault.bench.methods import METHODS
from kvault.bench.routing import routing_times
from kvault.bench.scoring import Marks
from kvault.bench.starts import start_times

AIMS: Mapping[str, Aim] = MappingProxyType(
    {
        "efficacy": at_least(95),
        "unseen": at_least(85),
        "locality": at_least(95),
        "same_subject": at_least(95),
        "retention": at_least(95),
        "drift_facts": at_most(5),
    }
)
"""What the best editor should reach."""

LABELS: Mapping[str, str] = MappingProxyType(
    {
        "efficacy": "efficacy",
        "unseen": "unseen phrasings",
        "locality": "locality",
        "same_subject": "same subject",
        "retention": "retention of the oldest third",
        "drift_facts": "perplexity drift on fact text",
        "drift_ordinary": "perplexity drift on ordinary text",
    }
)


def compare(ground: Ground) -> list[Figure]:
    """Every method's marks after all edits, and the best method's against the aims."""
    marks: dict[str, Marks] = {}
    for number, (name, method) in enumerate(METHODS.items()):
        ground.say("editors", number, len(METHODS))
        marks[name] = ground.examiner.marks(method(ground))
    ground.say("editors", len(METHODS), len(METHODS))
    figures = [figure for name, each in marks.items() for figure in _row(name, each, ground, {})]
    best = max((name for name in marks if name != "unedited"), key=lambda name: _merit(marks[name]))
    return [*figures, *_row(f"best ({best})", marks[best], ground, AIMS)]


def _row(name: str, marks: Marks, ground: Ground, aims: Mapping[str, Aim]) -> list[Figure]:
    counts = ground.examiner.counts
    return [
        Figure(f"{name}: {LABELS[field.name]}", value, "%", counts[field.name], aims.get(field.name))
        for field, value in zip(fields(marks), astuple(marks), strict=True)
    ]


def _merit(marks: Marks) -> tuple[int, float]:
    """How many aims are met; then how far the figure that is worst against its aim lies from it."""
    values = dict(zip((field.name for field in fields(marks)), astuple(marks), strict=True))
    met = sum(aim.met(values[name]) for name, aim in AIMS.items())
    return met, min(values[name] - aim.value for name, aim in AIMS.items() if name != "drift_facts")


PARTS: Mapping[str, Callable[[Ground], list[Figure]]] = MappingProxyType(
    {"batch": batch_seconds, "objects": batch_bytes, "order": same_bits, "removal": removal, "world": compare}
)


def measure(setting: Setting) -> list[Figure]:
    """The figures of the parts that are wanted."""
    ground = Ground(setting)
    figures = [figure for name, part in PARTS.items() if setting.wants(name) for figure in part(ground)]
    if setting.wants("routing"):
        figures += routing_times(setting.quick)
    return [*figures, *(start_times(setting) if setting.wants("start") else [])]


BENCHMARK = Benchmark(
    "vault", "one thousand changes of a world by every editor; one batch's cost", (*PARTS, "routing", "start"), measure
)
