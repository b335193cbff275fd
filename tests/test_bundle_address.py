"""Bundles at an address: fetched once, verified, kept, and told in plain words when they cannot be had."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from conftest import Running, Vestiary
from vestiary.bundle import MANIFEST, MODEL, open_bundle
from vestiary.catalogue.sources import hide_password, open_source
from vestiary.errors import AddressError, AddressUnreachableError, BundleDamagedError, BundleError, VestiaryError

fsspec = pytest.importorskip("fsspec", reason="the extra 'cloud' is not installed")

from fsspec.implementations.memory import MemoryFileSystem  # noqa: E402

PLACE = "shelf://shop/bundles/tiny"


class NoCredentialsError(Exception):
    """As the package of a store calls it."""


class Shelf(MemoryFileSystem):  # type: ignore[misc]
    """A store of the tests' own: what it does when something is read can be set."""

    protocol = "shelf"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    cachable = False
    on_read: ClassVar[Callable[[str], None]] = staticmethod(lambda path: None)

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("shelf://", "memory://")))

    def _ask(self, path: str) -> None:
        type(self).on_read(path)

    def info(self, path: str, **options: Any) -> Any:
        self._ask(path)
        return super().info(path, **options)

    def cat_file(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._ask(path)
        return super().cat_file(path, *arguments, **options)

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        self._ask(path)
        return super()._open(path, *arguments, **options)


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Shelf]]:
    """An empty store, and a cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    monkeypatch.setattr(Shelf, "on_read", staticmethod(lambda path: None))
    yield Shelf
    Shelf.store.clear()
    Shelf.pseudo_dirs[:] = [""]


@pytest.fixture
def bundle(make_bundle: Callable[..., Path]) -> Path:
    return make_bundle()


def put(folder: Path, place: str = PLACE) -> None:
    files, root = fsspec.core.url_to_fs(place)
    for file in folder.iterdir():
        files.pipe_file(f"{root}/{file.name}", file.read_bytes())


def refuse(monkeypatch: pytest.MonkeyPatch, error: Exception, *, only: str = "") -> None:
    def fail(path: str) -> None:
        if path.endswith(only):
            raise error

    monkeypatch.setattr(Shelf, "on_read", staticmethod(fail))


def told(address: str, kind: type[VestiaryError]) -> str:
    with pytest.raises(kind) as caught:
        open_bundle(address)
    text = str(caught.value)
    assert type(caught.value) is kind
    assert text.endswith(".") and "\n" not in text and ". " not in text
    return text


def cached(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "cache" / "vestiary" / "bundles").iterdir() if path.is_dir())


@pytest.mark.parametrize("form", ["folder", "folder/", "zip", "zip with a folder"])
def test_a_bundle_at_an_address_is_the_bundle(bundle: Path, tmp_path: Path, form: str) -> None:
    address = PLACE + ("/" if form == "folder/" else "")
    if form.startswith("zip"):
        archive, prefix = tmp_path / "tiny.zip", "tiny/" if "folder" in form else ""
        with zipfile.ZipFile(archive, "w") as packed:
            for file in bundle.iterdir():
                packed.write(file, prefix + file.name)
        address = PLACE + ".zip"
        fsspec.filesystem("shelf").pipe_file("/shop/bundles/tiny.zip", archive.read_bytes())
    else:
        put(bundle)
    assert open_bundle(address) == open_bundle(bundle)
    kept = cached(tmp_path)
    assert [path.name for path in kept] == [open_bundle(bundle).fingerprint]
    assert {file.name: file.read_bytes() for file in kept[0].iterdir()} == {
        file.name: file.read_bytes() for file in bundle.iterdir()
    }


def test_file_addresses_work_too(bundle: Path) -> None:
    assert open_bundle(f"file://{bundle}").fingerprint == open_bundle(bundle).fingerprint


def test_the_second_opening_reads_the_manifest_alone(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(bundle)
    first = open_bundle(PLACE)
    refuse(monkeypatch, AssertionError("fetched again"), only=MODEL)
    assert open_bundle(PLACE) == first


def test_a_new_bundle_at_the_address_is_fetched(bundle: Path, make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    put(bundle)
    first = open_bundle(PLACE)
    put(make_bundle(tmp_path / "newer", version="2.0"))
    second = open_bundle(PLACE)
    assert (first.version, second.version) == ("1.0", "2.0")
    assert len(cached(tmp_path)) == 2


def test_a_damaged_copy_is_fetched_again(bundle: Path, tmp_path: Path) -> None:
    put(bundle)
    first = open_bundle(PLACE)
    (cached(tmp_path)[0] / MODEL).write_bytes(b"cut short")
    assert open_bundle(PLACE) == first


def test_another_bundle_in_the_place_of_a_copy_is_not_taken_for_it(
    bundle: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    put(bundle)
    first = open_bundle(PLACE)
    [copy] = cached(tmp_path)
    shutil.rmtree(copy)
    shutil.copytree(make_bundle(tmp_path / "other", version="6.6"), copy)
    assert open_bundle(PLACE) == first


def test_without_the_network_the_last_copy_is_used_and_that_is_said(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    put(bundle)
    first = open_bundle(PLACE)
    refuse(monkeypatch, ConnectionError("no route to user:s3cret"))
    with caplog.at_level(logging.WARNING):
        assert open_bundle(PLACE) == first
    assert f"{PLACE} cannot be reached" in caplog.text
    assert "the copy of then is used." in caplog.text
    assert "s3cret" not in caplog.text
    (cached(tmp_path)[0] / MODEL).write_bytes(b"cut short")
    assert "cannot be reached" in told(PLACE, AddressUnreachableError)


def test_without_the_network_and_a_copy_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch, bundle: Path) -> None:
    put(bundle)
    refuse(monkeypatch, TimeoutError())
    assert told(PLACE, AddressUnreachableError) == f"{PLACE} cannot be reached; check the address and the network."


def test_the_network_may_go_while_a_newer_bundle_is_fetched(
    bundle: Path, make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bundle)
    first = open_bundle(PLACE)
    put(make_bundle(tmp_path / "newer", version="2.0"))
    away: list[str] = []

    def go(path: str) -> None:
        if away or path.endswith(MODEL):
            away.append(path)
            raise ConnectionError

    monkeypatch.setattr(Shelf, "on_read", staticmethod(go))
    assert open_bundle(PLACE) == first


@pytest.mark.parametrize("error", [NoCredentialsError("key AKIA"), PermissionError("denied"), OSError("x")])
def test_missing_credentials_are_one_sentence_whatever_is_kept(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    put(bundle)
    open_bundle(PLACE)
    if type(error) is OSError:
        error.__cause__ = NoCredentialsError()
    refuse(monkeypatch, error)
    assert told(PLACE, AddressError) == (
        f"The store does not let {PLACE} be read: no credentials were found, or they do not allow it; "
        "give them in the way its own tools take them."
    )


def test_an_address_with_nothing_or_half_a_bundle_is_told(bundle: Path) -> None:
    assert told(PLACE, AddressError) == f"{MANIFEST} is not at {PLACE}; check the address."
    put(bundle)
    fsspec.filesystem("shelf").rm_file(f"/shop/bundles/tiny/{MODEL}")
    assert f"{MODEL} is not at {PLACE}" in told(PLACE, AddressError)
    fsspec.filesystem("shelf").pipe_file(f"/shop/bundles/tiny/{MODEL}", b"cut short")
    assert f"{PLACE}: {MODEL} is not as it was written" in told(PLACE, BundleDamagedError)


def test_what_changes_while_it_is_fetched_is_taken_whole_or_told(
    bundle: Path, make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bundle)
    newer = iter(make_bundle(tmp_path / f"v{number}", version=f"{number}.0") for number in range(2, 20))
    changes: list[Path] = []

    def replace_first(path: str) -> None:
        if path.endswith(MODEL) and len(changes) < most:
            changes.append(next(newer))
            monkeypatch.setattr(Shelf, "on_read", staticmethod(lambda path: None))
            put(changes[-1])
            monkeypatch.setattr(Shelf, "on_read", staticmethod(replace_first))
            raise FileNotFoundError(path)  # what is being replaced is away for a moment

    most = 1
    monkeypatch.setattr(Shelf, "on_read", staticmethod(replace_first))
    assert open_bundle(PLACE).version == "2.0"
    most = 20
    put_again = make_bundle(tmp_path / "other", version="0.5")
    monkeypatch.setattr(Shelf, "on_read", staticmethod(lambda path: None))
    put(put_again)
    monkeypatch.setattr(Shelf, "on_read", staticmethod(replace_first))
    assert told(PLACE, BundleError) == f"{PLACE} changes while it is fetched; try again when its upload is over."
    assert [path.name for path in cached(tmp_path)] == [open_bundle(tmp_path / "v2").fingerprint]


def test_secrets_of_an_address_are_in_no_message(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = "shelf://ada:s3cret@host/bundles/tiny"
    messages = [told(address, AddressError)]
    put(bundle, address)
    open_bundle(address)
    for error in (ConnectionError("to ada:s3cret@host"), PermissionError("ada:s3cret@host")):
        refuse(monkeypatch, error)
        for place in (address, f"{address}.zip", f"{address}/other"):
            try:
                open_bundle(place)
            except VestiaryError as found:
                messages.append(str(found))
            with pytest.raises(VestiaryError) as caught:
                open_source(place).names()
            messages.append(str(caught.value))
    monkeypatch.setattr(Shelf, "on_read", staticmethod(lambda path: None))
    fsspec.filesystem("shelf").pipe_file("/ada:s3cret@host/no.zip", b"no zip")
    for place in ("shelf://ada:s3cret@host/no.zip", "https://ada:s3cret@host/x", "gopher://ada:s3cret@host/x"):
        with pytest.raises(VestiaryError) as caught:
            open_source(place)
        messages.append(str(caught.value))
    with pytest.raises(VestiaryError) as caught:
        open_source(address).read("../x")
    assert len(messages) > 12
    assert "s3cret" not in "".join([*messages, str(caught.value), caplog.text])
    assert "ada:***@host" in messages[0]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ftp://ada:secret@host/a", "ftp://ada:***@host/a"),
        ("ftp://ada:sec/ret@host/a", "ftp://ada:***@host/a"),
        ("ftp://ada:sec@ret@host/a", "ftp://ada:***@host/a"),
        ("ftp://host:21/a@b", "ftp://host:21/a@b"),
        ("az://box/a.zip?sv=1&sig=secret#x", "az://box/a.zip?sv=***&sig=***"),
        ("s3://bucket/img?.png", "s3://bucket/img?.png"),
        ("C:/a?b=c", "C:/a?b=c"),
    ],
)
def test_what_is_secret_in_an_address_is_hidden_and_the_rest_is_not(address: str, shown: str) -> None:
    assert hide_password(address).removesuffix("#x") == shown


def test_several_processes_that_start_at_once_fetch_one_whole_copy(bundle: Path, tmp_path: Path) -> None:
    code = f"from vestiary.bundle import open_bundle; print(open_bundle('file://{bundle}').fingerprint)"
    started = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    outputs = [process.communicate(timeout=120)[0].strip() for process in started]
    assert set(outputs) == {open_bundle(bundle).fingerprint}
    assert [path.name for path in cached(tmp_path)] == [outputs[0]]
    assert not list((tmp_path / "cache" / "vestiary" / "bundles").glob(".new-*"))
    assert not list((tmp_path / "cache" / "vestiary" / "bundles").glob(".*-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="a file in the place of a folder is told otherwise there")
def test_a_cache_that_cannot_be_written_is_named(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    put(bundle)
    text = told(PLACE, BundleError)
    assert f"is kept in {tmp_path / 'file'}" in text
    assert "cannot be written (Not a directory)" in text


def test_verbs_and_the_service_take_an_address(
    bundle: Path, tmp_path: Path, vestiary: Vestiary, start_service: Callable[..., Running], photo: bytes
) -> None:
    address = f"file://{bundle}"
    (tmp_path / "a.jpg").write_bytes(photo)
    tagged = vestiary("tag", tmp_path / "a.jpg", "--bundle", address, "--format", "csv")
    assert (tagged.code, tagged.out) == (
        0,
        vestiary("tag", tmp_path / "a.jpg", "--bundle", bundle, "--format", "csv").out,
    )
    assert open_bundle(bundle).fingerprint in vestiary("inspect", address).out
    running = start_service(bundle=address, ledger_url="none")
    assert running.service.bundle.fingerprint == open_bundle(bundle).fingerprint
    missing = vestiary("tag", tmp_path / "a.jpg", "--bundle", address + "x")
    assert (missing.code, missing.err.count("\n")) == (2, 1)
    assert f"{MANIFEST} is not at {address}x" in missing.err


def test_workers_answer_by_the_bundle_that_was_there_at_the_start(
    bundle: Path, make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    """The parent alone looks at the address: what its workers get is a folder of the cache."""
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    from vestiary.web import workers
    from vestiary.web.settings import load_settings

    seen: list[str] = []

    class Watch:
        def __init__(self, settings: Any, listener: Any, shared: object) -> None:
            self.listener = listener
            seen.append(str(settings.bundle))

        def run(self) -> None:
            self.listener.close()
            shutil.rmtree(bundle)
            assert open_bundle(seen[0]).name == "tiny"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "_Watch", Watch)
        workers.serve(load_settings(bundle=f"file://{bundle}", workers=2, port=0, ledger_url="none"), lambda _: None)
    assert seen == [str(cached(tmp_path)[0])]
    assert os.path.isabs(seen[0])
