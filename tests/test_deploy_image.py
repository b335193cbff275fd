"""The Dockerfile's own commands, in order, in a clean folder: this machine's files stand in for the base image.

Each stage is an overlay over ``/``: what a command writes lands in the stage's folder, at its true path, and nothing
else is touched. Commands run as a user without rights. What is started from it runs on a root that cannot be written.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from conftest import wait_until
from containerfile import Stage, fill_in, read_containerfile

ROOT = Path(__file__).parents[1]
USER = 10001
MOST_MB = 400
READABLE = "import ensurepip, venv, pip, sys; sys.exit(sys.version_info < (3, 11))"

pytestmark = pytest.mark.slow


class Overlay:
    """A file system like this machine's, with a folder laid over it: one of its own, or ``upper``."""

    def __init__(self, place: Path, upper: Path | None = None) -> None:
        self.upper, self._work, self._at = upper or place / "files", place / "work", place / "at"
        for folder in (self.upper, self._work, self._at):
            folder.mkdir(parents=True, exist_ok=True)

    def command(self, script: str, environment: Mapping[str, str], *, read_only: bool) -> list[str]:
        """What runs a script in it as a user without rights; written to is only what is mounted for that."""
        over = f"lowerdir=/,upperdir={self.upper},workdir={self._work}{',ro' if read_only else ''}"
        at = shlex.quote(str(self._at))
        steps = [
            f"mount -t overlay overlay -o {shlex.quote(over)} {at}",
            f"mount --rbind /proc {at}/proc",
            f"mount --rbind /dev {at}/dev",
        ]
        if read_only:
            steps += [
                f"mount -t tmpfs -o uid={USER},mode=700 none {at}{place}" for place in ("/tmp", "/var/lib/vestiary")
            ]
        given = " ".join(shlex.quote(f"{name}={value}") for name, value in environment.items())
        run = f"exec chroot --userspec={USER}:{USER} --groups= {at} env -i {given} /bin/sh -c {shlex.quote(script)}"
        return ["unshare", "--mount", "--propagation", "private", "sh", "-ec", "\n".join([*steps, run])]

    def own(self, path: str) -> None:
        """A folder at that path that belongs to the user, as a builder with rights would make it."""
        folder = self.upper / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, USER, USER)


class Image:
    """What the Dockerfile made: the files of its last stage, and how it is started."""

    def __init__(self, files: Path, stage: Stage, arguments: Mapping[str, str]) -> None:
        self.files, self.stage, self.arguments = files, stage, arguments

    def start(self, place: Path, words: list[str], **variables: str) -> tuple[list[str], dict[str, str]]:
        environment = {name: fill_in(value, {"PATH": os.defpath}) for name, value in self.stage.environment.items()}
        script = f"cd {self.stage.last('WORKDIR').rest} && exec {shlex.join(words)}"
        return Overlay(place, self.files).command(script, environment | variables, read_only=True), environment


def need_overlays(place: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("overlays need Linux and root")
    done = subprocess.run(Overlay(place).command("true", {}, read_only=False), capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no overlay can be mounted here: {done.stderr.strip()}")


def find_python() -> Path:
    """An interpreter with pip that a user without rights may run; it stands in for that of the base image."""
    for candidate in (Path(sys.base_prefix) / "bin" / "python3", Path("/usr/bin/python3")):
        drop = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", "HOME=/tmp"]
        if (
            candidate.exists()
            and not subprocess.run([*drop, candidate, "-c", READABLE], capture_output=True).returncode
        ):
            return candidate
    pytest.skip("no Python with pip here may be run by a user without rights")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    place = tmp_path_factory.mktemp("image")
    for folder in (place, *place.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o111)  # the user without rights must get through
    need_overlays(place / "trial")
    python = find_python()
    outer, stages = read_containerfile(ROOT / "deploy" / "Dockerfile")
    done: dict[str, Path] = {}
    for number, stage in enumerate(stages):
        overlay = Overlay(place / str(number))
        overlay.own("/opt")
        (overlay.upper / "usr" / "local" / "bin").mkdir(parents=True)
        (overlay.upper / "usr" / "local" / "bin" / "python").symlink_to(python)
        arguments = outer | stage.arguments
        environment = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        environment |= {"PATH": f"/usr/local/bin:{os.defpath}", "HOME": "/tmp"} | arguments
        cwd = "/"
        for each in stage.instructions:
            if each.word == "WORKDIR":
                cwd = each.rest
                overlay.own(cwd)
            elif each.word == "COPY":
                _copy(each.words, done, overlay, cwd)
            elif each.word == "RUN":
                command = overlay.command(f"cd {cwd} && {each.rest}", environment, read_only=False)
                ran = subprocess.run(command, capture_output=True, text=True, timeout=540)
                assert ran.returncode == 0, f"{each.rest}\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        done[stage.name] = overlay.upper
        last = Image(overlay.upper, stage, arguments)
    yield last
    shutil.rmtree(place, ignore_errors=True)


def _copy(words: list[str], done: Mapping[str, Path], overlay: Overlay, cwd: str) -> None:
    options = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    below = done[options["from"]] if "from" in options else ROOT
    into = overlay.upper / str(Path(cwd) / target).lstrip("/")
    for source in sources:
        found = below / source.lstrip("/")
        if found.is_dir():
            left_out = shutil.ignore_patterns(*([] if "from" in options else ["__pycache__"]))  # as .dockerignore says
            shutil.copytree(found, into, symlinks=True, dirs_exist_ok=True, ignore=left_out)
        else:
            into.mkdir(parents=True, exist_ok=True)
            shutil.copy2(found, into)
    for path in (into, *into.rglob("*")):
        if "from" not in options or "chown" in options:
            os.chown(path, USER, USER, follow_symlinks=False)
        else:
            os.chown(path, 0, 0, follow_symlinks=False)


def test_every_command_of_the_dockerfile_runs_and_what_it_installs_is_small(image: Image) -> None:
    files = [path for path in (image.files / "opt" / "vestiary").rglob("*") if path.is_file() and not path.is_symlink()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    print(f"{len(files):,} files, {megabytes:.0f} MB")
    assert 50 < megabytes < MOST_MB
    packages = {path.name for path in (image.files / "opt" / "vestiary" / "lib").glob("python3*/site-packages/*")}
    assert {"vestiary", "fastapi", "psycopg", "fsspec"} <= packages
    assert not packages & {"torch", "transformers", "pip", "streamlit"}


def test_what_it_starts_answers_on_a_root_that_cannot_be_written(image: Image, tmp_path: Path, photo: bytes) -> None:
    command, environment = image.start(tmp_path / "try", ["sh", "-c", "touch /opt/x /etc/x"])
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode != 0
    assert refused.stderr.count("Read-only file system") == 2

    words = [*image.stage.last("ENTRYPOINT").words, *image.stage.last("CMD").words]
    command, environment = image.start(tmp_path / "serve", words, VESTIARY_PORT="0", VESTIARY_HOST="127.0.0.1")
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(command, stderr=stream, stdout=stream)
    try:
        wait_until(lambda: "answers at" in log.read_text() or process.poll() is not None)
        found = re.search(r"http://[\d.]+:(\d+)", log.read_text())
        assert found, log.read_text()
        assert environment["VESTIARY_HOST"] == "0.0.0.0"
        answer = httpx.post(f"{found[0]}/predict", files={"file": photo}, timeout=60)
        assert answer.status_code == 200, answer.text
        health = json.loads(image.stage.last("HEALTHCHECK").rest.partition("CMD ")[2])
        asked, _ = image.start(tmp_path / "health", health, VESTIARY_PORT=found[1])
        assert subprocess.run(asked).returncode == 0
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert re.search(rf"^Uid:\s+{USER}\b", status, re.M), status
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_the_command_line_of_the_image_tags(image: Image, tmp_path: Path, make_bundle: Callable[..., Path]) -> None:
    command, _ = image.start(tmp_path / "tag", [*image.stage.last("ENTRYPOINT").words, "--version"])
    assert subprocess.run(command, capture_output=True, text=True).stdout.startswith("vestiary ")
