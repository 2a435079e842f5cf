"""The commit graph in columns, as `git log --graph` draws it: pure functions over ids and parents."""

from __future__ import annotations

from collections.abc import Sequence


def graph_lines(commits: Sequence[tuple[str, Sequence[str]]], labels: Sequence[str]) -> list[str]:
    """One line a commit, children before parents, with edges between; ``labels`` follow the stars.

    A lane holds the id that its line leads to. A commit takes the leftmost lane that waits for it; further lanes that
    wait for it join it, and its second and later parents open lanes of their own.
    """
    shown = {commit for commit, _ in commits}
    lanes: list[str] = []
    lines: list[str] = []
    for (commit, parents), label in zip(commits, labels, strict=True):
        if commit not in lanes:
            lanes.append(commit)
        column = lanes.index(commit)
        joining = [i for i, waiting in enumerate(lanes) if waiting == commit and i != column]
        if joining:
            lines.append("".join("|/" if i in joining else "| " for i in range(len(lanes))).rstrip())
            lanes = [waiting for i, waiting in enumerate(lanes) if i not in joining]
        lines.append("".join("* " if i == column else "| " for i in range(len(lanes))) + label)
        kept = [parent for parent in parents if parent in shown]
        lanes[column : column + 1] = kept[:1]
        for parent in kept[1:]:
            if parent not in lanes:
                lanes.append(parent)
                lines.append("| " * (len(lanes) - 1) + "\\")
    return lines
