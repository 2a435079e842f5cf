"""A version of a language model as something that can be asked; answers are kept, so that nothing is asked twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kvault.lm.crew import Crew
from kvault.lm.generate import greedy, text_nll
from kvault.lm.model import LanguageModel
from kvault.lm.version import Version

PARTS = 2
"""In how many parts for each hand of the crew the questions are dealt out, so that no hand waits long for another."""


@dataclass(slots=True)
class ModelAnswerer:
    """One version of a model, asked by a crew; it remembers what it answered."""

    crew: Crew
    version: Version
    _answers: dict[str, str] = field(default_factory=dict)
    _losses: dict[str, tuple[float, int]] = field(default_factory=dict)

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """One greedy answer a prompt, up to its natural stop."""
        parts = self._dealt([prompt for prompt in prompts if prompt not in self._answers])
        for part, found in zip(parts, self.crew.map(self._ask, parts), strict=True):
            self._answers.update(zip(part, found, strict=True))
        return [self._answers[prompt] for prompt in prompts]

    def losses(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """For each text the summed negative log-likelihood in nats, and over how many tokens."""
        parts = self._dealt([text for text in texts if text not in self._losses])
        for part, found in zip(parts, self.crew.map(self._read, parts), strict=True):
            self._losses.update(zip(part, found, strict=True))
        return [self._losses[text] for text in texts]

    def _dealt(self, texts: Sequence[str]) -> list[list[str]]:
        """Different texts in parts of similar length each: those of one length are read together."""
        unique = sorted(set(texts), key=lambda text: (len(text), text))
        size = max(1, -(-len(unique) // (PARTS * self.crew.hands)))
        return [unique[start : start + size] for start in range(0, len(unique), size)]

    def _ask(self, lm: LanguageModel, prompts: list[str]) -> list[str]:
        return [answer.text for answer in greedy(lm, prompts, version=self.version.twin())]

    def _read(self, lm: LanguageModel, texts: list[str]) -> list[tuple[float, int]]:
        return text_nll(lm, texts, version=self.version.twin())
