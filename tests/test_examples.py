"""What README and examples/ promise, run."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from vestiary.catalogue import ingest

ROOT = Path(__file__).parents[1]


def test_the_journey_in_one_script_runs_to_its_end(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    done = subprocess.run(
        [str(ROOT / "examples" / "end_to_end.sh"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    assert "export and network agree to" in done.stderr
    assert "test split" in done.stdout
    assert "navy-blue-tshirt.jpg" in done.stdout
    assert (tmp_path / "bundle" / "manifest.json").is_file()
    assert (tmp_path / "calibrated" / "manifest.json").is_file()


def test_python_in_the_readme_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "masterCategory Apparel" in capsys.readouterr().out


def test_the_readme_shows_what_the_demo_prints() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = [sys.executable, "-m", "vestiary", "tag", "examples/photos"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    # Confidences may differ by a last digit between processors; pictures and values may not.
    lines = [line.rstrip() for line in done.stdout.splitlines() if " % " not in line]
    assert len(lines) > 12
    assert [line for line in lines if line not in readme] == []


def test_links_in_the_documentation_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not dead


def test_every_picture_in_examples_is_what_the_program_draws(tmp_path: Path) -> None:
    program = ROOT / "examples" / "draw_photos.py"
    subprocess.run([sys.executable, str(program), "photos", str(tmp_path)], check=True)
    shipped = ROOT / "examples" / "photos"
    assert {file.name for file in tmp_path.iterdir()} == {file.name for file in shipped.iterdir()}
    for file in tmp_path.iterdir():
        with Image.open(file) as drawn, Image.open(shipped / file.name) as kept:
            assert ImageChops.difference(drawn, kept).getextrema() == ((0, 0),) * 3


def test_sources_are_joined_with_the_same_test_split(drawn_folder: Path, tmp_path: Path) -> None:
    medium, wild = tmp_path / "medium.zip", tmp_path / "wild.zip"
    names = sorted(path.name for path in (drawn_folder / "images").iterdir())[:40]
    with zipfile.ZipFile(medium, "w") as archive:
        for name in names:
            archive.write(drawn_folder / "images" / name, f"images/{name}")
    with zipfile.ZipFile(wild, "w") as archive:
        archive.write(drawn_folder / "images" / names[0], "train/hat/one.jpg")
        archive.write(drawn_folder / "images" / names[1], "validation/hat/two.jpg")
    small = shutil.make_archive(str(tmp_path / "small"), "zip", drawn_folder)
    script = [sys.executable, str(ROOT / "examples" / "default_catalogue.py"), small, "--out", str(tmp_path / "joined")]
    subprocess.run([*script, "--medium", str(medium), "--wild", str(wild)], check=True, capture_output=True)

    plain = {product.id: product for product in ingest(small).products}
    with (tmp_path / "joined" / "products.csv").open(encoding="utf-8", newline="") as table:
        rows = {row["id"]: row for row in csv.DictReader(table)}
    assert {row["id"] for row in rows.values() if row["split"] == "test" and "-" not in row["id"]} == {
        product.id for product in plain.values() if product.split == "test"
    }
    moved = {key for key, product in plain.items() if rows[key]["split"] != product.split}
    assert moved and all(plain[key].split == "validation" and rows[key]["split"] == "train" for key in moved)
    twins = [row for row in rows.values() if row["id"].endswith("-medium")]
    assert len(twins) == len(names)
    assert all(row["split"] == rows[row["id"].removesuffix("-medium")]["split"] for row in twins)
    assert [row["articleType"] for row in rows.values() if row["id"].startswith("wild-")] == ["Caps"]
    assert all((tmp_path / "joined" / "pictures" / row["image"]).is_file() for row in rows.values())
