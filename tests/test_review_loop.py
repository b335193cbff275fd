"""The loop closed, by the commands of docs/guides/review.md: answers, verdicts, corrections, training, promotion."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from conftest import Vestiary
from vestiary.bundle import open_bundle
from vestiary.catalogue import load_catalogue
from vestiary.ledger import open_ledger
from vestiary.product import Split
from vestiary.review import BANDS, Queue

TINY = (
    *("--threads", "1", "--licence", "MIT", "--set", "width=30", "--set", "height=40"),
    *("--set", "stem=8", "--set", "stages=[[16, 1], [32, 1], [64, 1]]", "--set", "batch_size=32"),
    *("--set", "learning_rate=1e-2", "--set", "precision=fp32", "--set", "erase=0", "--set", "dropout=0"),
    *("--set", "ema=0"),  # an average over 0.999 steps each has learnt nothing yet after a hundred
)


def take_part(drawn: Path, folder: Path, n: int) -> tuple[Path, dict[str, dict[str, str]]]:
    """A shop with the first ``n`` products alone; and the true labels of all, by the name of the picture."""
    with (drawn / "styles.csv").open(newline="", encoding="utf-8") as file:
        lines = file.readlines()
    (folder / "images").mkdir(parents=True)
    (folder / "styles.csv").write_text("".join(lines[: n + 1]), encoding="utf-8")
    rows = list(csv.DictReader(lines))
    for row in rows[:n]:
        shutil.copy(drawn / "images" / f"{row['id']}.jpg", folder / "images")
    return folder, {f"{row['id']}.jpg": row for row in rows}


def train(vestiary: Vestiary, catalogue: Path, out: Path, epochs: int) -> None:
    phases = f"phases=[{{epochs={epochs}, height=40, width=30}}]"
    done = vestiary("train", catalogue, "--out", out, "--set", phases, *TINY)
    assert done.code == 0, done.err


def test_what_people_say_becomes_a_better_bundle(
    drawn_folder: Path, tmp_path: Path, vestiary: Vestiary, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    monkeypatch.setenv("VESTIARY_LEDGER_URL", str(tmp_path / "ledger.db"))
    shop, truth = take_part(drawn_folder, tmp_path / "shop", 160)
    catalogue, live, new = tmp_path / "catalogue", tmp_path / "live", tmp_path / "new"
    assert vestiary("ingest", shop, "--out", catalogue).code == 0
    train(vestiary, catalogue, live, epochs=3)

    incoming = tmp_path / "incoming"
    shutil.copytree(drawn_folder / "images", incoming)
    assert vestiary("batch", incoming, "--out", tmp_path / "results", "--bundle", live).code == 0
    with open_ledger() as ledger:
        bundle = open_bundle(live)
        queue = Queue(ledger, bundle, reviewer="ada", agreement_share=0)
        while items := queue.next_items(50, "uncertain", bands=[band.name for band in BANDS]):
            for item in items:
                right = {name: truth[item.record.name][name] for name in item.tags}
                known = {name for name, value in right.items() if value in bundle.taxonomy[name].values}
                for name in known:
                    if item.tags[name].value != right[name]:
                        queue.correct(item, name, right[name])
                if known == item.tags.keys():
                    queue.accept(item)
                else:
                    queue.skip(item)  # what it is the bundle has no word for

    told = tmp_path / "told"
    assert vestiary("review", "export", told).code == 0
    before = {product.id: (product.split, product.labels) for product in load_catalogue(catalogue).products}
    again = ("ingest", shop, "--out", catalogue, "--overwrite", "--corrections", told / "corrections.csv")
    done = vestiary(*again, "--json")
    counts = json.loads(done.out)["corrections"]
    assert counts["unmatched"] == 0
    taught = load_catalogue(catalogue)
    mine = {product.id: (product.split, product.labels) for product in taught.products if product.id in before}
    assert mine == before, "people said of known products what the shop says of them"
    fresh = [product for product in taught.products if product.id not in before]
    assert len(fresh) == counts["new_products"] > 250
    assert all(product.split == Split.TRAIN for product in fresh)

    train(vestiary, catalogue, new, epochs=10)
    old, better = open_bundle(live).fingerprint, open_bundle(new).fingerprint
    done = vestiary("promote", new, "--over", live, "--catalogue", catalogue, "--json")
    assert done.code == 0, done.out
    assert all(own["interval"][1] >= 0 for own in json.loads(done.out)["comparison"]["attributes"].values())
    assert open_bundle(live).fingerprint == better
    back = vestiary("promote", Path(json.loads(done.out)["kept"]), "--over", live, "--catalogue", catalogue)
    assert (back.code, open_bundle(live).fingerprint) == (1, better), "the old one does not come back"
    assert old != better
