"""How long a visitor waits: from the address to the first page, and from the end of an upload to its answer.

    python benchmarks/pages.py [PHOTO] [--rounds 5]

Needs the extras serve and ui, Playwright and a Chromium on the machine. Starts a service of its own with the default
bundle, and prints seconds: median and worst. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PHOTO = Path(__file__).parents[1] / "examples" / "photos" / "red-dress.jpg"


def measure_visit(browser: Browser, url: str, photo: Path) -> tuple[float, float]:
    """Seconds to the first page, and from the upload's end to the answer, of a visitor who comes for the first time."""
    context = browser.new_context()
    page = context.new_page()
    begun = time.perf_counter()
    page.goto(url)
    page.get_by_test_id("stFileUploaderDropzone").wait_for()
    shown = time.perf_counter()
    with page.expect_response(lambda answer: "upload_file" in answer.url and answer.request.method == "PUT"):
        page.get_by_test_id("stFileUploaderDropzoneInput").set_input_files(photo)
    sent = time.perf_counter()
    page.locator(".v-tag").first.wait_for()
    answered = time.perf_counter()
    context.close()
    return shown - begun, answered - sent


def main() -> None:
    """Measure some visits, the first of them to a service that nobody has looked at."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photo", nargs="?", type=Path, default=PHOTO)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    chromium = os.environ.get("VESTIARY_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no Chromium here; install one, or name it in VESTIARY_CHROMIUM.")
    command = [sys.executable, "-m", "vestiary", "serve", "--port", "0"]
    own = {"VESTIARY_LEDGER_URL": "none", "VESTIARY_LOG_REQUESTS": "false"}
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | own)
    try:
        found = re.search(r"http://[\d.:]+", service.stderr.readline() if service.stderr else "")
        if found is None:
            sys.exit("The service did not start.")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            visits = [measure_visit(browser, found[0], asked.photo) for _ in range(asked.rounds)]
            browser.close()
    finally:
        service.terminate()
        service.wait()
    for name, seconds in zip(("first page", "answer after the upload"), zip(*visits, strict=True), strict=True):
        print(f"{name:24} median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s, {len(seconds)} visits")


if __name__ == "__main__":
    main()
