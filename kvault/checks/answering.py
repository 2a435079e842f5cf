"""A version of a language model as something that can be asked; answers are kept, so that nothing is asked twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kvault.lm.generate import greedy, text_nll
from kvault.lm.model import LanguageModel
from kvault.lm.version import Version


@dataclass(slots=True)
class ModelAnswerer:
    """One version of a model; it remembers what it answered."""

    lm: LanguageModel
    version: Version
    _answers: dict[str, str] = field(default_factory=dict)
    _losses: dict[str, tuple[float, int]] = field(default_factory=dict)

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """One greedy answer a prompt, up to its natural stop."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._answers]
        for prompt, answer in zip(new, greedy(self.lm, new, version=self.version), strict=True):
            self._answers[prompt] = answer.text
        return [self._answers[prompt] for prompt in prompts]

    def losses(self, texts: Sequence[str]) -> list[tuple[float, int]]:
        """For each text the summed negative log-likelihood in nats, and over how many tokens."""
        new = [text for text in dict.fromkeys(texts) if text not in self._losses]
        self._losses.update(zip(new, text_nll(self.lm, new, version=self.version), strict=True))
        return [self._losses[text] for text in texts]
