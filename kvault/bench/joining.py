"""Benchmark parts about histories as sets: order, removal and merging of records on the demonstration model.

``orders``: every order in which six batches can be committed; ``removals``: any one of fifty commits taken out again;
``merges``: two branches solved together, against their deltas summed and against all edits in one go.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch

from kvault.bench.figures import Figure, at_least, at_most
from kvault.bench.past import DemoGround
from kvault.bench.scenario import Scenario
from kvault.bench.scoring import Examiner
from kvault.editing import ridge
from kvault.editing.record import Float32, Record
from kvault.ids import Digest, digest_of, sha256
from kvault.lm.version import Version

BATCHES, A_BATCH = 6, 10
COMMITS, A_COMMIT = 50, 4
BRANCH = 100


def orders(ground: DemoGround) -> list[Figure]:
    """Whether six batches give the same weights in each of their 720 orders, and a merge from either side.

    Every set of batches is reached from every set with one batch less; where all ways to a set agree, so do all orders.
    """
    batches = _parts(ground.ridge_records, BATCHES, A_BATCH)
    states = {frozenset[int](): ridge.solve(ground.solver, [])}
    differing = ways = 0
    for size in range(1, BATCHES + 1):
        for chosen in itertools.combinations(range(BATCHES), size):
            reached = [ridge.update(ground.solver, states[frozenset(chosen) - {i}], batches[i])[0] for i in chosen]
            differing += len({_digest(ground, state) for state in reached}) - 1
            ways += len(reached)
            states[frozenset(chosen)] = reached[0]
        ground.say("orders", size, BATCHES)
    ours, theirs = states[frozenset({0, 1, 2})], states[frozenset({3, 4, 5})]
    left = ridge.update(ground.solver, ours, [record for batch in batches[3:] for record in batch])[0]
    right = ridge.update(ground.solver, theirs, [record for batch in batches[:3] for record in batch])[0]
    return [
        Figure("orders of 6 batches: sets that two ways reach differently", differing, "sets", ways, at_most(0)),
        Figure(
            "merge(a, b) and merge(b, a): different digests",
            len({_digest(ground, left), _digest(ground, right)}),
            "digests",
            2,
            at_most(1),
        ),
    ]


def removals(ground: DemoGround) -> list[Figure]:
    """Each of fifty commits taken out again, against a history that never held it."""
    commits = _parts(ground.ridge_records, COMMITS, A_COMMIT)
    everything = [record for commit in commits for record in commit]
    full = ridge.solve(ground.solver, everything)
    furthest = 0.0
    versions: list[tuple[Version, Version]] = []
    for number, commit in enumerate(commits):
        gone = {record.id for record in commit}
        taken, _ = ridge.update(ground.solver, full, remove=sorted(gone))
        never = ridge.solve(ground.solver, [record for record in everything if record.id not in gone])
        one, other = ridge.weights(ground.solver, taken), ridge.weights(ground.solver, never)
        furthest = max(furthest, *(_apart(one[layer], other[layer]) for layer in one))
        if number in (0, COMMITS // 2, COMMITS - 1):
            versions.append((ground.version(taken), ground.version(never)))
        ground.say("removals", number + 1, COMMITS)
    examiner = Examiner(ground.lm, _scenario(ground, everything))
    agreed = min(examiner.agreement(one, other) for one, other in versions)
    return [
        Figure("revert of one of 50 commits: tensors, relative", furthest, "", COMMITS, at_most(1e-6)),
        Figure("revert: same greedy answers", agreed, "%", examiner.asked, at_least(100)),
    ]


def merges(ground: DemoGround) -> list[Figure]:
    """Two branches of a hundred facts: merged, summed, and edited in one go."""
    ours, theirs = _parts(ground.ridge_records, 2, BRANCH)
    empty = ridge.solve(ground.solver, [])
    one, other = (ridge.update(ground.solver, empty, branch)[0] for branch in (ours, theirs))
    merged, _ = ridge.update(ground.solver, one, theirs)
    at_once, _ = ridge.update(ground.solver, empty, [*ours, *theirs])
    first, second = ridge.weights(ground.solver, one), ridge.weights(ground.solver, other)
    base = ground.solver.base
    summed = {layer: first[layer] + second[layer] - base[layer].astype(np.float32) for layer in first}
    examiner = Examiner(ground.lm, _scenario(ground, [*ours, *theirs]))
    figures = []
    for name, weights in (
        ("merge", ridge.weights(ground.solver, merged)),
        ("deltas summed", summed),
        ("all in one go", ridge.weights(ground.solver, at_once)),
    ):
        marks = examiner.marks(_version(ground, weights))
        residual = _residual(ground, weights, [*ours, *theirs])
        count = len(examiner.scenario.efficacy)
        figures += [
            Figure(f"{name}: efficacy", marks.efficacy, "%", count),
            Figure(f"{name}: unseen phrasings", marks.unseen, "%", len(examiner.scenario.unseen)),
            Figure(f"{name}: same subject", marks.same_subject, "%", len(examiner.scenario.same_subject)),
            Figure(f"{name}: residual left, mean share", 100 * residual, "%", 2 * BRANCH),
        ]
    same = _digest(ground, merged) == _digest(ground, at_once)
    return [*figures, Figure("the merge equals the one go", float(same), "", 1, at_least(1))]


def _parts(records: Sequence[Record], count: int, size: int) -> list[list[Record]]:
    return [list(records[i * size : (i + 1) * size]) for i in range(count)]


def _scenario(ground: DemoGround, records: Sequence[Record]) -> Scenario:
    subjects = {record.subject for record in records}
    return ground.scenario.of([edit for edit in ground.scenario.edits if edit.subject in subjects])


def _version(ground: DemoGround, weights: dict[int, Float32]) -> Version:
    return Version({ground.lm.down_name(layer): torch.from_numpy(weight) for layer, weight in weights.items()})


def _digest(ground: DemoGround, state: ridge.State) -> Digest:
    weights = ridge.weights(ground.solver, state)
    return digest_of({str(layer): sha256(weight.tobytes()) for layer, weight in weights.items()})


def _apart(one: Float32, other: Float32) -> float:
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def _residual(ground: DemoGround, weights: dict[int, Float32], records: Sequence[Record]) -> float:
    """``‖W k − v‖`` against ``‖W0 k − v‖``, the mean over records and layers."""
    shares = []
    for layer, weight in weights.items():
        K = np.stack([record.key(layer) for record in records], axis=1)
        V = np.stack([record.target(layer) for record in records], axis=1)
        left = np.linalg.norm(weight @ K - V, axis=0)
        shares.append(left / np.linalg.norm(ground.solver.base[layer] @ K - V, axis=0))
    return float(np.mean(shares))
