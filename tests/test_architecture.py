"""Keeps the floors of docs/architecture.md: imports run downward, heavy packages stay behind their walls."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "vestiary"

FLOORS = {
    "errors": 0,
    "taxonomy": 1,
    "product": 1,
    "images": 1,
    "tags": 1,
    "interruption": 1,
    "priority": 1,
    "utf8": 1,
    "cluster": 1,
    "metrics": 2,
    "calibration": 2,
    "drift": 2,
    "catalogue": 2,
    "charts": 2,
    "album": 2,
    "bundle": 3,
    "checks": 3,
    "ledger": 3,
    "predictor": 4,
    "reports": 4,
    "client": 2,
    "notices": 2,
    "health": 4,
    "schedule": 4,
    "promotion": 4,
    "training": 5,
    "batch": 5,
    "similar": 5,
    "review": 5,
    "pages": 6,
    "web": 7,
    "cli": 8,
}
"""The rooms that hold something; a new one takes its floor from docs/architecture.md."""

WALLS = {
    "torch": "training",
    "onnx": "training",
    "transformers": "training",
    "accelerate": "training",
    "fastapi": "web",
    "starlette": "web",
    "streamlit": "pages",
    "uvicorn": "web",
    "httptools": "web",
    "httpx": "client web",
    "alembic": "ledger",
    "usearch": "similar",
    "ray": "cluster batch training web",
}
HEAVY = (
    "torch",
    "transformers",
    "onnx",
    "onnxruntime",
    "pandas",
    "sklearn",
    "cleanlab",
    "pyarrow",
    "fastapi",
    "httpx",
    "pydantic",
    "uvicorn",
    "streamlit",
    "ray",
    "numpy",
    "PIL",
    "altair",
    "jinja2",
    "vl_convert",
    "weasyprint",
    "datasets",
    "fsspec",
    "openpyxl",
    "sqlalchemy",
    "alembic",
    "usearch",
)
WORDS_NOT_USED = {"utils", "common", "helpers", "manager", "core", "base", "engine"}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).parts
    return parts[0].removesuffix(".py")


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(path) for path in modules()} - {"__init__", "__main__"}
    assert rooms == set(FLOORS)


def test_imports_run_downward_and_rooms_of_one_floor_do_not_know_each_other() -> None:
    wrong = []
    for path in modules():
        own = room_of(path)
        if own in ("__init__", "__main__"):
            continue
        for name in imported_names(path):
            parts = name.split(".")
            if parts[0] != "vestiary" or len(parts) < 2 or parts[1] not in FLOORS or parts[1] == own:
                continue
            if FLOORS[parts[1]] >= FLOORS[own]:
                wrong.append(
                    f"{path.relative_to(SOURCE)} (floor {FLOORS[own]}) imports {name} (floor {FLOORS[parts[1]]})"
                )
    assert not wrong, "\n".join(wrong)


def test_rooms_are_named_where_they_are_imported_from() -> None:
    for path in modules():
        for name in imported_names(path):
            assert (
                name == "vestiary.__version__"
                or name.split(".")[:2] != ["vestiary", name.split(".")[-1]]
                or (name.split(".")[1] in FLOORS)
            ), f"{path.relative_to(SOURCE)} imports {name} from the package's root"


def test_walled_packages_are_imported_only_in_their_room() -> None:
    wrong = []
    for path in modules():
        for name in imported_names(path):
            package = name.split(".")[0]
            if package in WALLS and room_of(path) not in WALLS[package].split():
                wrong.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_module_names_say_something() -> None:
    names = {path.stem for path in modules()} | {path.parent.name for path in modules()}
    assert not names & WORDS_NOT_USED
    files = {path.stem for path in modules() if not path.stem.startswith("__")}
    assert not {name for name in files if name in sys.stdlib_module_names} - {"inspect"}


@pytest.mark.parametrize(
    "statement", ["import vestiary", "import vestiary.cli.main", "import vestiary.training.recipe"]
)
def test_light_imports_load_nothing_heavy(statement: str) -> None:
    allowed = {"numpy", "PIL"} if "recipe" in statement else set()
    assert not loaded_after(statement) & (set(HEAVY) - allowed)


def test_tagging_needs_no_training_package() -> None:
    loaded = loaded_after("import vestiary.predictor")
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "onnx", "pandas", "pyarrow"}


def test_a_report_loads_its_drawing_packages_only_when_it_draws() -> None:
    loaded = loaded_after(
        "import vestiary.charts, vestiary.reports.catalogue, vestiary.reports.operations, vestiary.reports.page"
    )
    assert not loaded & {"altair", "jinja2", "vl_convert", "weasyprint", "pandas", "torch", "onnxruntime"}


def test_reading_a_csv_needs_no_table_package() -> None:
    assert not loaded_after("import vestiary.catalogue") & {"pandas", "pyarrow", "openpyxl", "datasets", "fsspec"}


def test_serving_loads_no_table_chart_or_training_package() -> None:
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    loaded = loaded_after("import vestiary.web.workers")
    assert "fastapi" in loaded
    assert not loaded & {"torch", "onnx", "pandas", "pyarrow", "altair", "httpx", "streamlit"}


def test_the_client_needs_nothing_of_the_service() -> None:
    pytest.importorskip("httpx", reason="the extra 'serve' is not installed")
    loaded = loaded_after("import vestiary.client")
    assert not loaded & {"fastapi", "numpy", "PIL", "onnxruntime", "pydantic"}


def test_training_loads_torch() -> None:
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    assert "torch" in loaded_after("import vestiary.training.fit")


def test_public_names_are_sorted_and_importable() -> None:
    package = importlib.import_module("vestiary")
    assert list(package.__all__) == sorted(package.__all__)
    for name in package.__all__:
        assert getattr(package, name) is not None
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = package.nonsense


def test_every_finding_is_in_the_docs_and_no_other() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (SOURCE / "checks").rglob("*.py"))
    names = set(re.findall(r'"((?:files|labels|duplicates|balance)\.[a-z_]+)"', code))
    names |= {f"{name}_across_splits" for name in names if name.startswith("duplicates.")}
    docs = (SOURCE.parents[1] / "docs" / "checks.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`((?:files|labels|duplicates|balance)\.[a-z_]+)`", docs)) == names
