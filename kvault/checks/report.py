"""Reports: the figures of one evaluation, readable down to the question.

A report is an immutable object; its canonical form writes decimals as strings. It knows no model and no database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from kvault.checks import rendering
from kvault.errors import Damaged
from kvault.ids import Canonical, CommitId, Digest, digest_of

_RIGHT = "right"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure with its 95 % interval, beside the parent's and the unedited model's.

    ``unit`` is ``%`` (of answers) or ``% drift`` (of perplexity against the unedited model). The interval has no width
    where every item there is was asked. ``run_on`` and ``contradictions`` count flagged answers; ``gained`` and
    ``lost`` count answers that the parent had wrong or right, and ``p`` is the paired test's probability. ``error``
    says why a figure could not be measured.
    """

    name: str
    value: float | None
    unit: str
    n: int
    low: float | None = None
    high: float | None = None
    parent: float | None = None
    base: float | None = None
    error: str = ""
    run_on: int = 0
    contradictions: int = 0
    gained: int = 0
    lost: int = 0
    p: float | None = None

    def document(self) -> dict[str, object]:
        """The figure for machines, in full precision as stored."""
        return {
            "value": self.value,
            "unit": self.unit,
            "n": self.n,
            "interval": [self.low, self.high],
            "parent": self.parent,
            "base": self.base,
            "error": self.error,
            "run_on": self.run_on,
            "contradictions": self.contradictions,
            "gained": self.gained,
            "lost": self.lost,
            "p": self.p,
        }


@dataclass(frozen=True, slots=True)
class Item:
    """One question as the version answered it, with what the parent and the unedited model answered."""

    kind: str
    prompt: str
    expected: str
    answer: str
    outcome: str
    fact: str
    parent: str = ""
    base: str = ""

    def document(self) -> dict[str, str]:
        """The item for machines."""
        names = ("kind", "prompt", "expected", "answer", "outcome", "fact", "parent", "base")
        return dict(zip(names, astuple(self), strict=True))


@dataclass(frozen=True, slots=True)
class Report:
    """One evaluation of a commit's tree by a suite; ``verdict`` is the policy's, filled in by whoever judged it."""

    commit: CommitId
    tree: Digest
    suite: Digest
    figures: tuple[Figure, ...]
    items: tuple[Item, ...]
    verdict: str = ""

    def canonical(self) -> dict[str, Canonical]:
        """The form that is stored and named; the verdict belongs to a policy and is not in it."""
        return {
            "kind": "report",
            "commit": self.commit,
            "tree": self.tree,
            "suite": self.suite,
            "figures": [_canonical_figure(figure) for figure in self.figures],
            "items": [list(astuple(item)) for item in self.items],
        }

    @property
    def digest(self) -> Digest:
        """The report's name."""
        return digest_of(self.canonical())

    @staticmethod
    def decode(data: bytes) -> Report:
        """The report that ``data`` holds. Raises :class:`Damaged` where it holds none."""
        try:
            document = json.loads(data)
            if document["kind"] != "report":
                raise ValueError("it is of another kind")
            figures = tuple(_figure(row) for row in document["figures"])
            items = tuple(Item(*(str(field) for field in row)) for row in document["items"])
            return Report(
                CommitId(document["commit"]), Digest(document["tree"]), Digest(document["suite"]), figures, items
            )
        except (ValueError, KeyError, TypeError) as error:
            raise Damaged(f"this object is no report: {error}", remedy="Run `kvault check` again.") from error

    def figure(self, name: str) -> Figure | None:
        """The figure of that name, if there is one."""
        return next((figure for figure in self.figures if figure.name == name), None)

    def wrong(self, limit: int | None = None) -> Sequence[Item]:
        """The items that went wrong; the first ``limit`` of them where given."""
        return [item for item in self.items if item.outcome != _RIGHT][:limit]

    def document(self) -> dict[str, object]:
        """The report for machines: numbers as numbers, the items that went wrong."""
        return {
            "commit": self.commit,
            "tree": self.tree,
            "digest": self.digest,
            "suite": self.suite,
            "verdict": self.verdict,
            "figures": {figure.name: figure.document() for figure in self.figures},
            "wrong": [item.document() for item in self.wrong()],
        }

    def text(self, wrong: int = 5) -> str:
        """The report for a terminal: a table of figures, then at most ``wrong`` answers that went wrong."""
        lines = [
            f"report {self.digest[:12]} of commit {self.commit[:12]}" + (f": {self.verdict}" if self.verdict else "")
        ]
        lines += rendering.figure_lines(self.figures)
        lines += rendering.wrong_lines(self.wrong(), wrong)
        return "\n".join(lines)


_DECIMALS = ("value", "low", "high", "parent", "base", "p")
_COUNTS = ("n", "run_on", "contradictions", "gained", "lost")


def _canonical_figure(figure: Figure) -> dict[str, Canonical]:
    row: dict[str, Canonical] = {"name": figure.name, "unit": figure.unit, "error": figure.error}
    row.update({name: _decimal(getattr(figure, name)) for name in _DECIMALS})
    row.update({name: int(getattr(figure, name)) for name in _COUNTS})
    return row


def _figure(row: Mapping[str, object]) -> Figure:
    decimals = {name: _number(row.get(name)) for name in _DECIMALS}
    counts = {name: int(str(row.get(name, 0))) for name in _COUNTS}
    return Figure(
        name=str(row["name"]),
        value=decimals["value"],
        unit=str(row["unit"]),
        n=counts["n"],
        low=decimals["low"],
        high=decimals["high"],
        parent=decimals["parent"],
        base=decimals["base"],
        error=str(row["error"]),
        run_on=counts["run_on"],
        contradictions=counts["contradictions"],
        gained=counts["gained"],
        lost=counts["lost"],
        p=decimals["p"],
    )


def _decimal(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
