"""Masks as bit sets: TopHash, packing, and matching by popcount.

A mask says which ``active`` of a layer's ``d_in`` columns an edit owns. Masks are packed into 64-bit words so that
ten thousand of them fit in a few megabytes and are matched in milliseconds. This module must not know models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Columns = npt.NDArray[np.int64]
Features = npt.NDArray[np.float32]
PAIRS = 1 << 15
"""How many pairs of words are compared at once."""


@dataclass(frozen=True, slots=True)
class TopHash:
    """From a feature to a mask: standardise, take the ``active`` largest by magnitude, permute (MEMOIR, eq. 4).

    ``mean`` and ``scale`` (d_in, float32) are the background; ``permutation`` (d_in) is a fixed seeded permutation, so
    that edits do not all fall on the columns that are large anyway.
    """

    mean: Features
    scale: Features
    permutation: Columns
    active: int

    @classmethod
    def of(cls, mean: Features, scale: Features, active: int, seed: int) -> TopHash:
        """The hash with the permutation that ``seed`` fixes."""
        return cls(mean, scale, np.random.Generator(np.random.PCG64(seed)).permutation(len(mean)), active)

    def columns(self, features: Features) -> Columns:
        """The columns each feature owns, ascending: rows × active. Equal magnitudes go to the lower column."""
        size = np.abs((features.astype(np.float32) - self.mean) / self.scale)
        top = np.argsort(-size, axis=1, kind="stable")[:, : self.active]
        return np.sort(self.permutation[top], axis=1)

    def masks(self, features: Features) -> Words:
        """The packed masks of features (rows × d_in): rows × words."""
        return pack(self.columns(features), len(self.mean))


def pack(columns: Columns, width: int) -> Words:
    """Bit sets of column numbers (rows × active): rows × ⌈width / 64⌉ words, column c in bit c mod 64 of its word."""
    rows = len(columns)
    bits = np.zeros((rows, -(-width // 64) * 64), dtype=np.uint8)
    bits[np.arange(rows)[:, None], columns] = 1
    return np.packbits(bits, axis=1, bitorder="little").view("<u8")


def unpack(words: Words) -> Columns:
    """The column numbers of one bit set, ascending."""
    return np.flatnonzero(np.unpackbits(np.ascontiguousarray(words, dtype="<u8").view(np.uint8), bitorder="little"))


def overlaps(queries: Words, stored: Words, active: int) -> Features:
    """The share of ``active`` columns that each query has in common with each stored mask: queries × stored."""
    columns = np.ascontiguousarray(stored.T)  # words × stored: one word of all masks at a time stays in the cache
    common = np.zeros((len(queries), len(stored)), dtype=np.uint16)
    size = max(1, PAIRS // max(1, len(stored)))
    for start in range(0, len(queries), size):
        part = queries[start : start + size]
        for word, masks in enumerate(columns):
            common[start : start + size] += np.bitwise_count(part[:, word, None] & masks[None])
    return np.asarray(common / np.float32(active), dtype=np.float32)


def best_match(queries: Words, stored: Words, active: int) -> tuple[Columns, Features]:
    """For each query the stored mask with the greatest overlap (the first on ties) and that overlap."""
    found = overlaps(queries, stored, active)
    index = found.argmax(axis=1)
    return index, found[np.arange(len(queries)), index]
