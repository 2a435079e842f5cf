"""What it costs to find one prompt's edit among very many masks."""

from __future__ import annotations

import time

import numpy as np

from kvault.bench.figures import Figure
from kvault.editing.masks import best_match, pack

QUERIES, WIDTH, ACTIVE, REPEATS = 64, 2048, 128, 5


def routing_times(quick: bool) -> list[Figure]:
    """Milliseconds a prompt to match one mask against 1,000 and 10,000 (and, unless quick, 100,000) others."""
    rng = np.random.default_rng(0)
    sizes = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    figures = []
    for size in sizes:
        columns = np.stack([np.sort(rng.choice(WIDTH, ACTIVE, replace=False)) for _ in range(size)])
        stored = pack(columns, WIDTH)
        queries = stored[:QUERIES]
        seconds = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            best_match(queries, stored, ACTIVE)
            seconds.append(time.perf_counter() - began)
        figures.append(Figure(f"routing: {size:,} edits", 1000 * min(seconds) / QUERIES, "ms/prompt", QUERIES))
    return figures
