"""The benchmark ``history``: what sets of records promise to a history, how the past is asked, and how fast it is read.

Its parts: ``orders``, ``removals``, ``merges`` (the algebra, on the demonstration model), ``timeline``, ``blame``,
``facts`` (asking the past), ``sizes`` and ``checkout`` (bytes and seconds at
the shapes of large models), ``reading`` (log and diff of long
histories on each database) and ``verifying`` (how fast fsck goes through objects).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from kvault.bench import past
from kvault.bench.checkout import checkout_times
from kvault.bench.factlines import fact_history
from kvault.bench.figures import Benchmark, Figure, Setting
from kvault.bench.joining import merges, orders, removals
from kvault.bench.past import DemoGround
from kvault.bench.sizes import commit_sizes
from kvault.bench.speed import reading_times
from kvault.bench.verifying import verifying_speed

OF_MODEL: Mapping[str, Callable[[DemoGround], list[Figure]]] = MappingProxyType(
    {"orders": orders, "removals": removals, "merges": merges, "timeline": past.timeline, "blame": past.blame}
)
WITHOUT: Mapping[str, Callable[[Setting], list[Figure]]] = MappingProxyType(
    {
        "facts": fact_history,
        "sizes": commit_sizes,
        "checkout": checkout_times,
        "reading": reading_times,
        "verifying": verifying_speed,
    }
)


def measure(setting: Setting) -> list[Figure]:
    """The figures of the parts that are wanted."""
    ground = DemoGround(setting)
    figures = [figure for name, part in OF_MODEL.items() if setting.wants(name) for figure in part(ground)]
    return figures + [figure for name, part in WITHOUT.items() if setting.wants(name) for figure in part(setting)]


BENCHMARK = Benchmark(
    "history", "versions as sets, asking the past, reading long histories", (*OF_MODEL, *WITHOUT), measure
)
