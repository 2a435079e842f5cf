"""A measured figure beside its aim, and the machine that it was measured on, as documents."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import torch


class Say(Protocol):
    """Where a benchmark says what it is doing: a stage, and how far along it is."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of ``stage``."""


class Sense(StrEnum):
    """On which side of its aim a figure is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Aim:
    """What a figure should be."""

    sense: Sense
    value: float

    def met(self, value: float) -> bool:
        """Whether a measured value is good enough."""
        return value >= self.value if self.sense is Sense.AT_LEAST else value <= self.value

    def __str__(self) -> str:
        return f"{self.sense.value} {self.value:g}"


def at_least(value: float) -> Aim:
    """The aim of being ``value`` or more."""
    return Aim(Sense.AT_LEAST, value)


def at_most(value: float) -> Aim:
    """The aim of being ``value`` or less."""
    return Aim(Sense.AT_MOST, value)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: ``n`` is how many items or runs it rests on; ``aim`` is None where it is there to compare with."""

    name: str
    value: float
    unit: str
    n: int
    aim: Aim | None = None

    def document(self) -> dict[str, object]:
        """The figure as JSON; ``met`` is null where there is no aim."""
        return {
            "name": self.name,
            "value": round(self.value, 6),
            "unit": self.unit,
            "n": self.n,
            "aim": None if self.aim is None else str(self.aim),
            "met": None if self.aim is None else self.aim.met(self.value),
        }


@dataclass(frozen=True, slots=True)
class Setting:
    """How a benchmark is run: ``quick`` is smaller; ``only`` names parts, all where empty; ``work`` keeps models."""

    quick: bool
    only: tuple[str, ...]
    work: Path
    say: Say

    def wants(self, part: str) -> bool:
        """Whether a part is asked for."""
        return not self.only or part in self.only


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A program that measures: its name, what it is about, its parts, and how to run it."""

    name: str
    about: str
    parts: tuple[str, ...]
    measure: Callable[[Setting], list[Figure]]


def machine() -> Mapping[str, object]:
    """What decides how fast and how exactly this machine computes."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
