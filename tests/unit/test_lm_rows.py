"""Rows that carry factors of their own answer as versions with those weights do."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from kvault.errors import InvalidInput
from kvault.lm.generate import greedy, greedy_rows
from kvault.lm.model import LanguageModel
from kvault.lm.rows import RowDeltas, joined
from kvault.lm.version import Version
from tests.unit.small_models import LAYERS, small_model

PROMPT = "The capital of the place is"
RANK = 2


@dataclass(frozen=True, slots=True)
class Steps:
    """Three deltas at two layers, and the versions that sums of them make."""

    lm: LanguageModel
    deltas: list[dict[int, tuple[torch.Tensor, torch.Tensor]]]

    def rows(self, shares: list[list[float]]) -> Version:
        return Version(memories=(RowDeltas(joined(self.deltas), torch.tensor(shares)),))

    def dense(self, shares: list[float]) -> Version:
        weights = {}
        for layer in sorted({layer for each in self.deltas for layer in each}):
            change = sum(
                share * each[layer][0] @ each[layer][1].T
                for share, each in zip(shares, self.deltas, strict=True)
                if layer in each
            )
            weights[self.lm.down_name(layer)] = self.lm.down(layer) + change
        return Version(weights)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def steps(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Steps:
    lm = small_model(tmp_path_factory.mktemp("model"), str(request.param))
    generator = torch.Generator().manual_seed(1)
    deltas = []
    for number in range(3):
        layers = (0, LAYERS - 1) if number else (0,)
        made = {}
        for layer in layers:
            d_out, d_in = lm.down(layer).shape
            left = torch.randn(d_out, RANK, generator=generator) * 2.0
            made[layer] = (left, torch.randn(d_in, RANK, generator=generator))
        deltas.append(made)
    return Steps(lm, deltas)


SHARES = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [-1.0, 0.0, 1.0]]


def test_each_row_answers_as_its_own_version(steps: Steps) -> None:
    together = greedy_rows(steps.lm, PROMPT, len(SHARES), max_new_tokens=6, version=steps.rows(SHARES))
    alone = [greedy(steps.lm, [PROMPT], max_new_tokens=6, version=steps.dense(shares))[0] for shares in SHARES]
    assert [row.tokens for row in together] == [one.tokens for one in alone]
    assert [row.logprob for row in together] == pytest.approx([one.logprob for one in alone], abs=1e-3)
    assert len({row.tokens for row in together}) > 2


def test_the_rows_leave_the_model_as_it_was(steps: Steps) -> None:
    before = greedy(steps.lm, [PROMPT], max_new_tokens=6)
    greedy_rows(steps.lm, PROMPT, len(SHARES), max_new_tokens=6, version=steps.rows(SHARES))
    assert greedy(steps.lm, [PROMPT], max_new_tokens=6) == before


def test_another_number_of_rows_is_refused(steps: Steps) -> None:
    with pytest.raises(InvalidInput, match="2 rows for 5 versions"):
        greedy_rows(steps.lm, PROMPT, 2, version=steps.rows(SHARES))


def test_a_first_token_can_be_given(steps: Steps) -> None:
    [plain] = greedy_rows(steps.lm, PROMPT, 1, max_new_tokens=4)
    assert plain.tokens == greedy(steps.lm, [PROMPT], max_new_tokens=4)[0].tokens
    [other] = greedy_rows(steps.lm, PROMPT, 1, max_new_tokens=4, first=[plain.runner_up])
    assert other.tokens[0] == plain.runner_up != plain.tokens[0]
    assert other.logprob <= plain.runner_up_logprob < 0


def test_nobody_asked_is_nothing_answered(steps: Steps) -> None:
    assert greedy_rows(steps.lm, PROMPT, 0) == []
