"""A new bundle in the place of an old one: only when it is better, in one step, and the old one stays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import TINY_RULE, TINY_TAXONOMY, Rule, Vestiary
from vestiary import promotion
from vestiary.bundle import Int8, open_bundle
from vestiary.calibration import Calibration
from vestiary.errors import BundleDamagedError, UsageError
from vestiary.taxonomy import Taxonomy

COLOURS = {"Red": (250, 5, 5), "Green": (5, 250, 5), "Blue": (5, 5, 250)}
COLOUR_BLIND: Rule = {**TINY_RULE, "baseColour": ((8.0, 0.0, 0.0, 0.0), (0.0, 8.0, 8.0, 0.0), (0.0, 0.0, 0.0, -9.0))}
"""Takes blue for green."""
SEASON_BLIND: Rule = {**TINY_RULE, "season": ((0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 0.0))}
"""Always says Summer."""


@pytest.fixture
def catalogue(make_source: Callable[..., Path], tmp_path: Path, vestiary: Vestiary) -> Path:
    """120 plain pictures, as many of each colour; blue ones are for Winter."""
    names = [list(COLOURS)[number % 3] for number in range(120)]
    rows = [
        {"id": number, "baseColour": name, "season": "Winter" if name == "Blue" else "Summer"}
        for number, name in enumerate(names)
    ]
    pictures = {
        str(number): (red, green ^ (number & 7), blue ^ (number >> 3))
        for number, (red, green, blue) in enumerate(COLOURS[name] for name in names)
    }
    source = make_source(rows, pictures=pictures)
    done = vestiary("ingest", source, "--out", tmp_path / "catalogue", "--only-attributes", "baseColour,season")
    assert done.code == 0, done.err
    return tmp_path / "catalogue"


@pytest.fixture
def make(make_bundle: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    return lambda name, rule=TINY_RULE, **parts: make_bundle(tmp_path / name, rule=rule, name=name, **parts)


def test_a_better_bundle_takes_the_place_and_the_old_one_is_kept(
    make: Callable[..., Path], catalogue: Path, vestiary: Vestiary
) -> None:
    old, new = make("live", COLOUR_BLIND), make("new")
    was, will_be = open_bundle(old), open_bundle(new)
    done = vestiary("promote", new, "--over", old, "--catalogue", catalogue)
    assert done.code == 0, done.err
    assert "baseColour" in done.out and "+33" in done.out
    kept = old.with_name(f"live.{was.fingerprint[:12]}")
    assert f"{old} holds {will_be.fingerprint[:12]} now; {was.fingerprint[:12]} is kept in {kept}." in done.out
    assert open_bundle(old).fingerprint == will_be.fingerprint
    assert open_bundle(kept).fingerprint == was.fingerprint
    assert sorted(path.name for path in old.parent.iterdir() if path.name.startswith(".")) == []


def test_what_is_not_better_stays_outside(make: Callable[..., Path], catalogue: Path, vestiary: Vestiary) -> None:
    old = make("live")
    before = open_bundle(old).fingerprint
    for rule, told in (
        (COLOUR_BLIND, "baseColour is worse by 33.3 points, which is more than chance"),
        (TINY_RULE, "it is not better on the whole: +0.00 points over all attributes"),
    ):
        new = make("new", rule, overwrite=True)
        done = vestiary("promote", new, "--over", old, "--catalogue", catalogue)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert f"{old} stays as it is: " in done.out
        assert told in " ".join(done.out.split())
        assert open_bundle(old).fingerprint == before


def test_worse_in_one_attribute_is_not_made_good_by_another(
    make: Callable[..., Path], catalogue: Path, vestiary: Vestiary
) -> None:
    words = ("promote", make("new", SEASON_BLIND), "--over", make("live", COLOUR_BLIND), "--catalogue", catalogue)
    done = vestiary(*words, "--json")
    assert done.code == 1
    answer = json.loads(done.out)
    assert answer["promoted"] is False and answer["kept"] is None
    assert answer["comparison"]["attributes"]["baseColour"]["difference"] > 0
    assert "season is worse by" in answer["objections"][0]


def test_what_the_old_one_can_do_the_new_one_must(
    make: Callable[..., Path], catalogue: Path, vestiary: Vestiary
) -> None:
    rule = {"baseColour": TINY_RULE["baseColour"]}
    taxonomy = Taxonomy(TINY_TAXONOMY.attributes[:1])
    new = make("new", rule, taxonomy=taxonomy, calibration=Calibration({"baseColour": 1.0}, {"baseColour": 0.9}))
    plain = open_bundle(make("plain", COLOUR_BLIND))
    old = replace(plain, int8=Int8(plain.model, {}, {})).write(new.with_name("live"))
    done = vestiary("promote", new, "--over", new.with_name("live"), "--catalogue", catalogue)
    assert done.code == 1
    assert "it does not answer season, which the old bundle does" in done.out
    assert "it has no int8 model, which the old bundle has; add one with vestiary quantise" in done.out
    assert open_bundle(new.with_name("live")).fingerprint == old.fingerprint


def test_the_int8_models_are_compared_too(make: Callable[..., Path], catalogue: Path, vestiary: Vestiary) -> None:
    """A service may answer with either: a new bundle that is better in fp32 alone is not better."""
    good, bad = open_bundle(make("good")), open_bundle(make("bad", COLOUR_BLIND))
    old = replace(bad, name="live", int8=Int8(good.model, {}, {}))
    folder = make("here").with_name("live")
    before = old.write(folder).fingerprint
    for model, code in ((bad.model, 1), (good.model, 0)):
        replace(good, name="new", int8=Int8(model, {}, {})).write(folder.with_name("new"), overwrite=True)
        done = vestiary("promote", folder.with_name("new"), "--over", folder, "--catalogue", catalogue)
        assert done.code == code, done.err
        assert "The same in int8:" in done.out
        assert ("baseColour is worse by 33.3 points in int8, which is more than chance" in done.out) == bool(code)
        assert (open_bundle(folder).fingerprint == before) == bool(code)


@pytest.mark.parametrize("has_exchange", [True, False])
def test_the_folder_is_never_half_a_bundle(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, has_exchange: bool
) -> None:
    if not has_exchange:
        monkeypatch.setattr(promotion.sys, "platform", "darwin")
    old, new = make("live", COLOUR_BLIND), open_bundle(make("new"))
    first = open_bundle(old).fingerprint
    kept = promotion.replace_bundle(old, new)
    assert (open_bundle(old).fingerprint, open_bundle(kept).fingerprint) == (new.fingerprint, first)
    promotion.replace_bundle(old, open_bundle(kept))
    promotion.replace_bundle(old, new)  # there and back again, with what is kept there already
    assert (open_bundle(old).fingerprint, open_bundle(kept).fingerprint) == (new.fingerprint, first)
    assert not list(old.parent.glob(".live-*"))


def test_a_disk_that_is_full_leaves_the_old_one(make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = make("live", COLOUR_BLIND), open_bundle(make("new"))
    first = open_bundle(old).fingerprint

    def refuse(one: Path, other: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(promotion, "_exchange", refuse)
    with pytest.raises(OSError, match="No space"):
        promotion.replace_bundle(old, new)
    assert open_bundle(old).fingerprint == first
    assert not list(old.parent.glob(".live-*"))


@pytest.mark.parametrize("has_exchange", [True, False])
def test_an_old_bundle_that_cannot_be_kept_stays_in_its_place(
    make: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, has_exchange: bool
) -> None:
    if not has_exchange:
        monkeypatch.setattr(promotion.sys, "platform", "darwin")
    old, new, third = make("live", COLOUR_BLIND), open_bundle(make("new")), open_bundle(make("third", SEASON_BLIND))
    first = open_bundle(old).fingerprint
    kept = old.with_name(f"live.{first[:12]}")
    real = os.replace

    def refuse(one: Path, other: Path) -> None:
        if other == kept:
            raise OSError(28, "No space left on device")
        real(one, other)

    with monkeypatch.context() as full:
        full.setattr(os, "replace", refuse)
        with pytest.raises(OSError, match="No space"):
            promotion.replace_bundle(old, new)
    assert open_bundle(old).fingerprint == first
    third.write(kept)
    with pytest.raises(UsageError, match="holds another bundle than the one to be kept there; move it away"):
        promotion.replace_bundle(old, new)
    (kept / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(BundleDamagedError, match=kept.name):
        promotion.replace_bundle(old, new)
    assert open_bundle(old).fingerprint == first


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--over", "default"), "is no folder of a bundle; name the folder that the service opens"),
        (("--over", "same"), "hold the same bundle"),
        (("--over", "live", "--split", "train"), "holds products to learn from; choose test or validation"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    words: tuple[str, ...],
    told: str,
    make: Callable[..., Path],
    catalogue: Path,
    vestiary: Vestiary,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = make("new")
    open_bundle(new).write(new.with_name("same"))
    make("live", COLOUR_BLIND)
    monkeypatch.chdir(new.parent)
    done = vestiary("promote", new, *words, "--catalogue", catalogue)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert told in done.err
