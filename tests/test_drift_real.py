"""The drift report on real photos: fresh ones raise no alarm; other categories, less light and other photos do."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from vestiary.bundle import open_bundle
from vestiary.catalogue import ingest
from vestiary.drift import FALSE_ALARMS
from vestiary.predictor import Predictor

Rates = dict[tuple[str, int], tuple[float, float]]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("drift", Path(__file__).parents[1] / "benchmarks" / "drift.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rates(benchmark: ModuleType, real_small: Path) -> Rates:
    """Shares of windows with an alarm, ours and by the rule of thumb, by change and size."""
    bundle = open_bundle()
    if bundle.reference is None:
        pytest.skip("the default bundle has no reference for drift")
    others = real_small.with_name("clothing-wild.zip")
    samples = benchmark.collect_samples(Predictor(bundle), ingest(real_small), others if others.is_file() else None)
    found: Rates = benchmark.measure_all(bundle.reference, samples)
    return found


@pytest.mark.slow
def test_fresh_photos_of_the_test_split_raise_as_few_alarms_as_stated(rates: Rates, benchmark: ModuleType) -> None:
    for n in benchmark.SIZES:
        assert rates["unchanged", n][0] <= 2 * FALSE_ALARMS, n
    assert rates["unchanged", 100][1] > 0.5  # the rule of thumb cries at chance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "n"), [("categories swapped", 100), ("categories swapped", 500), ("darkened by 30 %", 100)]
)
def test_other_categories_and_less_light_are_told(rates: Rates, change: str, n: int) -> None:
    assert rates[change, n][0] > 0.95


@pytest.mark.slow
def test_other_photos_are_told_and_even_a_few_among_many(rates: Rates) -> None:
    if ("other photos", 100) not in rates:
        pytest.skip("the other photos (clothing-wild.zip) are not beside the Fashion Product Images")
    assert rates["other photos", 100][0] == 1
    assert rates["one in twenty other photos", 1000][0] > 0.95
