"""What the guides tell people to type, typed; and what they say people read, held against the program."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from conftest import Running, Vestiary

ROOT = Path(__file__).parents[1]
GUIDES = ROOT / "docs" / "guides"
ADDRESS = "http://127.0.0.1:8000"


class Block(NamedTuple):
    """A block of code in a guide: the heading that it stands under, its language and its text."""

    heading: str
    language: str
    code: str


def read_blocks(name: str) -> list[Block]:
    """Every block of a guide, in order."""
    blocks, heading = [], ""
    text = (GUIDES / f"{name}.md").read_text(encoding="utf-8")
    for title, language, code in re.findall(
        r"^## ([^\n]*)$|^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL
    ):
        heading = title or heading
        if not title:
            blocks.append(Block(heading, language, code))
    return blocks


class Typed:
    """Runs blocks as a user would, in one folder and with ``vestiary`` and the rest on the path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        programs = folder.with_name(f"{folder.name}-programs")
        programs.mkdir()
        for name, command in {"vestiary": f"{sys.executable} -m vestiary", "python3": sys.executable}.items():
            file = programs / name
            file.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            file.chmod(0o755)
        ours = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}
        self.environment = os.environ | ours | {"VESTIARY_LEDGER_URL": str(folder / "ledger.db")}

    def run(self, block: Block, *, address: str = ADDRESS, **variables: str) -> str:
        """What a block prints; it has to end with exit code 0."""
        commands = {
            "sh": ["bash", "-euo", "pipefail", "-s"],
            "python": [sys.executable, "-"],
            "js": ["node", "--input-type=module", "-"],
        }
        if block.language == "js" and shutil.which("node") is None:
            pytest.skip("Node is not installed")
        done = subprocess.run(
            commands[block.language],
            input=block.code.replace(ADDRESS, address),
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment | variables,
            timeout=300,
        )
        assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    folder = tmp_path / "work"
    folder.mkdir()
    return Typed(folder)


@pytest.fixture
def with_photos(typed: Typed) -> Typed:
    """The folder that the guide to the API speaks of."""
    photos = ROOT / "examples" / "photos"
    for name, drawn in {"photo": "red-dress", "a": "blue-jeans", "b": "black-watch"}.items():
        shutil.copy(photos / f"{drawn}.jpg", typed.folder / f"{name}.jpg")
    return typed


TypeIn = Callable[[Block], str]


@pytest.fixture
def type_in(vestiary: Vestiary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TypeIn:
    """Runs the commands of a block one by one in this process and in the test's own folder; returns what they print."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VESTIARY_LEDGER_URL", str(tmp_path / "ledger.db"))

    def run(block: Block) -> str:
        said = ""
        for line in block.code.replace("\\\n", " ").splitlines():
            if line.startswith("#"):
                continue
            program, *words = shlex.split(line, comments=True)
            assert program == "vestiary"
            *words, to = words if ">" in words else [*words, ""]
            done = vestiary(*(word for word in words if word != ">"))
            assert done.code == 0, f"{line}\n{done.err}"
            if to:
                Path(to).write_text(done.out, encoding="utf-8")
            said += done.out
        return said

    return run


def pick(heading: str) -> list[Block]:
    """Blocks of the guide to the API under one heading."""
    found = [block for block in read_blocks("api") if block.heading == heading]
    assert found
    return found


def test_curl_of_the_guide_to_the_api(service: Running, with_photos: Typed) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    several, script = (with_photos.run(block, address=service.url) for block in pick("curl"))
    decoder, answers, place = json.JSONDecoder(), [], 0
    while place < len(several.rstrip()):
        answer, place = decoder.raw_decode(several, place)
        answers.append(answer)
    one, strict, batch = answers
    assert one["predictions"]["masterCategory"] == "Apparel"
    assert len(strict["attributes"]["articleType"]["top_k"]) == 3
    assert [item["filename"] for item in batch["results"]] == ["a.jpg", "b.jpg"]
    assert (with_photos.folder / "why.png").read_bytes().startswith(b"\x89PNG")
    assert script == f"{one['category']}\n"


def test_python_of_the_guide_to_the_api(service: Running, with_photos: Typed) -> None:
    client, several, plain = (with_photos.run(block, address=service.url) for block in pick("Python"))
    first, a, b, refused = client.splitlines()
    assert re.fullmatch(r"Dresses 0\.\d+ True review", first)
    assert a.startswith("a.jpg {'gender'")
    assert b.startswith("b.jpg {'gender'")
    assert refused.startswith("415 ")
    assert several.splitlines() == ["photo.jpg Apparel", "a.jpg Apparel", "b.jpg Accessories"]
    assert "'masterCategory': 'Apparel'" in plain


def test_javascript_of_the_guide_to_the_api(service: Running, with_photos: Typed) -> None:
    from vestiary.ledger import open_ledger

    tags, batch, _ = (with_photos.run(block, address=service.url) for block in pick("JavaScript"))
    assert re.search(r"^masterCategory Apparel accepted$", tags, flags=re.MULTILINE)
    assert batch.splitlines()[1] == "b.jpg Watches"
    with open_ledger() as ledger:  # the service's own
        assert "Tunics" in {verdict.value for verdict in ledger.verdicts()}


def test_keys_of_the_guide_to_the_api(start_service: Callable[..., Running], with_photos: Typed) -> None:
    from vestiary.web.limits import make_key

    key, digest = make_key()
    running = start_service(api_keys={"shop": digest})
    for block in pick("With a key"):
        assert "Apparel" in with_photos.run(block, address=running.url, VESTIARY_KEY=key)
        if block.language == "sh":
            assert "known API key" in with_photos.run(block, address=running.url, VESTIARY_KEY="wrong")


def test_the_quick_start(service: Running, type_in: TypeIn, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples" / "photos", tmp_path / "examples" / "photos")
    blocks = {block.heading: block for block in read_blocks("quick-start")}
    assert "12 pictures, 84 tags" in type_in(blocks["2. Tag photos"])
    assert (tmp_path / "tags.csv").read_text(encoding="utf-8").count("\n") == 13
    type_in(blocks["5. Answer a whole folder"])
    assert json.loads((tmp_path / "results" / "summary.json").read_text(encoding="utf-8"))["answered"] == 12
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    said = Typed(tmp_path).run(blocks["4. Ask over HTTP"], address=service.url)
    assert json.loads(said)["status"] == "success"


def write_shop(folder: Path, draw: ModuleType) -> None:
    """A table as shops have them: columns with names of their own, and one product without its picture."""
    draw.draw_catalogue(folder / "drawn", products=60, seed=3, size=(30, 40), quirks=False)
    shutil.move(folder / "drawn" / "images", folder / "pictures")
    with (folder / "drawn" / "styles.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (folder / "products.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter=";")
        table.writerow(["sku", "title", "photo", "gender", "base_colour", "articleType", "usage"])
        for row in (*rows, rows[0] | {"id": "gone"}):
            name, colour, kind = row["productDisplayName"], row["baseColour"], row["articleType"]
            table.writerow([row["id"], name, f"pictures/{row['id']}.jpg", row["gender"], colour, kind, row["usage"]])


def test_your_own_catalogue(type_in: TypeIn, vestiary: Vestiary, draw: ModuleType, tmp_path: Path) -> None:
    write_shop(tmp_path, draw)
    blocks = [block for block in read_blocks("own-catalogue") if block.language]
    ingest, taxonomy, steps, python = blocks
    assert [block.language for block in blocks] == ["sh", "toml", "toml", "python"]
    assert "61 rows: 60 products, 1 rejected." in type_in(ingest)
    assert "gone" in (tmp_path / "catalogue" / "rejects.csv").read_text(encoding="utf-8")
    assert vestiary("check", "catalogue").code == 0
    assert vestiary("inspect", "catalogue").code == 0

    columns = ("--image-column", "photo", "--id-column", "sku", "--name-column", "title")
    for name, block in {"shop.toml": taxonomy, "steps.toml": steps}.items():
        (tmp_path / name).write_text(block.code, encoding="utf-8")
    asked = ("--attribute", "colour=base_colour", "--attribute", "articleType")
    done = vestiary("ingest", "products.csv", "--out", "closed", "--taxonomy", "shop.toml", *columns, *asked)
    assert (done.code, "2  values of articleType" in done.out) == (0, True), done.err
    wanted = ("--attribute", "baseColour=base_colour", "--attribute", "articleType", "--attribute", "usage")
    done = vestiary("ingest", "products.csv", "--out", "prepared", "--preparation", "steps.toml", *columns, *wanted)
    assert (done.code, "values of baseColour" in done.out) == (0, True), done.err
    exec(compile(python.code, "own-catalogue.md", "exec"), {})


def test_a_day_of_returned_goods(type_in: TypeIn, tmp_path: Path) -> None:
    from vestiary.bundle import open_bundle
    from vestiary.ledger import open_ledger
    from vestiary.review import Queue

    incoming, processed, told = (tmp_path / place for place in ("data/incoming", "data/processed", "told"))
    shutil.copytree(ROOT / "examples" / "photos", incoming)
    (incoming / "noon").mkdir()
    shutil.copy(incoming / "red-dress.jpg", incoming / "noon" / "red-dress.jpg")
    (incoming / "broken.jpg").write_bytes(b"cut off")
    (tmp_path / "returns.env").write_text(f"VESTIARY_LEDGER_URL={tmp_path / 'ledger.db'}\n")
    night, schedule, report, look, export = (block for block in read_blocks("returns") if block.language == "sh")

    type_in(night)
    assert not [path for path in incoming.rglob("*") if path.is_file()]
    assert {"red-dress.jpg", "red-dress_1.jpg"} == {path.name for path in (processed / "Dresses").iterdir()}
    assert [path.name for path in (processed / "quarantine").iterdir()] == ["broken.jpg"]
    type_in(schedule)
    unit = (tmp_path / "schedule" / "vestiary-batch.service").read_text(encoding="utf-8")
    assert all(word in unit for word in shlex.split(night.code)[1:])
    assert "13 answered, 1 failed" in type_in(report)
    assert (tmp_path / "report.html").is_file()
    waiting = re.search(r"Photos: (\d+) wait", type_in(look))
    assert waiting and 0 < int(waiting[1]) < 12, "of twelve photos only those of unsure articleType"

    with open_ledger() as ledger:
        queue = Queue(ledger, open_bundle(), reviewer="ada", agreement_share=0)
        for item in queue.next_items(20, attribute="articleType"):
            if item.record.name.endswith("blue-jeans.jpg"):
                assert item.photo() is not None
                queue.correct(item, "articleType", "Jeans")
    type_in(export)
    assert "articleType,Jeans,Track Pants,ada" in (told / "corrections.csv").read_text(encoding="utf-8")
    assert len(list((told / "pictures").iterdir())) == 1


def test_the_commands_of_the_guide_to_watching(service: Running, typed: Typed) -> None:
    [block] = (block for block in read_blocks("monitor") if block.language == "sh")
    said = typed.run(block, address=service.url)
    assert "vestiary_pictures_total{" in said
    assert re.search(r"^ok +service", said, flags=re.MULTILINE)


def test_both_tables_of_guides_name_every_guide_alike() -> None:
    tables = []
    for page in ("README.md", "docs/index.md"):
        text = (ROOT / page).read_text(encoding="utf-8").split("## Guides\n")[1].strip()
        tables.append(text.partition("\n\n")[0].replace("](docs/", "]("))
    assert tables[0] == tables[1]
    assert {f"guides/{guide.name}" for guide in GUIDES.glob("*.md")} <= set(re.findall(r"\]\(([^)#]+)", tables[0]))


def test_every_alert_has_its_advice() -> None:
    rules = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    advice = re.findall(
        r"^\| `(Vestiary\w+)` \|", (GUIDES / "monitor.md").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    assert advice == re.findall(r"alert: (\w+)", rules)


def test_every_event_of_the_log_is_explained_and_no_other() -> None:
    log = (GUIDES / "monitor.md").read_text(encoding="utf-8").partition("## The log")[2]
    source = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src" / "vestiary").rglob("*.py"))
    events = set(re.findall(r'write_line\(\s*"(\w+)"', source)) - {"request"}
    assert set(re.findall(r"^\| `(\w+)` \|", log, flags=re.MULTILINE)) == events


def test_the_figures_that_older_systems_are_compared_with_are_those_of_the_model_card() -> None:
    card = (ROOT / "docs" / "model-card.md").read_text(encoding="utf-8")
    guide = (GUIDES / "migrate.md").read_text(encoding="utf-8")
    ours = dict(re.findall(r"^\| ([^|]+) \| [\d.]+[^|]*\| ([\d.]+)[^|]*\|$", guide, flags=re.MULTILINE))
    names = {
        "gender": "gender",
        "article type": "articleType",
        "season": "season",
        "colour, in groups": "colour-groups",
        "65 categories": "65-way",
        "ten article types": "10-way",
    }
    assert ours.keys() == names.keys()
    for name, row in names.items():
        assert re.search(rf"^\| {row} \| [\d,]+ \| [\d,]+ \| {ours[name]} %", card, flags=re.MULTILINE), name


@cache
def list_texts() -> tuple[str, ...]:
    """Every text of the source, with ``…`` for what is put into it."""
    found = []
    for file in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(str(part) for part in parts))
    return tuple(found)


def list_messages() -> Iterator[str]:
    """The first column of each table of the guide to trouble."""
    text = (GUIDES / "troubleshooting.md").read_text(encoding="utf-8")
    for line in text.splitlines():
        first = line.removeprefix("| ").split(" |")[0]
        if line.startswith("| ") and first != "you read":
            yield first


def test_every_message_that_is_explained_is_one_that_the_program_has() -> None:
    messages = list(list_messages())
    assert len(messages) > 50
    unknown = [message for message in messages if not any(message in text for text in list_texts())]
    assert not unknown


def list_commands() -> Iterator[tuple[str, list[str]]]:
    """Each ``vestiary …`` of the documentation, from shell blocks and from code within text: its page and its words."""
    for page in (ROOT / "README.md", ROOT / "docs" / "index.md", *sorted(GUIDES.glob("*.md"))):
        text = page.read_text(encoding="utf-8")
        shell = "\n".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)).replace("\\\n", " ")
        inline = re.findall(r"`(vestiary [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL).replace("\n", " "))
        for line in (*shell.splitlines(), *inline):
            command = re.search(r"(?:^|\s)vestiary\s+(.*)", line)
            if command and not line.lstrip().startswith(("docker", "cp ", "kubectl", "install ", "-p ")):
                words = shlex.split(command[1], comments=True)
                ends = [place for place, word in enumerate(words) if word in ("|", "&&", ">", ";", "||")]
                yield page.name, words[: ends[0]] if ends else words


def test_every_command_in_the_documentation_has_the_options_that_it_is_given() -> None:
    import typer.main

    from vestiary.cli.main import app

    root: Any = typer.main.get_command(app)
    wrong, seen = [], 0
    for page, words in list_commands():
        command, rest = root, words
        while rest and rest[0] in getattr(command, "commands", {}):
            command, rest = command.commands[rest[0]], rest[1:]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        given = [word.partition("=")[0] for word in rest if word.startswith("--") and len(word) > 2]
        seen += 1
        if (command is root and rest[:1] not in ([], ["--version"], ["…"])) or not {"--help", *options} >= set(given):
            wrong.append(f"{page}: vestiary {' '.join(words)}")
    assert seen > 100
    assert not wrong
