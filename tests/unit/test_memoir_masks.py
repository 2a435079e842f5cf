"""Masks as bit sets."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kvault.editing.masks import TopHash, best_match, overlaps, pack, unpack


@st.composite
def column_sets(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    width = draw(st.integers(8, 200))
    active = draw(st.integers(1, min(width, 12)))
    rows = draw(
        st.lists(
            st.lists(st.integers(0, width - 1), min_size=active, max_size=active, unique=True), min_size=1, max_size=9
        )
    )
    return width, [sorted(row) for row in rows]


@given(column_sets())
def test_packing_is_undone(drawn: tuple[int, list[list[int]]]) -> None:
    width, rows = drawn
    words = pack(np.array(rows, dtype=np.int64), width)
    assert words.shape == (len(rows), -(-width // 64))
    assert [unpack(word).tolist() for word in words] == rows


@given(column_sets())
def test_popcount_matches_the_sets(drawn: tuple[int, list[list[int]]]) -> None:
    width, rows = drawn
    words = pack(np.array(rows, dtype=np.int64), width)
    active = len(rows[0])
    expected = [[len(set(a) & set(b)) / active for b in rows] for a in rows]
    np.testing.assert_allclose(overlaps(words, words, active), expected, rtol=1e-6)


def test_the_first_of_equal_masks_is_the_match() -> None:
    words = pack(np.array([[1, 2], [5, 6], [5, 6]], dtype=np.int64), 64)
    index, overlap = best_match(words[2:], words, 2)
    assert (index.tolist(), overlap.tolist()) == ([1], [1.0])


def test_top_hash_takes_the_largest_by_magnitude_of_the_standardised_feature() -> None:
    top = TopHash(
        mean=np.array([0, 10, 0, 0], dtype=np.float32),
        scale=np.array([1, 1, 100, 1], dtype=np.float32),
        permutation=np.array([3, 2, 1, 0]),
        active=2,
    )
    # Standardised: 1, 0, 0.5, -4; the largest are columns 0 and 3, which the permutation turns into 3 and 0.
    assert top.columns(np.array([[1, 10, 50, -4]], dtype=np.float32)).tolist() == [[0, 3]]


def test_the_permutation_is_fixed_by_the_seed() -> None:
    background = np.zeros(50, dtype=np.float32), np.ones(50, dtype=np.float32)
    assert (
        TopHash.of(*background, 5, seed=1).permutation.tolist()
        == TopHash.of(*background, 5, seed=1).permutation.tolist()
    )
    assert (
        TopHash.of(*background, 5, seed=1).permutation.tolist()
        != TopHash.of(*background, 5, seed=2).permutation.tolist()
    )
