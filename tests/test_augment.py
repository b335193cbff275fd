"""What augmentation does to pictures, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra 'train' is not installed")

from vestiary.training.augment import augment, draw_changes  # noqa: E402
from vestiary.training.background import draw_clutter, find_background, replace_background  # noqa: E402
from vestiary.training.mixing import draw_mix  # noqa: E402
from vestiary.training.recipe import Recipe  # noqa: E402

STILL = replace(Recipe(name="still"), flip=0.0, shift=0.0)
"""A recipe that changes nothing."""


def change(images: Any, seed: int = 3, **choices: Any) -> Any:
    """Augmented pictures."""
    recipe = replace(STILL, **choices)
    return augment(images, recipe, draw_changes(len(images), recipe, torch.Generator().manual_seed(seed)))


def make_gradient(n: int, height: int = 40, width: int = 30) -> Any:
    """Pictures whose red tells the column and whose green the row, 0..1 of the side, times 200."""
    y = torch.linspace(0, 200, height)[:, None].expand(height, width)
    x = torch.linspace(0, 200, width)[None].expand(height, width)
    return torch.stack([x, y, torch.zeros(height, width)]).expand(n, 3, height, width).clone()


def make_product(n: int = 1) -> Any:
    """A red ring with a white hole on white: the hole belongs to the product."""
    picture = torch.full((3, 40, 30), 255.0)
    picture[:, 8:32, 6:24] = torch.tensor([180.0, 20.0, 30.0])[:, None, None]
    picture[:, 14:26, 11:19] = 255.0
    return picture.expand(n, 3, 40, 30).clone()


def test_a_recipe_without_augmentation_changes_nothing() -> None:
    images = make_gradient(4)
    assert torch.allclose(change(images), images, atol=1e-2)


ALL: dict[str, Any] = {
    "flip": 0.5, "shift": 0.1, "zoom": 0.2, "rotate": 10, "perspective": 0.1, "crop": 0.5, "erase": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", [None, *ALL])
def test_augmentation_moves_pixels_and_leaves_colours(name: str | None) -> None:
    choices = ALL if name is None else {name: ALL[name]}
    colour = torch.tensor([30.0, 120.0, 210.0])
    images = colour[None, :, None, None].expand(32, 3, 40, 30).clone()
    changed = change(images, **choices)
    assert torch.equal(changed, change(images, **choices))
    # every pixel lies on the line from the picture's colour to the white around it
    share = (changed - 255) / (colour[None, :, None, None] - 255)
    assert (share.max(dim=1).values - share.min(dim=1).values).max() < 0.01
    assert share.min() > -0.01
    assert share.max() < 1.01


@pytest.mark.parametrize("name", [*ALL, "lighting", "background"])
def test_each_option_changes_pictures_and_each_picture_in_its_own_way(name: str) -> None:
    images = make_product(24)
    images[:, 2, 8:32, 6:12] = 200.0  # lopsided, so that a mirror shows
    changed = change(images, **{name: ALL.get(name, 0.5)})
    assert changed.shape == images.shape
    assert changed.min() >= 0 and changed.max() <= 255.01
    different = [not torch.allclose(one, other, atol=1.0) for one, other in zip(changed, images, strict=True)]
    assert sum(different) >= 6
    kinds = {one.round().numpy().tobytes() for one in changed}
    assert len(kinds) >= (2 if name == "flip" else 6)


def test_half_of_the_pictures_are_mirrored() -> None:
    picture = torch.arange(3 * 8 * 6, dtype=torch.float32).reshape(1, 3, 8, 6)
    changed = change(picture.expand(200, 3, 8, 6), seed=0, flip=0.5)
    mirrored = sum(torch.allclose(one, picture[0].flip(-1), atol=1e-3) for one in changed)
    straight = sum(torch.allclose(one, picture[0], atol=1e-3) for one in changed)
    assert mirrored + straight == 200
    assert 70 < mirrored < 130


def test_a_crop_looks_at_a_rectangle_within_the_picture_of_the_area_told() -> None:
    changed = change(make_gradient(200), crop=0.6)
    assert changed.max() < 201  # nothing white has come in from outside
    columns = (changed[:, 0, :, -1] - changed[:, 0, :, 0]).mean(1) / 200
    rows = (changed[:, 1, -1] - changed[:, 1, 0]).mean(1) / 200
    area = (columns * rows).numpy()
    assert 0.35 < area.min() < 0.5
    assert 0.9 < area.max() <= 1.01
    stretch = (columns / rows).numpy()
    assert 0.7 < stretch.min() < 0.95 and 1.05 < stretch.max() < 1.45


def test_perspective_keeps_straight_lines_straight_and_parallels_not_parallel() -> None:
    height, width = 80, 60
    images = torch.full((40, 3, height, width), 255.0)
    images[:, :, 30:50, :] = 0.0
    changed = change(images, perspective=0.15)
    tilted = 0
    for one in changed[:, 0]:
        dark = 1 - one / 255
        columns = np.arange(15, 45)
        rows = torch.arange(height)[:, None]
        centre = ((dark * rows).sum(0) / dark.sum(0))[columns].numpy()
        thickness = dark.sum(0)[columns].numpy()
        line = np.polyval(np.polyfit(columns, centre, 1), columns)
        assert np.abs(line - centre).max() < 0.6
        tilted += abs(thickness[-1] - thickness[0]) > 1.5
    assert tilted >= 5


def test_lighting_changes_brightness_and_stays_in_range() -> None:
    images = make_gradient(64)
    changed = change(images, lighting=0.4)
    assert changed.min() >= 0 and changed.max() <= 255
    means = changed.mean((1, 2, 3)) / images.mean((1, 2, 3))
    assert 0.6 <= means.min() < 0.75 and 1.25 < means.max() < 1.45


def test_a_new_background_leaves_the_product_and_the_white_inside_it() -> None:
    images = make_product(16)
    inside = torch.zeros(40, 30, dtype=torch.bool)
    inside[8:32, 6:24] = True
    changed = change(images, background=1.0)
    assert torch.allclose(changed[:, :, inside], images[:, :, inside], atol=0.05)
    outside = changed[:, :, ~inside]
    assert (outside.mean((1, 2)) < 230).all()
    assert outside.std(2).mean() > 10
    assert len({one.round().numpy().tobytes() for one in changed}) == 16


def test_the_background_is_replaced_in_the_share_of_pictures_told() -> None:
    changed = change(make_product(200), background=0.3)
    replaced = int((changed[:, :, 0, 0] < 254).any(1).sum())
    assert 40 < replaced < 80


def _spiral(picture: Any) -> None:
    """A white way into a dark block, with five corners."""
    picture[:, 5:35, 5:25] = 60.0
    for rows, columns in (
        (slice(0, 30), 7), (29, slice(7, 22)), (slice(9, 30), 21), (9, slice(10, 22)), (slice(9, 25), 10),
    ):  # fmt: skip
        picture[:, rows, columns] = 255.0


def _no_white_border(picture: Any) -> None:
    picture[:, 0] = picture[:, -1] = picture[:, :, 0] = picture[:, :, -1] = 120.0


def _tinted(picture: Any) -> None:
    picture[2] -= 20.0


@pytest.mark.parametrize(("draw", "share"), [(_spiral, None), (_no_white_border, 0.0), (_tinted, 0.0)])
def test_background_is_the_white_that_hangs_together_with_the_border(
    draw: Callable[[Any], None], share: float | None
) -> None:
    picture = torch.full((3, 40, 30), 255.0)
    draw(picture)
    found = find_background(picture[None])[0]
    if share is None:
        assert torch.equal(found, picture[0] == 255)
    else:
        assert found.float().mean() == share


def test_a_picture_without_white_border_keeps_every_pixel() -> None:
    images = make_gradient(3)
    draws = draw_clutter(3, torch.Generator().manual_seed(0))
    assert torch.equal(replace_background(images, torch.ones(3, dtype=torch.bool), draws), images)


def test_pictures_exchange_a_rectangle_of_the_area_told() -> None:
    recipe = replace(STILL, cutmix=0.5)
    images = torch.arange(8.0)[:, None, None, None].expand(8, 3, 40, 30)
    generator = torch.Generator().manual_seed(3)
    exchanged = 0
    for _ in range(50):
        mix = draw_mix(8, (40, 30), recipe, generator)
        if mix is None:
            continue
        exchanged += 1
        mixed = mix.apply(images, images[mix.partner], torch.arange(8))
        foreign = (mixed != images).any(dim=1)
        for number, other in enumerate(mix.partner.tolist()):
            if other != number:
                assert float(foreign[number].float().mean()) == pytest.approx(1 - float(mix.share[number]), abs=1e-6)
                assert set(mixed[number].unique().tolist()) <= {float(number), float(other)}
    assert 15 <= exchanged <= 35


def test_mixup_blends_each_picture_with_its_partner_by_a_share_of_its_own() -> None:
    images = torch.arange(400.0)[:, None, None, None].expand(400, 3, 4, 4)
    mix = draw_mix(400, (4, 4), replace(STILL, mixup=0.4), torch.Generator().manual_seed(0))
    assert mix is not None
    mixed = mix.apply(images, images[mix.partner], torch.arange(400))[:, 0, 0, 0]
    expected = mix.share * torch.arange(400) + (1 - mix.share) * mix.partner
    assert torch.allclose(mixed, expected)
    share = mix.share.numpy()
    # Beta(a, a) has mean 1/2 and variance 1 / (4 (2a + 1))
    assert share.mean() == pytest.approx(0.5, abs=0.06)
    assert share.var() == pytest.approx(1 / (4 * 1.8), rel=0.15)
    assert sorted(mix.partner.tolist()) == list(range(400))


def test_where_both_are_asked_cutmix_takes_its_share_and_mixup_the_rest() -> None:
    generator = torch.Generator().manual_seed(0)
    mixes = [draw_mix(4, (8, 8), replace(STILL, mixup=1.0, cutmix=0.3), generator) for _ in range(100)]
    boxes = sum(mix is not None and mix.box is not None for mix in mixes)
    assert None not in mixes
    assert 18 <= boxes <= 42


def test_a_part_of_a_step_is_changed_as_in_the_whole() -> None:
    recipe = replace(STILL, **ALL, lighting=0.2, background=0.5)
    images = make_product(10)
    draws = draw_changes(10, recipe, torch.Generator().manual_seed(5))
    whole = augment(images, recipe, draws)
    chosen = torch.tensor([1, 4, 9])
    part = augment(images[chosen], recipe, {name: drawn[chosen] for name, drawn in draws.items()})
    assert torch.allclose(part, whole[chosen], atol=1e-3)
