"""Where gates and routes open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvault.editing.threshold import cut_between
from kvault.errors import InvalidInput

SIMILARITIES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30)


def _array(values: list[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.array(values, dtype=np.float32)


def test_a_clear_gap_is_cut_at_its_share() -> None:
    cut = cut_between(_array([0.9, 0.95]), _array([0.1, 0.5]), share=0.25, least=0.2, nearest=8)
    assert cut.value == pytest.approx(0.6, abs=1e-4)
    assert cut.clean


def test_a_gap_below_the_least_starts_at_the_least() -> None:
    cut = cut_between(_array([0.9]), _array([0.1]), share=0.5, least=0.5, nearest=8)
    assert cut.value == pytest.approx(0.7, abs=1e-4)


def test_overlapping_lists_are_cut_where_fewest_are_wrong() -> None:
    cut = cut_between(_array([0.4, 0.8, 0.85, 0.9]), _array([0.1, 0.2, 0.5]), share=0.5, least=0.0, nearest=8)
    assert 0.5 < cut.value < 0.8
    assert (cut.own_above, cut.others_below, cut.clean) == (0.75, 1.0, False)


def test_a_record_without_phrasings_is_refused() -> None:
    with pytest.raises(InvalidInput):
        cut_between(_array([]), _array([0.1]), share=0.5, least=0.0, nearest=8)


@given(own=SIMILARITIES, others=SIMILARITIES, share=st.floats(0.05, 0.95), least=st.floats(0, 0.9))
def test_never_under_the_least_and_no_worse_than_shutting(
    own: list[float], others: list[float], share: float, least: float
) -> None:
    cut = cut_between(_array(own), _array(others), share=share, least=least, nearest=64)
    assert cut.value >= least - 1e-4
    assert cut.own_above + cut.others_below >= 1.0 - 0.05 or min(own) <= least + 1e-3


@given(own=SIMILARITIES, others=SIMILARITIES)
def test_lists_that_do_not_touch_are_parted(own: list[float], others: list[float]) -> None:
    mine, theirs = 0.6 + 0.4 * _array(own), 0.5 * _array(others)
    assert cut_between(mine, theirs, share=0.5, least=0.0, nearest=64).clean
