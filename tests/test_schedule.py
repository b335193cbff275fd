"""The learning rate over a run, by each schedule."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from vestiary.training.recipe import Recipe  # noqa: E402
from vestiary.training.schedule import learning_rate  # noqa: E402

RECIPE = replace(Recipe(name="x"), learning_rate=1e-2, warmup=0.25)


def rates(**choices: object) -> list[float]:
    recipe = replace(RECIPE, **choices)  # type: ignore[arg-type]
    return [learning_rate(step, 1000, recipe) for step in range(1000)]


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "constant"])
def test_the_rate_rises_to_its_peak_and_does_not_rise_again(schedule: str) -> None:
    own = rates(schedule=schedule)
    assert own[0] == pytest.approx(1e-2 / 25)
    assert max(own) == pytest.approx(1e-2)
    assert own.index(max(own)) == 250
    assert own[:251] == sorted(own[:251])
    assert own[250:] == sorted(own[250:], reverse=True)


def test_each_schedule_ends_in_its_own_way() -> None:
    assert learning_rate(1000, 1000, RECIPE) == pytest.approx(1e-2 / 250_000)
    assert learning_rate(1000, 1000, replace(RECIPE, schedule="cosine")) == pytest.approx(0, abs=1e-12)
    assert rates(schedule="constant", warmup=0) == [1e-2] * 1000


def test_without_warmup_cosine_is_half_way_down_in_the_middle() -> None:
    own = rates(schedule="cosine", warmup=0)
    assert own[0] == 1e-2
    assert own[500] == pytest.approx(5e-3)
