"""What is run is told to nobody by the packages that would tell their makers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

UNSAID = {"CI", "DO_NOT_TRACK", "HF_HUB_DISABLE_TELEMETRY", "MLFLOW_DISABLE_TELEMETRY", "ORT_DISABLE_TELEMETRY"}
UNSAID |= {"ORT_RUNNING_UNIT_TESTS", "PYTEST_CURRENT_TEST", "RAY_USAGE_STATS_ENABLED"}
"""Variables any of which would hide what the packages do otherwise."""
PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "red-cap.jpg"


def run(words: list[str], **variables: str) -> str:
    plain = {name: value for name, value in os.environ.items() if name not in UNSAID}
    done = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True, env=plain | variables)
    return done.stdout


@pytest.mark.parametrize("how", ["command", "python"])
def test_answering_a_photo_leaves_nothing_to_be_sent(how: str, tmp_path: Path) -> None:
    code = f"import vestiary; vestiary.Predictor(vestiary.open_bundle()).predict([{str(PHOTO)!r}])"
    words = ["-m", "vestiary", "tag", str(PHOTO)] if how == "command" else ["-c", code]
    run(words, XDG_CACHE_HOME=str(tmp_path / "cache"), HOME=str(tmp_path / "home"))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("package", "question"),
    [
        ("mlflow", "from mlflow.telemetry.utils import is_telemetry_disabled as told; print(told())"),
        ("huggingface_hub", "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"),
    ],
)
def test_other_packages_hear_that_nothing_is_to_be_told(package: str, question: str) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    assert run(["-W", "ignore", "-c", f"import vestiary; {question}"]).splitlines()[-1] == "True"
    assert run(["-W", "ignore", "-c", question]).splitlines()[-1] == "False", "the question says nothing"
