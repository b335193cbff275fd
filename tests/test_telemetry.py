"""What is run is told to nobody: ONNX Runtime keeps no identity of the machine and no events to send."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "red-cap.jpg"


@pytest.mark.parametrize("how", ["command", "python"])
def test_answering_a_photo_leaves_nothing_to_be_sent(how: str, tmp_path: Path) -> None:
    code = f"import vestiary; vestiary.Predictor(vestiary.open_bundle()).predict([{str(PHOTO)!r}])"
    words = ["-m", "vestiary", "tag", str(PHOTO)] if how == "command" else ["-c", code]
    quiet = {"CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"}  # any of these would hide what it does otherwise
    variables = {name: value for name, value in os.environ.items() if name not in quiet}
    variables |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path / "home")}
    subprocess.run([sys.executable, *words], check=True, capture_output=True, env=variables)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
