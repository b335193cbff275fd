"""``vestiary serve --share``: a public address, for nobody without a key. A package of ours stands in for ngrok's."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from conftest import wait_until

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from vestiary.web.limits import make_key

FAKE = """
import os, pathlib
from types import SimpleNamespace

LOG = pathlib.Path(os.environ["TUNNEL_LOG"])

class PyngrokError(Exception):
    pass

def note(line):
    with LOG.open("a") as file:
        file.write(line + "\\n")

def connect(addr, proto, **options):
    note(f"connect {addr} {proto} {options}")
    if "TUNNEL_FAULT" in os.environ:
        raise PyngrokError("The ngrok process errored on start: authentication failed. More about it.")
    return SimpleNamespace(public_url="https://shop.ngrok.example")

def kill():
    note("kill")
"""


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    """Variables under which ``pyngrok`` is the package above, which writes down what it is asked for."""
    package = tmp_path / "packages" / "pyngrok"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "ngrok.py").write_text(FAKE)
    paths = os.pathsep.join(filter(None, (str(package.parent), os.environ.get("PYTHONPATH", ""))))
    return {"PYTHONPATH": paths, "TUNNEL_LOG": str(tmp_path / "tunnel.log")}


def share(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vestiary", "serve", "--share", "--port", "0"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | variables)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGTERM")
def test_the_public_address_is_told_and_closed_with_the_service(
    variables: dict[str, str], tmp_path: Path, photo: bytes
) -> None:
    key, digest = make_key()
    log = tmp_path / "stderr"
    command = [sys.executable, "-m", "vestiary", "serve", "--share", "--port", "0"]
    with log.open("w") as file:
        own = os.environ | variables | {"VESTIARY_API_KEYS": f"shop={digest}"}
        process = subprocess.Popen(command, stderr=file, env=own)
    try:
        wait_until(lambda: "ngrok" in log.read_text() or process.poll() is not None)
        found = re.search(r"answers at (http://[\d.:]+)", log.read_text())
        assert found, log.read_text()
        assert "Whoever has an API key reaches it at https://shop.ngrok.example." in log.read_text()
        opened = Path(variables["TUNNEL_LOG"]).read_text()
        assert opened == f"connect {found[1]} http {{'inspect': False}}\n"
        answers = [
            httpx.post(f"{found[1]}/predict", files={"file": photo}, headers=headers, timeout=30).status_code
            for headers in ({}, {"X-API-Key": key})
        ]
        assert answers == [401, 200]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert Path(variables["TUNNEL_LOG"]).read_text().endswith("\nkill\n")


def test_nothing_is_shared_without_an_api_key(variables: dict[str, str]) -> None:
    done = share(variables)
    assert done.returncode == 2
    assert "without an API key; make one with vestiary serve --new-key NAME" in done.stderr
    assert "answers at" not in done.stderr
    assert not Path(variables["TUNNEL_LOG"]).exists()


def test_a_tunnel_that_does_not_open_is_one_sentence_and_exit_code_2(variables: dict[str, str]) -> None:
    done = share(variables | {"TUNNEL_FAULT": "1", "VESTIARY_API_KEYS": f"shop={make_key()[1]}"})
    assert done.returncode == 2
    [_, told] = done.stderr.splitlines()
    assert "ngrok opened no public address (The ngrok process errored on start: authentication failed);" in told
    assert "NGROK_AUTHTOKEN" in told


def test_without_the_package_the_extra_is_named(variables: dict[str, str]) -> None:
    package = Path(variables["PYTHONPATH"].split(os.pathsep)[0]) / "pyngrok" / "__init__.py"
    package.write_text("raise ModuleNotFoundError(\"No module named 'pyngrok'\", name='pyngrok')")
    done = share(variables | {"VESTIARY_API_KEYS": f"shop={make_key()[1]}"})
    assert done.returncode == 2
    assert "pip install 'vestiary[share]'" in done.stderr
    assert "answers at" not in done.stderr
