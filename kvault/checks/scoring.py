"""When an answer counts as the expected one, and how sure a share is: pure functions.

Answers are compared after normalisation (compatibility forms, case, punctuation, leading article, white space), with
aliases accepted. An answer that goes on after the expected words is a run-on, and one that says what the fact said
before is a contradiction: both count as wrong, and are flagged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import comb, sqrt
from statistics import NormalDist

import numpy as np

RESAMPLES = 2000
Z = NormalDist().inv_cdf(0.975)
_ARTICLE = re.compile(r"^(the|a|an) ")
_EDGES = " .,;:!?\"'“”‘’。，、；：！？（）()「」"
_DASHES = str.maketrans({"‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "’": "'", "‘": "'", "“": '"', "”": '"'})


class Outcome(StrEnum):
    """How an answer relates to what was expected."""

    RIGHT = "right"
    RUN_ON = "run-on"
    CONTRADICTION = "contradiction"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


def normalise(text: str) -> str:
    """``text`` as it is compared: NFKC, case folded, plain dashes and quotes, nothing but words at its edges.

    >>> normalise("The  BANK of England.")
    'bank of england'
    """
    folded = unicodedata.normalize("NFKC", text.translate(_DASHES)).casefold()
    words = " ".join(folded.split()).strip(_EDGES)
    return _ARTICLE.sub("", words)


def judge(answer: str, expected: str, aliases: Sequence[str] = (), former: Sequence[str] = ()) -> Outcome:
    """Whether ``answer`` says ``expected`` or one of its ``aliases``; ``former`` are objects that held before.

    Where nothing but punctuation was expected, the texts are compared as they are.
    """
    said = normalise(answer)
    wanted = [normalise(each) for each in (expected, *aliases)]
    if not wanted[0]:
        return Outcome.RIGHT if answer.strip() == expected.strip() else Outcome.WRONG
    if said in wanted:
        return Outcome.RIGHT
    if any(each and _begins(said, each) for each in wanted):
        return Outcome.RUN_ON
    if any(each and _begins(said, each) for each in map(normalise, former)):
        return Outcome.CONTRADICTION
    return Outcome.WRONG


def share_interval(flags: Sequence[bool], clusters: Sequence[str], seed: int = 0) -> Interval:
    """The 95 % interval of a share in percent, by bootstrap over clusters (questions about one fact stand together).

    Where all flags agree a bootstrap has no width and Wilson's score interval (Wilson 1927) over the number of
    clusters is taken instead. There must be at least one flag.
    """
    names: dict[str, int] = {}
    right: list[int] = []
    asked: list[int] = []
    for flag, cluster in zip(flags, clusters, strict=True):
        place = names.setdefault(cluster, len(names))
        if place == len(right):
            right.append(0)
            asked.append(0)
        right[place] += flag
        asked[place] += 1
    if all(flags) or not any(flags):
        return wilson(len(names) if all(flags) else 0, len(names))
    counts, totals = np.array(right), np.array(asked)
    rows = np.random.default_rng(seed).integers(0, len(counts), (RESAMPLES, len(counts)))
    shares = 100 * counts[rows].sum(1) / totals[rows].sum(1)
    low, high = np.percentile(shares, (2.5, 97.5))
    return Interval(float(low), float(high))


def wilson(right: int, n: int) -> Interval:
    """Wilson's score interval of a share in percent; ``n`` must be positive."""
    share = right / n
    centre = share + Z * Z / (2 * n)
    spread = Z * sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    scale = 100 / (1 + Z * Z / n)
    return Interval(max(0.0, (centre - spread) * scale), min(100.0, (centre + spread) * scale))


def sign_test(gained: int, lost: int) -> float:
    """The two-sided exact probability that as uneven a split of changed answers comes by chance (McNemar 1947)."""
    n = gained + lost
    if n == 0:
        return 1.0
    tail = sum(comb(n, k) for k in range(min(gained, lost) + 1))
    return float(min(1.0, 2 * tail / 2**n))


def _begins(said: str, wanted: str) -> bool:
    """Whether ``said`` begins with the words ``wanted``; in scripts without spaces, with its characters."""
    if not said.startswith(wanted):
        return False
    after = said[len(wanted) :]
    return not after or not (after[0].isalnum() and wanted[-1].isalnum()) or ord(wanted[-1]) >= 0x2E80
