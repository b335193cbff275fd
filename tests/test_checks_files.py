"""Findings about picture files, each on a tiny catalogue that has it and on one that has not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from conftest import draw_shapes, encode_picture
from vestiary.catalogue import Catalogue, Reject, RejectReason, ingest
from vestiary.checks import Finding, Severity, measure_pictures, run_checks
from vestiary.checks.files import BLURRED_SHARPNESS, check_files
from vestiary.checks.measure import measure_look

Make = Callable[..., Path]


def sound_pictures(n: int = 10) -> dict[str, bytes]:
    return {str(number): encode_picture(draw_shapes(number)) for number in range(1, n + 1)}


def make_catalogue(make_source: Make, pictures: Mapping[str, bytes]) -> Catalogue:
    return ingest(make_source([{"id": number} for number in pictures], pictures=pictures))


def findings_of(catalogue: Catalogue, check: str) -> list[Finding]:
    return [finding for finding in check_files(catalogue, measure_pictures(catalogue)) if finding.check == check]


def only(catalogue: Catalogue, check: str) -> Finding:
    (finding,) = findings_of(catalogue, check)
    assert finding.message.endswith(".")
    assert finding.remedy.endswith(".")
    return finding


def test_sound_pictures_give_no_finding(make_source: Make) -> None:
    catalogue = make_catalogue(make_source, sound_pictures())
    assert check_files(catalogue, measure_pictures(catalogue)) == []


def test_facts_tell_what_a_picture_is(make_source: Make) -> None:
    half = Image.new("RGB", (60, 80), "white")
    half.paste((0, 0, 0), (0, 40, 60, 80))
    pictures = {"1": encode_picture(half), "2": encode_picture(draw_shapes(1).convert("L"), "JPEG")}
    seen: list[tuple[int, int]] = []
    catalogue = make_catalogue(make_source, pictures)
    first, second = measure_pictures(catalogue, progress=lambda done, total: seen.append((done, total)))
    assert (first.product, first.image, first.width, first.height) == ("1", "images/1.jpg", 60, 80)
    assert (first.format, first.mode, first.n_bytes) == ("PNG", "RGB", len(pictures["1"]))
    assert (second.format, second.mode) == ("JPEG", "L")
    assert first.look is not None
    assert first.look.brightness == pytest.approx(127.5)
    assert first.look.highlights == 255
    assert first.look.contrast == pytest.approx(127.5, abs=0.01)
    assert len(first.look.hash) == 32
    assert len(first.look.thumbnail) == 24 * 24 * 3
    assert seen == [(1, 2), (2, 2)]


def test_the_background_is_what_has_the_colour_of_the_border() -> None:
    picture = Image.new("RGB", (100, 100), (250, 251, 249))
    picture.paste((20, 80, 30), (25, 25, 75, 75))
    assert measure_look(picture).background == pytest.approx(0.75, abs=0.01)


def test_pictures_gone_since_ingest_are_errors(make_source: Make) -> None:
    catalogue = make_catalogue(make_source, sound_pictures())
    (catalogue.source / "images" / "3.jpg").unlink()
    finding = only(catalogue, "files.missing")
    assert (finding.severity, finding.products) == (Severity.ERROR, ("3",))
    assert "images/3.jpg" in finding.message


def test_pictures_damaged_since_ingest_are_errors(make_source: Make) -> None:
    catalogue = make_catalogue(make_source, sound_pictures())
    (catalogue.source / "images" / "3.jpg").write_bytes(sound_pictures()["3"][:300])
    (catalogue.source / "images" / "4.jpg").write_bytes(b"these are words")
    finding = only(catalogue, "files.unreadable")
    assert (finding.severity, finding.products) == (Severity.ERROR, ("3", "4"))
    assert "images/3.jpg: The picture is damaged" in finding.message


def test_pictures_outside_the_limits_are_errors(make_source: Make) -> None:
    catalogue = make_catalogue(make_source, sound_pictures())
    (catalogue.source / "images" / "3.jpg").write_bytes(encode_picture(Image.new("RGB", (2, 2))))
    finding = only(catalogue, "files.tiny")
    assert (finding.severity, finding.products) == (Severity.ERROR, ("3",))
    with (catalogue.source / "images" / "4.jpg").open("r+b") as file:
        file.truncate(50_000_001)
    finding = only(catalogue, "files.huge")
    assert (finding.severity, finding.products) == (Severity.ERROR, ("4",))


def test_products_without_a_picture_are_errors(make_source: Make) -> None:
    catalogue = make_catalogue(make_source, sound_pictures())
    bare = replace(catalogue.products[0], images=(), pixel_hashes=())
    finding = only(replace(catalogue, products=(bare, *catalogue.products[1:])), "files.missing")
    assert (finding.severity, finding.products) == (Severity.ERROR, ("1",))


@pytest.mark.parametrize(
    ("reason", "check", "severity"),
    [
        (RejectReason.NO_PICTURE, "files.missing", Severity.WARNING),
        (RejectReason.UNREADABLE_PICTURE, "files.unreadable", Severity.WARNING),
        (RejectReason.NO_ROW, "files.unlabelled", Severity.INFO),
    ],
)
def test_rejects_about_pictures_are_told(
    reason: RejectReason, check: str, severity: Severity, make_source: Make
) -> None:
    catalogue = make_catalogue(make_source, sound_pictures())
    rejects = (Reject(7, "77", reason, "why"), Reject(8, "78", reason, "why"))
    finding = only(replace(catalogue, rejects=rejects), check)
    assert (finding.severity, finding.products) == (severity, ("77", "78"))
    assert finding.message.startswith("2 ")


def test_modes_and_sizes_unlike_the_rest_are_odd(make_source: Make) -> None:
    pictures = sound_pictures()
    pictures["3"] = encode_picture(draw_shapes(3).convert("L"))
    pictures["4"] = encode_picture(draw_shapes(4, size=(80, 80)))
    catalogue = make_catalogue(make_source, pictures)
    mode, size = only(catalogue, "files.odd_mode"), only(catalogue, "files.odd_size")
    assert mode.products == ("3",)
    assert "mode L where the others have RGB" in mode.message
    assert size.products == ("4",)
    assert "another size than the usual 60×80 px: 80×80 px (1)" in size.message


def test_where_sizes_differ_the_aspect_decides(make_source: Make) -> None:
    pictures = {
        str(number): encode_picture(draw_shapes(number, size=(30 + 3 * number, 40 + 4 * number)))
        for number in range(1, 11)
    }
    assert findings_of(make_catalogue(make_source, pictures), "files.odd_size") == []
    pictures["4"] = encode_picture(draw_shapes(4, size=(90, 60)))
    finding = only(make_catalogue(make_source, pictures), "files.odd_size")
    assert finding.products == ("4",)
    assert "aspect (width to height) than the usual 0.75" in finding.message


def test_no_majority_no_odd_ones(make_source: Make) -> None:
    pictures = sound_pictures()
    for number in ("1", "2", "3", "4"):
        pictures[number] = encode_picture(draw_shapes(1, size=(80, 60 + int(number))).convert("L"))
    catalogue = make_catalogue(make_source, pictures)
    assert findings_of(catalogue, "files.odd_mode") == findings_of(catalogue, "files.odd_size") == []


def test_tiny_and_huge_pictures_are_told_the_worst_first(make_source: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = sound_pictures()
    pictures["3"] = encode_picture(draw_shapes(3, size=(31, 60)))
    pictures["4"] = encode_picture(draw_shapes(4, size=(20, 60)))
    pictures["5"] = encode_picture(draw_shapes(5, size=(32, 60)))
    catalogue = make_catalogue(make_source, pictures)
    tiny = only(catalogue, "files.tiny")
    assert (tiny.severity, tiny.products) == (Severity.WARNING, ("4", "3"))
    assert "20×60" in tiny.message
    assert findings_of(catalogue, "files.huge") == []
    monkeypatch.setattr("vestiary.checks.files.HUGE_PIXELS", 60 * 80 - 1)
    assert set(only(catalogue, "files.huge").products) == set(pictures) - {"3", "4", "5"}
    monkeypatch.undo()
    largest = max(pictures, key=lambda number: len(pictures[number]))
    monkeypatch.setattr("vestiary.checks.files.HUGE_BYTES", len(pictures[largest]) - 1)
    assert largest in only(catalogue, "files.huge").products


def test_only_pictures_of_one_tone_are_blank(make_source: Make) -> None:
    pictures = sound_pictures()
    pictures["3"] = encode_picture(Image.new("RGB", (60, 80), "white"))
    pictures["4"] = encode_picture(Image.new("RGB", (60, 80), (30, 30, 30)))
    earrings = Image.new("RGB", (60, 80), "white")
    earrings.paste((190, 190, 190), (20, 30, 22, 33))
    earrings.paste((190, 190, 190), (40, 30, 42, 33))
    pictures["5"] = encode_picture(earrings)
    finding = only(make_catalogue(make_source, pictures), "files.blank")
    assert set(finding.products) == {"3", "4"}
    assert finding.severity == Severity.WARNING


def test_only_pictures_without_any_light_are_dark(make_source: Make) -> None:
    pictures = sound_pictures()
    pictures["3"] = encode_picture(draw_shapes(3).point(lambda level: level // 4))
    black_shoe = Image.new("RGB", (60, 80), "white")
    black_shoe.paste((5, 5, 5), (5, 5, 55, 75))
    pictures["4"] = encode_picture(black_shoe)
    assert only(make_catalogue(make_source, pictures), "files.dark").products == ("3",)


def test_only_pictures_out_of_focus_are_blurred(make_source: Make) -> None:
    pictures = sound_pictures()
    pictures["3"] = encode_picture(draw_shapes(3).filter(ImageFilter.GaussianBlur(3)))
    pale = draw_shapes(4).point(lambda level: 235 + level // 13)
    pictures["4"] = encode_picture(pale)
    assert only(make_catalogue(make_source, pictures), "files.blurred").products == ("3",)


@pytest.mark.parametrize("width", [90, 600, 1800])
def test_sharpness_means_the_same_at_every_size(width: int) -> None:
    sharp = draw_shapes(1, size=(width, width * 4 // 3))
    blurred = sharp.filter(ImageFilter.GaussianBlur(0.02 * width))
    assert measure_look(sharp).sharpness > 2 * BLURRED_SHARPNESS
    assert measure_look(blurred).sharpness < BLURRED_SHARPNESS
    faint = Image.fromarray((np.asarray(sharp) // 8 + 200).astype(np.uint8))
    assert measure_look(faint).sharpness == pytest.approx(measure_look(sharp).sharpness, rel=0.2)


def test_a_picture_of_any_shape_can_be_measured() -> None:
    for size in ((1, 1), (2, 9), (5000, 8)):
        look = measure_look(Image.new("RGB", size, "red"))
        assert look.contrast == pytest.approx(0.0, abs=1e-3)
        assert np.isfinite(look.sharpness)


def test_findings_are_sorted_by_severity_then_products(make_source: Make) -> None:
    catalogue = make_catalogue(make_source, sound_pictures())
    (catalogue.source / "images" / "3.jpg").unlink()
    findings = run_checks(catalogue)
    ranks = [(list(Severity).index(finding.severity), -len(finding.products)) for finding in findings]
    assert ranks == sorted(ranks)
    assert findings[0].check == "files.missing"
    assert {finding.check.split(".")[0] for finding in findings} == {"files", "balance"}
    assert run_checks(catalogue, facts=measure_pictures(catalogue)) == findings
