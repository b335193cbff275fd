"""The checks on the real small catalogue: what is known to be in it is found, in time."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from vestiary.catalogue import Catalogue, ingest
from vestiary.checks import Severity, measure_pictures, run_checks
from vestiary.checks.files import check_files


@pytest.fixture(scope="module")
def real(real_small: Path) -> Catalogue:
    return ingest(real_small)


def test_white_backgrounds_dark_shoes_and_plain_shirts_are_sound_pictures(real: Catalogue) -> None:
    some = replace(real, products=real.products[::40])
    found = check_files(some, measure_pictures(some))
    assert {finding.check for finding in found} <= {"files.missing", "files.odd_size"}


@pytest.mark.slow
def test_the_whole_catalogue_is_checked_in_time_and_its_known_faults_are_found(real: Catalogue) -> None:
    started = time.monotonic()
    findings = run_checks(real)
    assert time.monotonic() - started < 90
    counts = Counter(finding.check for finding in findings)
    assert 500 < counts["duplicates.identical"] < 600
    assert 40 < counts["duplicates.near_across_splits"] < 120
    assert counts["labels.same_name"] == 7
    assert counts["files.blank"] == 1
    assert counts["labels.near_equal"] == 0
    assert counts["balance.leak"] == counts["duplicates.identical_across_splits"] == 0
    belts = [finding for finding in findings if "articleType Belts have subCategory Topwear" in finding.message]
    assert [len(finding.products) for finding in belts] == [3]
    assert {finding.check for finding in findings if finding.severity == Severity.ERROR} == {
        "duplicates.near_across_splits"
    }
