"""What a union of record sets foretells: residuals as the solver has them, new collisions, growth that counts."""

from __future__ import annotations

import numpy as np
import pytest

from kvault.editing import ridge
from kvault.editing.forecast import GROWN, CautionKind, forecast
from kvault.editing.record import Record, layer_tensors
from tests.unit.test_editing_ridge import BASE, _records, _solver


def test_every_record_of_both_sides_is_foretold() -> None:
    solver = _solver()
    records = _records(solver.recipe, 9)
    ours, theirs = ridge.solve(solver, records[:6]), ridge.solve(solver, records[3:])
    united = ridge.solve(solver, records)
    seen = forecast(united, [ours, theirs])
    assert {each.record for each in seen.records} == united.ids
    for each in seen.records:
        assert [share is not None for share in each.parents] == [each.record in side.ids for side in (ours, theirs)]
        place = [record.id for record in united.records].index(each.record)
        lacking = [
            float(np.linalg.norm(solution.Y[:, place]) / np.linalg.norm(solution.R[:, place]))
            for solution in united.solutions.values()
        ]
        assert each.united == pytest.approx(max(lacking))
    assert 0 < seen.used < seen.room
    assert seen == forecast(united, [ours, theirs])


def test_a_pair_that_meets_in_the_union_is_named_once_and_its_growth_too() -> None:
    solver = _solver()
    first, other, third = _records(solver.recipe, 3)
    keys = {layer: first.key(layer) for layer in (0, 2)}
    against = {layer: 50 * other.target(layer) for layer in (0, 2)}
    twin = Record(BASE, solver.recipe.id, other.group, "its twin", layer_tensors(keys, against), {})
    sides = [ridge.solve(solver, [first, third]), ridge.solve(solver, [twin, third])]
    seen = forecast(ridge.solve(solver, [first, twin, third]), sides)
    assert [caution.kind for caution in seen.cautions].count(CautionKind.COLLIDING) == 1
    grown = {each.subject for each in seen.records if each.grew}
    assert first.subject in grown
    for each in seen.records:
        held = [share for share in each.parents if share is not None]
        assert each.grew == (each.united > 0.05 and any(each.united > GROWN * share for share in held))
    together = ridge.solve(solver, [first, twin])
    known = forecast(together, [together, together])
    assert known.cautions == ()


def test_nothing_united_is_nothing_foretold() -> None:
    empty = ridge.solve(_solver(), [])
    seen = forecast(empty, [empty, empty])
    assert (seen.records, seen.cautions, seen.used) == ((), (), 0.0)
