"""Pictures per second of ``vestiary batch`` against its rivals, and its memory: the same pictures, machine and run.

    python benchmarks/batch.py [--pictures 3000 300] [--rounds 3] [--only batch loop …] [--memory 1000 100000]

The rivals:

    int8     the same command with ``--precision int8``, the bundle's smaller and faster model
    post     what the older system does: one POST a picture to a Flask server with an eager torch network of the same
             recipe, the next when the answer is there; needs flask and the extra train
    serve    the same one by one to vestiary serve; needs the extra serve
    loop     a plain loop in one process: Pillow, then the eager torch network; needs the extra train
    decode   no more than reading and decoding, on a thread for each core
    infer    no more than the model and its answers, on a thread for each core, from pixels in memory

``batch`` is the command itself in a process of its own, from listing the folder to the last rename, with a ledger of
its own; reading its bundle and starting Python are left out, as for the rivals. The limit is the slower of decode and
infer; as both need the same cores, no program can do better than both one after the other, which is printed beside it.
``--memory`` prints the largest memory of the command at so many small pictures.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from load import encode_request, send_one
from PIL import Image
from serving import CORES, SIZES, running

from vestiary.batch.pipeline import PARCEL, cut
from vestiary.bundle import open_bundle
from vestiary.predictor import Predictor

PHOTOS = Path(__file__).parents[1] / "examples" / "photos"
RIVALS = ("batch", "int8", "post", "serve", "loop", "decode", "infer")
NEEDS = {"post": ("flask", "torch"), "serve": ("fastapi",), "loop": ("torch",)}


def draw_pictures(folder: Path, size: tuple[int, int], n: int) -> list[Path]:
    """The drawn photos as JPEGs of a size, so many times, a thousand to a folder."""
    encoded = []
    for photo in sorted(PHOTOS.glob("*.jpg")):
        buffer = io.BytesIO()
        with Image.open(photo) as image:
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(buffer, "JPEG", quality=90)
        encoded.append(buffer.getvalue())
    files = []
    for number in range(n):
        file = folder / f"{number // 1000:03d}" / f"{number:06d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(encoded[number % len(encoded)])
        files.append(file)
    return files


def run_batch(folder: Path, *options: str) -> tuple[float, int]:
    """Pictures per second of the command with these options, and the most bytes of memory it had."""
    with tempfile.TemporaryDirectory() as place:
        words = [sys.executable, "-m", "vestiary", "batch", str(folder), "--out", f"{place}/out", "--json", *options]
        with subprocess.Popen([*words, "--ledger", f"{place}/ledger.db"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            summary = json.loads(process.stdout.read())
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"the batch ended with exit code {process.returncode}")
        return summary["last_run"]["pictures"] / summary["last_run"]["seconds"], 1024 * usage.ru_maxrss


def run_posts(files: Sequence[Path], server: str) -> float:
    """One POST after the other, on one connection where the server keeps it; files are read as they are sent."""

    async def send_all(port: int) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        start = time.perf_counter()
        for number, file in enumerate((files[0], *files)):
            is_good, is_kept = await send_one(reader, writer, encode_request(file.read_bytes()))
            if not is_good:
                raise RuntimeError(f"{server} refused {file}")
            if not is_kept:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if number == 0:  # the first answer is not counted
                start = time.perf_counter()
        writer.close()
        return len(files) / (time.perf_counter() - start)

    with running(server) as (port, _):
        return asyncio.run(send_all(port))


def run_loop(files: Sequence[Path]) -> float:
    """Open, preprocess, the eager network, the best value of each attribute: one by one, on torch's own threads."""
    import torch

    from vestiary.training.model import Classifier, to_pixels
    from vestiary.training.recipe import parse_recipe

    bundle = open_bundle()
    network = Classifier(parse_recipe(dict(bundle.training["recipe"])), bundle.taxonomy).eval()
    start = time.perf_counter()
    with torch.no_grad():
        for file in files:
            with Image.open(file) as image:
                pixels = torch.from_numpy(bundle.preprocess(image.convert("RGB")).copy())[None]
            logits = network(to_pixels(pixels))
            for attribute, scores in zip(bundle.taxonomy.attributes, logits, strict=True):
                best = torch.softmax(scores, 1)[0].max(0)
                _ = attribute.values[int(best.indices)], float(best.values)
    return len(files) / (time.perf_counter() - start)


def run_threads(work: Callable[[Any], object], parcels: Sequence[Sequence[Any]]) -> float:
    """Pictures per second of so many parcels on a thread for each core."""
    start = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        list(pool.map(work, parcels))
    return sum(map(len, parcels)) / (time.perf_counter() - start)


def run_rival(rival: str, folder: Path, files: Sequence[Path]) -> float:
    """Pictures per second of one rival."""
    if rival == "batch":
        return run_batch(folder)[0]
    if rival == "int8":
        return run_batch(folder, "--precision", "int8")[0]
    if rival in ("post", "serve"):
        return run_posts(files, "flask" if rival == "post" else "vestiary")
    if rival == "loop":
        return run_loop(files)
    predictor = Predictor(open_bundle(), threads=1)
    if rival == "decode":
        return run_threads(lambda parcel: [predictor.prepare("a", file) for file in parcel], list(cut(files, PARCEL)))
    ready = [predictor.prepare("a", file) for file in files[:PARCEL]]
    return run_threads(predictor.answer, [ready] * -(-len(files) // PARCEL))


def measure_size(size: str, n: int, rivals: Sequence[str], rounds: int) -> None:
    """Every rival at one size of picture, in turn, so many rounds; medians and ratios."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        files = draw_pictures(folder, SIZES[size], n)
        found: dict[str, list[float]] = {rival: [] for rival in rivals}
        for _ in range(rounds):
            for rival, rates in found.items():
                rates.append(run_rival(rival, folder, files))
    medians = {rival: statistics.median(each) for rival, each in found.items()}
    for rival, each in found.items():
        print(
            f"{size:<10} {rival:<7} {medians[rival]:9.1f} pictures/s  ({min(each):.1f} … {max(each):.1f})", flush=True
        )
    for command in [name for name in ("batch", "int8") if name in medians]:
        ratios = ", ".join(f"{rival} {medians[command] / rate:.2f}" for rival, rate in medians.items())
        print(f"{size:<10} {command} / {ratios}")
    if {"batch", "decode", "infer"} <= medians.keys():
        own, decode, infer = medians["batch"], medians["decode"], medians["infer"]
        both = 1 / (1 / decode + 1 / infer)
        print(f"{size:<10} batch / slower of both {own / min(decode, infer):.2f}, / both in turn {own / both:.2f}")


def measure_memory(counts: Sequence[int]) -> None:
    """The most memory that the command had, by the number of small pictures."""
    for n in counts:
        with tempfile.TemporaryDirectory() as place:
            draw_pictures(Path(place) / "photos", SIZES["60x80"], n)
            rate, memory = run_batch(Path(place) / "photos")
        print(f"{n:>9,} pictures: {memory / 1e6:,.0f} MB at most, {rate:.1f} pictures/s", flush=True)


def main() -> None:
    """Measure, and print a table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, nargs=2, default=[3000, 300], help="small and original-size ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=RIVALS, default=list(RIVALS))
    parser.add_argument("--memory", type=int, nargs="+", default=[])
    options = parser.parse_args()
    rivals = []
    for rival in options.only:
        if missing := [name for name in NEEDS.get(rival, ()) if importlib.util.find_spec(name) is None]:
            print(f"{rival} left out: {', '.join(missing)} is not installed")
        else:
            rivals.append(rival)
    print(f"{CORES} cores, medians of {options.rounds} rounds")
    for size, n in zip(SIZES, options.pictures, strict=True):
        if n:
            measure_size(size, n, rivals, options.rounds)
    measure_memory(options.memory)


if __name__ == "__main__":
    main()
