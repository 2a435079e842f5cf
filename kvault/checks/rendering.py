"""A report's figures and wrong answers as lines of text, to one decimal place."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvault.checks.report import Figure, Item

_HEAD = ("figure", "value", "95 % interval", "parent", "base", "n", "remarks")
_SHOWN = 60


def figure_lines(figures: Sequence[Figure]) -> list[str]:
    """One line a figure under a head: value, interval, the parent's and the unedited model's value, items, remarks."""
    rows = [_HEAD, *(_row(figure) for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [
        "  ".join(_cell(text, width, i) for i, (text, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    lines = [line.rstrip() for line in lines]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def wrong_lines(items: Sequence[Item], limit: int) -> list[str]:
    """At most ``limit`` answers that went wrong, and how many more there are."""
    if not items or limit < 1:
        return []
    lines = [f"{len(items)} answers went wrong" + (f"; the first {limit}:" if len(items) > limit else ":")]
    for item in items[:limit]:
        said, wanted = plain(item.answer), plain(item.expected)
        lines.append(f"  {item.kind}: {plain(item.prompt)} … {said!r}, not {wanted!r} ({item.outcome})")
    return lines


def plain(text: str, columns: int = _SHOWN) -> str:
    """``text`` on one line, what cannot be shown as a dot, cut with an ellipsis."""
    line = "".join("·" if unicodedata.category(c)[0] == "C" else c for c in text)
    return line if len(line) <= columns else line[: columns - 1] + "…"


def _row(figure: Figure) -> tuple[str, ...]:
    remarks = [figure.error] if figure.error else []
    remarks += [f"{figure.run_on} run-on"] if figure.run_on else []
    remarks += [f"{figure.contradictions} still say the old"] if figure.contradictions else []
    if figure.p is not None and figure.gained + figure.lost:
        remarks.append(f"{figure.gained} gained, {figure.lost} lost against the parent (p {figure.p:.2f})")
    sign = "+" if figure.unit != "%" else ""
    interval = ""
    if figure.low is not None and figure.high is not None and figure.value is not None:
        interval = (
            f"{_place(figure.low, sign)} to {_place(figure.high, sign)}" if figure.low < figure.high else "all asked"
        )
    return (
        figure.name,
        "ERROR" if figure.value is None else f"{_place(figure.value, sign)} %",
        interval,
        "" if figure.parent is None else _place(figure.parent, sign),
        "" if figure.base is None else _place(figure.base, sign),
        str(figure.n),
        "; ".join(remarks),
    )


def _place(value: float, sign: str) -> str:
    """A number to one place, never minus nothing."""
    return f"{round(value, 1) + 0.0:{sign}.1f}"


def _cell(text: str, width: int, column: int) -> str:
    return text.ljust(width) if column in {0, 6} else text.rjust(width)
