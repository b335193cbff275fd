"""Nightly schedules as their schedulers take them: valid files, and every argument as it was given."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vestiary.cli.main import main
from vestiary.errors import UsageError
from vestiary.schedule import Nightly, write_cron, write_systemd, write_windows

ODD = (
    "my photos",
    "100%",
    "$HOME",
    "it's",
    'a "quoted" one',
    "back\\slash\\",
    "two\nlines",
    "r\udce9sum\udce9",
    "Größe",
    "",
)
"""Arguments that a careless schedule would change: the one before the last but one is no UTF-8."""


def make(folder: Path, program: str = "/bin/true", /, **parts: object) -> Nightly:
    given = {"arguments": ("batch", *ODD), "at": time(2, 30), "folder": str(folder), "place": str(folder)} | parts
    return Nightly(program=(program,), **given)  # type: ignore[arg-type]


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A program that writes its arguments and its folder to ``told.json``, and leaves with the code in ``$CODE``."""
    path = tmp_path / "the recorder"
    path.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        "told = [sys.argv[1:], os.getcwd(), os.environ.get('SECRET')]\n"
        f"json.dump(told, open({str(tmp_path / 'told.json')!r}, 'w'))\n"
        "print('spoke'); sys.exit(int(os.environ.get('CODE', 0)))\n"
    )
    path.chmod(0o755)
    return path


def unquote(line: str) -> list[str]:
    """Words of a systemd command line, read by the rules of systemd.syntax(7) and systemd.service(5)."""
    words = []
    for quoted in re.findall(r'"((?:[^"\\]|\\.)*)"(?: |$)', line):
        text = re.sub(rb"\\x(..)", lambda own: bytes([int(own[1], 16)]), os.fsencode(quoted))
        text = re.sub(rb"\\([\"\\])", rb"\1", text).replace(b"%%", b"%").replace(b"$$", b"$")
        words.append(os.fsdecode(text))
    return words


def test_systemd_units_are_valid_and_keep_every_argument(tmp_path: Path) -> None:
    folder = tmp_path / "50% off $HOME"
    folder.mkdir()
    files = write_systemd(make(folder, user="root", environment=str(folder / "variables")))
    for name, content in files.content.items():
        (tmp_path / name).write_bytes(content)
    service = os.fsdecode(files.content["vestiary-batch.service"])
    (line,) = re.findall(r"^ExecStart=(.*)$", service, re.M)
    assert unquote(line) == ["/bin/true", "batch", *ODD]
    assert f"WorkingDirectory={str(folder).replace('%', '%%')}\n" in service
    assert "OnCalendar=*-*-* 02:30:00\n" in files.content["vestiary-batch.timer"].decode()
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed, so nobody judged the units")
    units = [tmp_path / name for name in files.content]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    own = [told for told in done.stderr.splitlines() if "vestiary" in told]
    assert (done.returncode, own) == (0, [])


def test_the_steps_for_units_of_ones_own_make_their_folder_first(tmp_path: Path) -> None:
    steps = write_systemd(make(tmp_path)).steps
    home = "~/.config/systemd/user/"
    assert steps[:2] == (f"mkdir -p {home}", f"cp vestiary-batch.service vestiary-batch.timer {home}")
    assert not any("mkdir" in step or "--user" in step for step in write_systemd(make(tmp_path, user="root")).steps)


def test_cron_runs_the_command_with_every_argument_and_logs_it(tmp_path: Path, recorder: Path) -> None:
    place = tmp_path / "over here"
    place.mkdir()
    variables = tmp_path / "variables"
    variables.write_text("# for the batch\n\nSECRET=a&b $HOME 'c' #d")
    nightly = make(tmp_path, str(recorder), place=str(place), environment=str(variables))
    for name, content in write_cron(nightly).content.items():
        (place / name).write_bytes(content)
    fields = (place / "vestiary-batch.cron").read_text().splitlines()[-1].split(" ", 5)
    assert fields[:5] == ["30", "2", "*", "*", "*"]
    assert "%" not in fields[5]
    done = subprocess.run(["/bin/sh", "-c", fields[5]], cwd="/", capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "told.json").read_text()) == [["batch", *ODD], str(tmp_path), "a&b $HOME 'c' #d"]
    log = (place / "logs" / "vestiary-batch.log").read_text()
    assert re.fullmatch(r"\S+Z begins\nspoke\n\S+Z ended with exit code 0\n", log)


def test_cron_says_so_when_the_command_fails(tmp_path: Path, recorder: Path) -> None:
    for name, content in write_cron(make(tmp_path, str(recorder))).content.items():
        (tmp_path / name).write_bytes(content)
    script = ["/bin/sh", str(tmp_path / "vestiary-batch.sh")]
    done = subprocess.run(script, env=os.environ | {"CODE": "3"}, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr == f"vestiary-batch: ended with exit code 3; see {tmp_path}/logs/vestiary-batch.log\n"


def test_cron_starts_no_second_run(tmp_path: Path, recorder: Path) -> None:
    for name, content in write_cron(make(tmp_path, str(recorder))).content.items():
        (tmp_path / name).write_bytes(content)
    script = ["/bin/sh", str(tmp_path / "vestiary-batch.sh")]
    with (tmp_path / "vestiary-batch.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(script, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "vestiary-batch: the run before this one is still going; nothing was started.\n"
    assert not (tmp_path / "told.json").exists()
    assert subprocess.run(script, capture_output=True).returncode == 0


def test_the_log_is_rotated_where_the_script_writes_it(tmp_path: Path) -> None:
    content = write_cron(make(tmp_path)).content["vestiary-batch.logrotate"].decode()
    path, body = re.fullmatch(r'#.*\n"(.+)" \{\n(.*)\}\n', content, re.S).groups()  # type: ignore[union-attr]
    assert path == f"{tmp_path}/logs/vestiary-batch.log"
    words = {"weekly", "rotate 52", "compress", "delaycompress", "missingok", "notifempty", "nocreate"}
    assert set(map(str.strip, body.strip().splitlines())) == words
    if shutil.which("logrotate"):
        (tmp_path / "rotation").write_text(content)
        checked = subprocess.run(["logrotate", "-d", tmp_path / "rotation"], capture_output=True, text=True)
        assert (checked.returncode, "error" in checked.stderr) == (0, False)


def test_a_windows_task_follows_the_schema_and_keeps_every_argument() -> None:
    words = tuple(word for word in ODD if word.isprintable() and '"' not in word)
    program, place = "C:\\Program Files\\vestiary.exe", "C:\\über & co"
    files = write_windows(Nightly((program,), words, time(2, 30), folder="D:\\in", place=place))
    raw = files.content["vestiary-batch.xml"]
    assert raw.startswith((b"\xff\xfe", b"\xfe\xff")), "Task Scheduler wants UTF-16 with its mark"
    task = ElementTree.fromstring(raw)
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"

    def names(path: str) -> list[str]:
        found = task.find("/".join(space + part for part in path.split("/")) if path else ".")
        assert found is not None
        return [own.tag.removeprefix(space) for own in found]

    assert task.tag == f"{space}Task"
    assert names("") == ["RegistrationInfo", "Triggers", "Principals", "Settings", "Actions"]
    assert names("Triggers/CalendarTrigger") == ["StartBoundary", "ScheduleByDay"], "a sequence in the schema"
    assert names("Actions/Exec") == ["Command", "WorkingDirectory"]
    texts = {own.tag.removeprefix(space): own.text for own in task.iter()}
    assert texts["StartBoundary"] == "2026-01-01T02:30:00"
    assert texts["MultipleInstancesPolicy"] == "IgnoreNew"
    assert texts["Command"] == "C:\\über & co\\vestiary-batch.cmd"
    script = files.content["vestiary-batch.cmd"].decode()
    assert script.replace("\r\n", "").count("\n") == 0, "cmd wants carriage returns"
    (line,) = [own for own in script.splitlines() if "vestiary.exe" in own]
    assert line.startswith('>>"C:\\über & co\\logs\\vestiary-batch.log" 2>&1 "C:\\Program Files\\vestiary.exe" ')
    read = [re.sub(r"\\\\$", r"\\", word.replace("%%", "%")) for word in re.findall(r'"([^"]*)"', line)[2:]]
    assert read == list(words)


@pytest.mark.parametrize(
    ("write", "parts", "told"),
    [
        (write_cron, {"place": "/a%b"}, "holds the character '%'"),
        (write_systemd, {"folder": "/a\nb"}, "holds the character '\\n'"),
        (write_windows, {"arguments": ('a"b',)}, "holds the character '\"'"),
        (write_windows, {"arguments": ("r\udce9",)}, "no text that Windows could hold"),
        (write_windows, {"arguments": (), "environment": "/x"}, "reads no file of variables"),
    ],
)
def test_what_a_scheduler_cannot_hold_is_refused(write: object, parts: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError) as caught:
        write(make(Path("/x"), **parts))  # type: ignore[operator]
    assert told in str(caught.value)


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["vestiary", "schedule", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_the_command_writes_files_that_call_this_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = "photos/ --out 'my results'"
    assert run(monkeypatch, "cron", "--batch", given, "--at", "4:05", "--out", "files", "--json") == 0
    captured = capsys.readouterr()
    assert [Path(own["path"]).name for own in json.loads(captured.out)] == [
        "vestiary-batch.sh",
        "vestiary-batch.cron",
        "vestiary-batch.logrotate",
    ]
    assert "crontab -" in captured.err
    script = (tmp_path / "files" / "vestiary-batch.sh").read_text()
    (line,) = [own for own in script.splitlines() if " batch " in own and own.endswith("2>&1")]
    words = shlex.split(line)
    assert words[-6:-2] == ["batch", "photos/", "--out", "my results"]
    assert Path(words[0]).is_file()
    assert f"cd {tmp_path} " in script
    assert (tmp_path / "files" / "vestiary-batch.cron").read_text().splitlines()[-1].startswith("5 4 * * * /bin/sh ")


def test_backslashes_of_windows_are_part_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = r"C:\photos\incoming --out 'C:\my results' --image-column ''"
    assert run(monkeypatch, "windows", "--batch", given, "--place", r"C:\vestiary", "--out", tmp_path) == 0
    script = (tmp_path / "vestiary-batch.cmd").read_text()
    assert r'"vestiary.exe" "batch" "C:\photos\incoming" "--out" "C:\my results" "--image-column" ""' in script


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("cron", "--batch", "a 'b"), "has a quote without its partner; close it."),
        (("cron", "--batch", " "), "--batch is empty"),
        (("cron", "--batch", "a", "--at", "25:00"), "'25:00' is no time of day; write it as 02:30."),
        (("windows", "--batch", "a"), "name the folder that they will lie in there"),
        (("launchd", "--batch", "a"), "launchd"),
        (("cron", "--batch", "a --otu b"), "--batch: No such option: --otu"),
        (("cron", "--batch", "a"), "--batch: Missing option '--out'"),
    ],
)
def test_wrong_use_gets_one_sentence(
    words: tuple[str, ...],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *words, "--out", tmp_path) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
