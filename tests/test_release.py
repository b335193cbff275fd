"""What a release is made by: workflows, versions and notes, hooks; and, slowly, what it is made of."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from vestiary import __version__

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def load_workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((GITHUB / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))
    return found


# Workflows, templates, hooks


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("vendor.github-workflows", "workflows/*.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_workflows_and_templates_are_valid(schema: str, files: str) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    found = sorted(map(str, GITHUB.glob(files)))
    assert found
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *found]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_workflows_make_can_be_made() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for file in (GITHUB / "workflows").glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets
        assert all((ROOT / path).exists() for path in re.findall(r"\.ci/\w+\.py|\./\.github/[\w/.]+", text))


def test_tests_run_on_every_python_that_is_promised() -> None:
    told = [name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+$", name)]
    assert load_workflow("check")["jobs"]["test"]["strategy"]["matrix"]["python"] == told
    assert PROJECT["requires-python"] == f">={told[0]}"


def test_publishing_needs_no_stored_secret_and_rights_are_given_where_they_are_used() -> None:
    for file in (GITHUB / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert "secrets." not in file.read_text(encoding="utf-8")
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            wanted = {"publish": {"id-token": "write"}, "announce": {"contents": "write"}}.get(name)
            assert job.get("permissions") == wanted, name
    publish = load_workflow("release")["jobs"]["publish"]
    assert publish["environment"]
    assert set(publish["needs"]) == {"build", "notes"}


def test_hooks_are_local_and_are_what_the_checks_run() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert all(hook["language"] == "system" for hook in hooks)
    checked = re.findall(r"\$\(BIN\)/(ruff \w+|mypy)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    entries = " ".join(hook["entry"] for hook in hooks)
    assert all(f".venv/bin/{tool}" in entries for tool in checked)


def test_a_commit_that_is_not_in_order_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("pre_commit", reason="pre-commit is not installed")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "untidy.py").write_text('"""A module."""\nx = { "a":1 }\n')
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    subprocess.run(["git", "-C", str(tmp_path), "add", "untidy.py", ".pre-commit-config.yaml"], check=True)
    command = [sys.executable, "-m", "pre_commit", "run", "--color=never"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"ruff format\.+Failed", done.stdout)
    assert (tmp_path / "untidy.py").read_text() == '"""A module."""\n\nx = {"a": 1}\n'


# Versions and notes


@pytest.fixture
def notes() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release_notes", ROOT / ".ci" / "release_notes.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_version_and_changelog_are_in_order(notes: ModuleType) -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = list(notes.read_sections(text))
    assert versions[0] == "Unreleased"
    released = [Version(version) for version in versions[1:]]
    assert released == sorted(released, reverse=True)
    assert all(version <= Version(__version__) for version in released)
    dated = re.findall(r"^## \[\d[^\]]*\] - \d{4}-\d{2}-\d{2}$", text, re.M)
    assert len(dated) == len(released)
    assert notes.read_version((ROOT / "src/vestiary/__init__.py").read_text(encoding="utf-8")) == __version__


def test_a_tag_is_released_only_with_its_version_and_notes(
    notes: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "src" / "vestiary").mkdir(parents=True)
    (tmp_path / "src" / "vestiary" / "__init__.py").write_text('__version__ = "1.2.0"\n')
    log = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- new\n\n## [1.1.0] - 2026-01-02\n\n- old\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    assert notes.main("1.3.0", tmp_path) == 1
    assert "The tag says 1.3.0 and the package 1.2.0" in capsys.readouterr().err
    assert notes.main("1.2.0", tmp_path) == 1
    assert "no section for 1.2.0" in capsys.readouterr().err
    (tmp_path / "CHANGELOG.md").write_text(log.replace("[Unreleased]\n", "[Unreleased]\n\n## [1.2.0] - 2026-03-04\n"))
    assert notes.main("1.2.0", tmp_path) == 0
    assert capsys.readouterr().out == "### Added\n\n- new\n"


def test_requirements_of_the_makefile_are_those_of_the_project() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    dev = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]["dev"]
    block = re.search(r"-e '\.\[([a-z,]+)\]' \\\n((?:.*\\\n)*.*)", text)
    assert block is not None
    assert set(block[2].replace("\\", " ").split()) >= set(dev)
    assert set(block[1].split(",")) | {"tracking"} == set(EXTRAS)  # whose two packages are among those of dev


# The packages themselves


class Built(NamedTuple):
    """The files of a release."""

    wheel: Path
    sdist: Path


class Place(NamedTuple):
    """A clean environment with the wheel in it."""

    python: Path
    wheel: Path

    def run(self, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(self.python), "-I", "-m", "vestiary", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel is made from the sdist, so that this has all that is needed."""
    pytest.importorskip("build", reason="build is not installed")
    pytest.importorskip("hatchling", reason="hatchling is not installed")
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(wheel, sdist)


def install(python: Path, *wanted: str, dry: bool = False) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    command += ["-c", str(ROOT / "constraints.txt"), *(["--dry-run", "--report", "-"] if dry else []), *wanted]
    return subprocess.run(command, capture_output=True, text=True, timeout=540)


@pytest.fixture(scope="module")
def base(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A clean environment with the wheel and what it cannot do without."""
    place = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    python = place / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    done = install(python, str(built.wheel))
    assert done.returncode == 0, done.stderr
    return Place(python, built.wheel)


def list_packages(python: Path) -> dict[str, str]:
    code = "import importlib.metadata as m; print('\\n'.join(f'{d.name} {d.version}' for d in m.distributions()))"
    done = subprocess.run([str(python), "-I", "-c", code], capture_output=True, text=True, check=True)
    pairs = (line.split() for line in done.stdout.splitlines())
    return {canonicalize_name(name): version for name, version in pairs}


@pytest.mark.slow
def test_both_packages_hold_the_bundle_and_what_the_program_reads(built: Built) -> None:
    there = {file.relative_to(ROOT / "src").as_posix() for file in (ROOT / "src").rglob("*") if file.is_file()}
    there = {name for name in there if "__pycache__" not in name and ".egg-info" not in name}
    with zipfile.ZipFile(built.wheel) as wheel:
        packed = set(wheel.namelist())
        assert there <= packed
        assert {name.split("/")[0] for name in packed} == {"vestiary", f"vestiary-{__version__}.dist-info"}
        assert f"vestiary-{__version__}.dist-info/licenses/LICENSE" in packed
        for name in ("manifest.json", "model.onnx", "model.int8.onnx", "card.md"):
            inside = f"vestiary/bundles/default/{name}"
            assert wheel.read(inside) == (ROOT / "src" / inside).read_bytes()
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {f"src/{name}" for name in there} <= names
    assert {"pyproject.toml", "constraints.txt", "deploy/Dockerfile", "tests/test_release.py"} <= names
    made = ("work/", "dist/", "build/", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis")
    assert not {name for name in names if name.startswith(made) or "__pycache__" in name}


@pytest.mark.slow
def test_the_wheel_alone_tags_and_says_what_is_missing(base: Place, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "photos", tmp_path / "photos")
    assert base.run("--version").stdout == f"vestiary {__version__}\n"
    done = base.run("tag", "photos", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tagged = json.loads(done.stdout)
    assert len(tagged) == len(list((tmp_path / "photos").iterdir()))
    done = base.run("batch", "photos", "--out", "results", "--ledger", tmp_path / "ledger.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for words, extra in ((["serve"], "serve"), (["tag", "a.jpg", "--bundle", "s3://a/b"], "cloud")):
        done = base.run(*words, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert f"pip install 'vestiary[{extra}]'" in done.stderr
    assert not {"torch", "fastapi", "pandas", "streamlit", "ray"} & list_packages(base.python).keys()


@pytest.mark.slow
def test_the_bill_of_materials_names_every_package_and_its_version(base: Place, tmp_path: Path) -> None:
    pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom is not installed")
    bill = tmp_path / "vestiary.cdx.json"
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--validate"]
    done = subprocess.run([*command, "--output-file", str(bill), str(base.python)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = {canonicalize_name(part["name"]): part["version"] for part in json.loads(bill.read_text())["components"]}
    assert told == list_packages(base.python)
    assert told["vestiary"] == __version__


IMPORTED = {
    "cloud": "fsspec",
    "postgres": "psycopg",
    "serve": "fastapi",
    "share": "pyngrok",
    "similar": "usearch.index",
}
"""The extras that are installed for the test, each with what it brings; all others are heavy and only resolved."""


@pytest.fixture
def make_place(base: Place, tmp_path: Path) -> Iterator[Callable[[], Place]]:
    """``make_place()``: an environment beside the base one, which it sees; what is installed into it lies apart."""

    def make() -> Place:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "extra")], check=True)
        python = tmp_path / "extra" / base.python.relative_to(base.python.parents[1])
        (shared,) = base.python.parents[1].rglob("site-packages")
        (own,) = (tmp_path / "extra").rglob("site-packages")
        (own / "base.pth").write_text(f"{shared}\n")
        return Place(python, base.wheel)

    yield make
    shutil.rmtree(tmp_path / "extra", ignore_errors=True)


@pytest.mark.slow
@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_each_extra_can_be_had_for_the_wheel(extra: str, make_place: Callable[[], Place], tmp_path: Path) -> None:
    place = make_place()
    dry = extra not in IMPORTED
    done = install(place.python, f"vestiary[{extra}] @ {place.wheel.as_uri()}", dry=dry)
    assert done.returncode == 0, done.stderr
    if dry:
        chosen = {canonicalize_name(each["metadata"]["name"]) for each in json.loads(done.stdout)["install"]}
        wanted = {canonicalize_name(Requirement(each).name) for each in EXTRAS[extra]}
        assert wanted <= chosen | list_packages(place.python).keys()
        return
    code = f"import vestiary.predictor, {IMPORTED[extra]}"
    subprocess.run([str(place.python), "-I", "-c", code], check=True)
    if extra == "serve":
        assert "VESTIARY_API_KEYS=shop=" in place.run("serve", "--new-key", "shop").stdout
    if extra == "cloud":
        bundle = ROOT / "src" / "vestiary" / "bundles" / "default"
        told = place.run("inspect", bundle.as_uri(), "--json")
        assert json.loads(told.stdout)["fingerprint"] in (bundle / "manifest.json").read_text(encoding="utf-8")
