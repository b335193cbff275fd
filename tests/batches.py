"""What the tests of batches share: a source of coloured pictures, and a look at all that a batch left."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import paint_picture
from vestiary.batch import BatchOptions, BatchReport, run_batch
from vestiary.bundle import Bundle
from vestiary.ledger import Ledger, open_ledger

COLOURS = {"Red": (250, 5, 5), "Green": (5, 250, 5), "Blue": (5, 5, 250)}


def paint_folder(folder: Path, names: Iterable[str]) -> Path:
    """Pictures of red, green and blue in turn; no two have the same bytes."""
    for number, name in enumerate(names):
        red, green, blue = list(COLOURS.values())[number % 3]
        shade = number // 3
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(paint_picture((red, green ^ (shade & 7), blue ^ (shade >> 3 & 7))))
    return folder


def count_files(folder: Path) -> Counter[bytes]:
    """Every file below a folder by its bytes, hidden ones too, but for the state of a batch and its results."""
    own = {"results.jsonl", "results.csv", "results.parquet", "errors.jsonl", "summary.json"}
    files = (file for file in folder.rglob("*") if file.is_file() and ".batch" not in file.parts)
    return Counter(file.read_bytes() for file in files if file.name not in own)


@dataclass
class Batches:
    """Runs batches of one bundle into one folder with one ledger, and reads what they left."""

    bundle: Bundle
    out: Path
    ledger: Ledger
    said: list[str] = field(default_factory=list)
    slept: float = 0.0

    def run(self, place: object, **given: Any) -> BatchReport:
        """One run; options of BatchOptions and of run_batch alike."""
        own = {name: given.pop(name) for name in list(given) if name in BatchOptions.__dataclass_fields__}
        given = {"bundle": self.bundle, "ledger": self.ledger, "say": self.said.append, "sleep": self.sleep} | given
        return run_batch(str(place), given.pop("out", self.out), options=BatchOptions(**own), **given)

    def sleep(self, seconds: float) -> None:
        """Takes no time, but is remembered."""
        self.slept += seconds

    def rows(self) -> list[dict[str, Any]]:
        """The rows of results.jsonl."""
        return read_jsonl(self.out / "results.jsonl")

    def errors(self) -> list[dict[str, Any]]:
        """The rows of errors.jsonl."""
        return read_jsonl(self.out / "errors.jsonl")

    def summary(self) -> dict[str, Any]:
        """What summary.json says."""
        return dict(json.loads((self.out / "summary.json").read_text(encoding="utf-8")))

    def check_exact(self, names: Iterable[str]) -> None:
        """Fail unless each of these was answered exactly once, in the results and in the ledger alike."""
        wanted = Counter(names)
        assert Counter(row["id"] for row in self.rows()) == wanted
        kept = [record.name for record in self.ledger.predictions()] + [one.name for one in self.ledger.failures()]
        assert Counter(kept) == wanted
        assert self.summary()["pictures"] == wanted.total()
        hidden = [file.name for file in self.out.rglob(".*") if file.name != ".batch"]
        assert not hidden, "something half-written was left"


def read_jsonl(file: Path) -> list[dict[str, Any]]:
    """Every line of a file of JSON lines."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def open_batches(bundle: Bundle, folder: Path) -> Batches:
    """Batches into ``folder/out`` with a ledger beside it; the folder is made where it is missing."""
    folder.mkdir(exist_ok=True)
    return Batches(bundle, folder / "out", open_ledger(folder / "ledger.db"))
