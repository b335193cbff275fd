"""A batch that is killed, for real, at random moments, while pictures keep arriving."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from batches import Batches, count_files, paint_folder
from vestiary.bundle import open_bundle
from vestiary.ledger import open_ledger

pytestmark = pytest.mark.slow

KILLS = 60
ARRIVALS = 150
"""Pictures that arrive before each run."""
SEED = 7


@pytest.mark.parametrize("mode", ["copy", "move"])
def test_killed_sixty_times_every_picture_is_answered_and_filed_once(
    make_bundle: Callable[..., Path], tmp_path: Path, mode: str
) -> None:
    bundle, photos, out = make_bundle(), tmp_path / "photos", tmp_path / "out"
    words = [sys.executable, "-m", "vestiary", "batch", str(photos), "--out", str(out), "--bundle", str(bundle)]
    words += ["--ledger", str(tmp_path / "ledger.db"), "--file-by", "baseColour", "--file-mode", mode]
    chance, names, arrived = random.Random(SEED), [], Counter[bytes]()
    n_killed = n_busy = 0
    while n_killed < KILLS:
        fresh = [f"{n_killed + n_busy:03d}/{number}.png" for number in range(ARRIVALS)]
        arrived += count_files(paint_folder(tmp_path / "fresh", fresh))
        for folder in (tmp_path / "fresh").iterdir():
            folder.rename(photos / folder.name) if photos.exists() else folder.parent.rename(photos)
        names += fresh
        run = subprocess.Popen(words)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(chance.uniform(0.3, 2.5))
        run.kill()
        n_killed += run.wait() < 0
        n_busy += run.returncode == 0
    assert subprocess.run(words, check=False).returncode == 0
    with open_ledger(tmp_path / "ledger.db") as ledger:
        Batches(open_bundle(bundle), out, ledger).check_exact(names)
        (job,) = ledger.jobs()
    assert (job.state, job.n_done, job.n_failed, job.n_total) == ("finished", len(names), 0, len(names))
    assert count_files(out) == arrived
    assert count_files(photos) == (Counter() if mode == "move" else arrived)
    print(f"{n_killed} kills, {n_busy} runs that ended before, {len(names)} pictures, {mode}", file=sys.stderr)
