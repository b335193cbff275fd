"""A million rows are read in memory that grows by the product, not by the cell: what bounds it is decision 0006."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import paint_picture

N_ROWS = 1_000_000
PICTURES = 50
MOST_MIB = 800

INGEST = """
import sys
from pathlib import Path
from vestiary.catalogue import ingest, load_catalogue
catalogue = ingest(Path(sys.argv[1]))
catalogue.save(Path(sys.argv[2]))
# VmHWM and not ru_maxrss: the latter starts at the size of the process that started this one.
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
print(len(catalogue.products), int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is there on Linux only")
def test_a_million_rows_are_ingested_in_bounded_memory(tmp_path: Path) -> None:
    for number in range(PICTURES):
        (tmp_path / f"{number}.png").write_bytes(paint_picture((number, 0, 0)))
    with (tmp_path / "products.csv").open("w", encoding="utf-8") as table:
        table.write("id,image,name,gender,articleType,baseColour,season\n")
        for row in range(N_ROWS):
            name = f"Brand {row % 400} no. {row}, a product's name of the usual length"
            table.write(f'{row},{row % PICTURES}.png,"{name}",Men,Type {row % 140},Colour {row % 46},Summer\n')
    command = [sys.executable, "-c", INGEST, str(tmp_path / "products.csv"), str(tmp_path / "out")]
    n_products, peak_mib = map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
    assert n_products == N_ROWS
    assert peak_mib < MOST_MIB
