"""The commit graph in columns, as `git log --graph` draws it: pure functions over ids and parents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Drawn:
    """The drawing of one commit: lines before it, its own, lines after it, and what goes on beside a longer text."""

    before: tuple[str, ...]
    star: str
    after: tuple[str, ...]
    beside: str


def draw(commits: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Drawn]:
    """The drawing of each of ``commits`` (id, parents), children before parents.

    A lane holds the id that its line leads to. A commit takes the leftmost lane that waits for it, and further lanes
    that wait for it join that one first. Its first parent goes on in its lane; others open lanes to the right of it,
    or are led to the lane that waits for them already.
    """
    shown = {commit for commit, _ in commits}
    lanes: list[str] = []
    for commit, parents in commits:
        if commit not in lanes:
            lanes.append(commit)
        column = lanes.index(commit)
        before = []
        for joining in [i for i, waiting in enumerate(lanes) if waiting == commit][:0:-1]:
            before.append(_join(len(lanes), joining, column))
            del lanes[joining]
        star = _lanes(len(lanes), column, "*")
        after: list[str] = []
        first, *others = [parent for parent in parents if parent in shown] or [""]
        lanes[column] = first
        for parent in others:
            if parent in lanes:
                after.append(_lead(len(lanes), column, lanes.index(parent)))
            else:
                after.append(_open(len(lanes), column))
                lanes.insert(column + 1, parent)
        if not first:
            if column < len(lanes) - 1:
                after.append(_close(len(lanes), column))
            del lanes[column]
        yield Drawn(tuple(before), star, tuple(after), _lanes(len(lanes)))


def beside(drawn: Drawn, text: Sequence[str]) -> list[str]:
    """The lines of a drawing with those of a text beside the commit."""
    edges = [drawn.star, *drawn.after]
    height = max(len(edges), len(text))
    edges += [drawn.beside] * (height - len(edges))
    said = [*text, *[""] * (height - len(text))]
    wide = max(len(edge) for edge in edges)
    return [*drawn.before, *(f"{edge:{wide}} {line}".rstrip() for edge, line in zip(edges, said, strict=True))]


def graph_lines(commits: Sequence[tuple[str, Sequence[str]]], labels: Sequence[str]) -> list[str]:
    """The graph with one label a commit."""
    lines: list[str] = []
    for drawn, label in zip(draw(commits), labels, strict=True):
        lines += [*drawn.before, f"{drawn.star} {label}".rstrip(), *drawn.after]
    return lines


def _lanes(count: int, column: int = -1, mark: str = "|") -> str:
    return " ".join(mark if i == column else "|" for i in range(count))


def _join(count: int, lane: int, column: int) -> str:
    """``lane`` runs into ``column`` on its left; the lanes on its right move up to it."""
    cells = list(" ".join("|" if i < lane else " " for i in range(count)))
    for i in range(column, lane - 1):
        cells[2 * i + 1] = "_"
    for i in range(lane, count):
        cells[2 * i - 1] = "/"
    return "".join(cells).rstrip()


def _open(count: int, column: int) -> str:
    """A new lane begins on the right of ``column``; the lanes beyond make room."""
    cells = list(" ".join("|" if i <= column else " " for i in range(count + 1)))
    for i in range(column, count):
        cells[2 * i + 1] = "\\"
    return "".join(cells).rstrip()


def _lead(count: int, column: int, lane: int) -> str:
    """An edge from ``column`` to a lane that is there already."""
    cells = list(_lanes(count))
    low, high = min(column, lane), max(column, lane)
    for i in range(low, high):
        cells[2 * i + 1] = "_"
    if lane < column:
        cells[2 * column - 1] = "/"
    else:
        cells[2 * column + 1] = "\\"
    return "".join(cells)


def _close(count: int, column: int) -> str:
    """The line of ``column`` ends; the lanes on its right move up."""
    cells = list(" ".join("|" if i < column else " " for i in range(count)))
    for i in range(column + 1, count):
        cells[2 * i - 1] = "/"
    return "".join(cells).rstrip()
