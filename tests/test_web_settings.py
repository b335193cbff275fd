from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("pydantic_settings", reason="the extra 'serve' is not installed")

from vestiary.errors import UsageError
from vestiary.web.settings import Settings, load_settings

DOCS = Path(__file__).parents[1] / "docs" / "settings.md"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("VESTIARY_") and name != "VESTIARY_LEDGER_URL":
            monkeypatch.delenv(name)


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    rows = re.findall(r"^\| `(VESTIARY_[A-Z_]+)` \| `([a-z_]+)` \| (.+?) \|", DOCS.read_text(encoding="utf-8"), re.M)
    assert sorted(name for _, name, _ in rows) == sorted(Settings.model_fields)
    for variable, name, default in rows:
        assert variable == f"VESTIARY_{name.upper()}"
        value = Settings.model_fields[name].get_default(call_default_factory=True, validated_data={})
        if not value and value is not False and not isinstance(value, (int, float)):
            assert default in ("none", "the default bundle", "the user's own", "all of them")
        elif isinstance(value, str):
            assert default == f"`{value}`"
        else:
            assert default == (str(value).lower() if isinstance(value, bool) else f"{value:,}".removesuffix(".0")) or (
                default == str(value)
            )


def test_the_file_in_the_docs_can_be_used(tmp_path: Path) -> None:
    text = re.search(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert text is not None
    (tmp_path / "service.toml").write_text(text[1])
    settings = load_settings(tmp_path / "service.toml")
    assert (settings.port, settings.workers, list(settings.api_keys)) == (8080, 2, ["shop"])
    assert settings.cors_origins == tuple(tomllib.loads(text[1])["cors_origins"])


def test_what_is_given_wins_over_variables_and_these_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "s.toml"
    file.write_text("port = 1\nworkers = 3\nmax_images = 9\n", encoding="utf-8-sig")
    monkeypatch.setenv("VESTIARY_SETTINGS", str(file))
    monkeypatch.setenv("VESTIARY_PORT", "2")
    monkeypatch.setenv("VESTIARY_WORKERS", "2")
    monkeypatch.setenv("VESTIARY_API_KEYS", f"a={'0' * 64}, b={'1' * 64}")
    monkeypatch.setenv("VESTIARY_CORS_ORIGINS", "https://a.example, https://b.example")
    settings = load_settings(port=7, host=None)
    assert (settings.port, settings.workers, settings.max_images, settings.host) == (7, 2, 9, "127.0.0.1")
    assert settings.api_keys == {"a": "0" * 64, "b": "1" * 64}
    assert settings.cors_origins == ("https://a.example", "https://b.example")


def test_everything_wrong_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "s.toml"
    file.write_text('wrokers = 2\nmax_batch = "many"\n')
    monkeypatch.setenv("VESTIARY_DEADLINE_S", "0")
    monkeypatch.setenv("VESTIARY_API_KEYS", "shop=secret")
    with pytest.raises(UsageError) as caught:
        load_settings(file)
    for part in ("wrokers in", "is no setting", "max_batch in", "deadline_s (VESTIARY_DEADLINE_S)", "--new-key"):
        assert part in str(caught.value)
    assert "secret" not in str(caught.value)


def test_two_keys_of_one_name_are_refused_and_none_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VESTIARY_API_KEYS", f"shop={'0' * 64},shop={'1' * 64}")
    with pytest.raises(UsageError, match="two keys have one name"):
        load_settings()


@pytest.mark.parametrize("content", ["port = ", None])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "s.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UsageError, match=re.escape(str(file))):
        load_settings(file)


def run_serve(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vestiary", "serve", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | variables)


def test_a_new_key_is_let_in_by_the_setting_that_is_printed_with_it() -> None:
    from vestiary.web.limits import hash_key

    done = run_serve("--new-key", "shop")
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    variable, _, value = lines["setting"].partition("=")
    assert variable == "VESTIARY_API_KEYS"
    assert value == f"shop={hash_key(lines['key'])}"
    assert run_serve("--new-key", "a=b").returncode == 2


def test_a_start_that_cannot_be_made_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for done, part in (
            (run_serve("--port", port), f"port {port}"),
            (run_serve("--bundle", str(tmp_path / "none")), "There is no bundle"),
            (run_serve(VESTIARY_MAX_PIXELS="-1"), "VESTIARY_MAX_PIXELS"),
        ):
            assert done.returncode == 2
            assert part in done.stderr
            assert done.stderr.count("\n") == 1
            assert "Traceback" not in done.stderr
