"""The syntax of a revision: what a person types, as a value.

A revision is a name and steps from it: ``~n``, ``^n``, and first of all, where they stand, ``@{n}`` or ``@{date}``.
This module is pure; what the name stands for is found elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TypeAlias

from kvault.errors import InvalidInput

SHORTEST = 4
"""The fewest hexadecimal digits that may stand for an id."""
_STEP = re.compile(r"~(?P<up>[0-9]*)|\^(?P<parent>[0-9]*)|@\{(?P<at>[^{}]*)\}")
HEX = re.compile(rf"[0-9a-fA-F]{{{SHORTEST},64}}\Z")


class MalformedRevision(InvalidInput):
    """The text is not a revision's syntax."""

    code = "malformed-revision"


@dataclass(frozen=True, slots=True)
class Up:
    """``~n``: n first parents up."""

    count: int


@dataclass(frozen=True, slots=True)
class Parent:
    """``^n``: the n-th parent; ``^0`` is the commit itself."""

    number: int


@dataclass(frozen=True, slots=True)
class Before:
    """``@{n}``: where the ref stood n moves ago."""

    moves: int


@dataclass(frozen=True, slots=True)
class AsOf:
    """``@{date}``: where the ref stood at an instant (microseconds), or at the end of a day in UTC."""

    at: int
    text: str


Step: TypeAlias = Up | Parent | Before | AsOf


@dataclass(frozen=True, slots=True)
class Revision:
    """A parsed revision: where it starts and the steps from there."""

    text: str
    start: str
    steps: tuple[Step, ...]


def parse(text: str) -> Revision:
    """The revision that ``text`` writes. Raises :class:`MalformedRevision`."""
    given = text.strip()
    begin = next((m.start() for m in re.finditer(r"[~^]|@\{", given)), len(given))
    start, at = given[:begin], begin
    if any(not char.isprintable() or char in " {}:" for char in start):
        raise malformed(text, "it holds a character that no name has")
    steps: list[Step] = []
    while at < len(given):
        match = _STEP.match(given, at)
        if match is None:
            raise malformed(text, f"{given[at:]!r} is no step")
        steps.append(_step(text, match))
        at = match.end()
    if any(isinstance(step, Before | AsOf) for step in steps[1:]):
        raise malformed(text, "@{...} follows a name, not a step")
    if not start and not (steps and isinstance(steps[0], Before | AsOf)):
        raise malformed(text, "it names nothing")
    return Revision(given, "HEAD" if start in ("", "@") else start, tuple(steps))


def split_place(text: str) -> tuple[str, str | None]:
    """``REV:PLACE`` as its two halves; the place is None where there is no colon outside ``@{...}``."""
    depth = 0
    for at, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if char == ":" and depth <= 0:
            return text[:at].strip(), text[at + 1 :].strip()
    return text, None


def split_range(text: str) -> tuple[str, str, str]:
    """A range as (left, dots, right), the dots two or three; dots are empty where there is no range.

    Raises :class:`MalformedRevision` for a second range inside the first.
    """
    depth = 0
    for at, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if depth <= 0 and text.startswith("..", at):
            dots = "..." if text.startswith("...", at) else ".."
            left, right = text[:at].strip(), text[at + len(dots) :].strip()
            if right.startswith(".") or split_range(right)[1]:
                raise malformed(text, "a range has two ends")
            return left, dots, right
    return text.strip(), "", ""


def _step(text: str, match: re.Match[str]) -> Step:
    for name, make in (("up", Up), ("parent", Parent)):
        digits = match[name]
        if digits is not None:
            if len(digits) > 9:
                raise malformed(text, f"{digits} is too many")
            return make(int(digits or 1))
    inside = match["at"].strip()
    if inside.isascii() and inside.isdigit() and len(inside) <= 9:
        return Before(int(inside))
    try:
        at = _instant(inside)
    except (ValueError, OverflowError):
        raise malformed(text, f"@{{{inside}}} holds neither a number nor a date like 2026-08-01") from None
    return AsOf(at, inside)


def _instant(text: str) -> int:
    """Microseconds of an ISO date or time, in UTC where it names no zone; a day is its last microsecond."""
    try:
        moment = datetime.combine(date.fromisoformat(text), time.max)
    except ValueError:
        moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def malformed(text: str, what: str) -> MalformedRevision:
    """The error for a text that is no revision, saying what is wrong with it."""
    remedy = "Write a name or an id, as in main, HEAD~3, main^2, production@{1}, main@{2026-08-01}, A..B."
    return MalformedRevision(f"{text!r} is not a revision: {what}", remedy=remedy)
