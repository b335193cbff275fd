"""Draws pictures that look like an online shop's product photos, and small catalogues made of them.

Nothing here is copied from a photo: every picture is drawn from curves. Shapes are given in units of a 60 x 80
picture (x to the right, y down, the middle at 30, 40) and scaled to the size that is asked for.

    python examples/draw_photos.py photos DIR
    python examples/draw_photos.py catalogue OUT [--products N] [--seed S] [--no-quirks]
"""

from __future__ import annotations

import argparse
import io
import math
import random
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Rgb = tuple[int, int, int]
Points = NDArray[np.float64]

COLOURS: dict[str, Rgb] = {
    "Black": (36, 36, 40),
    "White": (246, 246, 247),
    "Navy Blue": (36, 40, 56),
    "Blue": (62, 118, 190),
    "Red": (194, 34, 46),
    "Green": (58, 132, 72),
    "Grey": (150, 151, 154),
    "Brown": (84, 66, 54),
    "Pink": (236, 124, 166),
    "Yellow": (243, 207, 62),
    "Purple": (108, 58, 134),
    "Orange": (238, 120, 40),
    "Beige": (214, 190, 154),
    "Maroon": (114, 24, 42),
    "Olive": (106, 106, 58),
    "Cream": (240, 227, 198),
    "Teal": (22, 122, 128),
    "Lavender": (190, 172, 218),
    "Peach": (246, 180, 150),
}
"""The base colours by their catalogue names, as (red, green, blue) from 0 to 255."""

WHITE: Rgb = (255, 255, 255)
INK: Rgb = (20, 20, 24)
STEEL: Rgb = (196, 198, 204)
GOLD: Rgb = (206, 168, 92)
TAN: Rgb = (196, 152, 104)
DENIM: Rgb = (66, 88, 120)


def mix(first: Rgb, second: Rgb, share: float) -> Rgb:
    """Return the colour `share` of the way (0 to 1) from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def contrast(colour: Rgb) -> Rgb:
    """Return a near-white for dark colours and a near-black for light ones."""
    return (238, 238, 236) if sum(colour) < 420 else (52, 52, 60)


@lru_cache(maxsize=1024)
def path(spec: str, mirror: bool = False, closed: bool = True) -> Points:
    """Return the curve that `spec` describes, as an (n, 2) array of units.

    `spec` lists points "x,y" separated by spaces; a point followed by "~" is passed smoothly, any other is a
    corner. With `mirror` the points are the left half of a symmetric shape, from its top to its bottom.
    """
    words = spec.split()
    ends = np.array([[float(number) for number in word.rstrip("~").split(",")] for word in words])
    smooth = np.array([word.endswith("~") for word in words], dtype=float)
    if mirror:
        back = [i for i in range(len(words) - 1, -1, -1) if ends[i, 0] != 30.0]
        ends = np.concatenate([ends, ends[back] * [-1.0, 1.0] + [60.0, 0.0]])
        smooth = np.concatenate([smooth, smooth[back]])
    ahead, behind = np.roll(ends, -1, axis=0), np.roll(ends, 1, axis=0)
    heading = (ahead - behind) * smooth[:, None]
    heading /= np.maximum(np.linalg.norm(heading, axis=1, keepdims=True), 1e-9)
    reach = np.linalg.norm(ahead - ends, axis=1, keepdims=True)
    t = np.linspace(0, 1, 10, endpoint=False)[None, :, None]
    start, stop, leave, arrive = (
        part[:, None, :] for part in (ends, ahead, heading * reach, np.roll(heading, -1, axis=0) * reach)
    )
    curve = (2 * t**3 - 3 * t**2 + 1) * start + (t**3 - 2 * t**2 + t) * leave
    curve = (curve + (3 * t**2 - 2 * t**3) * stop + (t**3 - t**2) * arrive).reshape(-1, 2)
    return curve if closed else np.concatenate([curve[:-10], ends[-1:]])


def box(left: float, top: float, right: float, bottom: float, corner: float = 0.0) -> Points:
    """Return a rectangle with its corners rounded by `corner` units."""
    quarter = np.radians(np.linspace(180, 270, 8 if corner else 1))
    turn = np.stack([np.cos(quarter), np.sin(quarter)], axis=1) * corner
    centres = ((left, top, 1, 1), (right, top, -1, 1), (right, bottom, -1, -1), (left, bottom, 1, -1))
    parts = [
        (turn[:: x * y] * [x, y]) + [a + x * corner, b + y * corner] if corner else np.array([[a, b]])
        for a, b, x, y in centres
    ]
    return np.concatenate(parts)


def oval(x: float, y: float, width: float, height: float, first: float = 0.0, last: float = 360.0) -> Points:
    """Return an ellipse about (x, y) of the two half-axes, or its arc between two angles in degrees."""
    angles = np.radians(np.linspace(first, last, 40))
    return np.stack([x + width * np.cos(angles), y + height * np.sin(angles)], axis=1)


def mirrored(points: Points) -> Points:
    """Return the points reflected left to right."""
    return points * [-1.0, 1.0] + [60.0, 0.0]


def moved(points: Points, x: float, y: float) -> Points:
    """Return the points shifted by (x, y) units."""
    shifted: Points = points + np.array([x, y])
    return shifted


@dataclass(frozen=True)
class Mark:
    """A line (or, with width 0, a filled area) that is printed on a shape, in units."""

    points: Points
    colour: Rgb
    width: float = 0.0


def stripes(colour: Rgb, step: float, width: float, angle: float = 0.0) -> list[Mark]:
    """Return parallel lines across the whole picture; angle 0 is level, 90 upright, in degrees."""
    along = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    across = np.array([-along[1], along[0]])
    offsets = np.arange(-50, 50, step)
    return [Mark(np.array([30, 40]) + across * o + along * np.array([[-60], [60]]), colour, width) for o in offsets]


class Pen:
    """Paints shaded shapes given in units on a white picture of four times the asked size."""

    def __init__(self, size: tuple[int, int], rng: random.Random, pose: random.Random) -> None:
        """Start a white picture of `size` (width, height) pixels.

        `rng` chooses the design, `pose` the small slant, the place and the creases.
        """
        self.size, self.rng = size, rng
        self.image = Image.new("RGB", (size[0] * 4, size[1] * 4), WHITE)
        self.scale = min(self.image.width / 60, self.image.height / 80)
        turn, zoom, stretch = math.radians(pose.uniform(-2, 2)), pose.uniform(0.94, 1.04), pose.uniform(0.95, 1.05)
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        self.matrix = np.diag([stretch, 1.0]) @ rotation * (zoom * self.scale)
        nudge = np.array([pose.uniform(-1, 1), pose.uniform(-1, 1)]) * self.scale
        self.middle = np.array([self.image.width, self.image.height]) / 2 + nudge
        self.fit()
        self.folds = self._folds(pose.getrandbits(32))

    def _folds(self, seed: int) -> NDArray[np.float32]:
        """Return the soft light and dark of cloth, about -1 to 1, at a quarter of the picture's resolution."""
        noise = np.random.default_rng(seed)
        width, height = -(-self.image.width // 4), -(-self.image.height // 4)
        total = np.zeros((height, width), dtype=np.float32)
        for rows, columns, weight in ((7, 9, 0.22), (8, 26, 0.26)):
            cells = Image.fromarray(noise.normal(size=(rows, columns)).astype(np.float32))
            total += weight * np.asarray(cells.resize((width, height), Image.Resampling.BICUBIC))
        return total

    def chance(self, share: float) -> bool:
        """Return True in `share` (0 to 1) of all seeds."""
        return self.rng.random() < share

    def fit(self, across: float = 1.0, down: float = 1.0, lower: float = 0.0) -> None:
        """Stretch what is drawn next about the middle and move it `lower`; without arguments draw as given again."""
        self.stretch, self.shift = np.array([across, down]), np.array([0.0, lower])

    def place(self, points: Points) -> list[tuple[float, float]]:
        """Return where points in units lie in the picture, in pixels of the enlarged drawing."""
        local = (points - [30, 40]) * self.stretch + self.shift
        spots: list[tuple[float, float]] = list(map(tuple, local @ self.matrix + self.middle))
        return spots

    def shape(
        self,
        points: Points,
        colour: Rgb,
        *,
        fold: float = 0.0,
        edge: float = 0.25,
        slope: float = 0.0,
        marks: Sequence[Mark] = (),
    ) -> None:
        """Fill an outline: `edge` darkens its rim, `fold` adds creases, `slope` darkens it downwards (0 to 1)."""
        self._paint(points, colour, 0, 1.0, fold, edge, slope, marks)

    def stroke(self, points: Points, colour: Rgb, width: float, *, share: float = 1.0, edge: float = 0.0) -> None:
        """Draw a line `width` units thick, covering what is below by `share` (0 to 1)."""
        self._paint(points, colour, max(1, round(width * self.scale)), share, 0.0, edge, 0.0, ())

    def shadow(self, x: float, y: float, width: float, height: float) -> None:
        """Lay a soft grey shadow: an ellipse about (x, y) of the two half-axes."""
        for step in range(6):
            grow = 1.3 - step * 0.14
            self._paint(oval(x, y, width * grow, height * grow), (140, 140, 146), 0, 0.09, 0.0, 0.0, 0.0, ())

    def _paint(
        self,
        points: Points,
        colour: Rgb,
        width: int,
        share: float,
        fold: float,
        edge: float,
        slope: float,
        marks: Sequence[Mark],
    ) -> None:
        spots = self.place(points)
        left, top, right, bottom = self._box(spots, width)
        if right <= left or bottom <= top:
            return
        mask = Image.new("L", (right - left, bottom - top))
        layer = Image.new("RGB", mask.size, colour)
        draw, cover = ImageDraw.Draw(mask), round(255 * share)
        inside = [(x - left, y - top) for x, y in spots]
        if width:
            draw.line(inside, fill=cover, width=width, joint="curve")
        else:
            draw.polygon(inside, fill=cover)
        for mark in marks:
            self._print(layer, mark, left, top)
        if fold or edge or slope:
            layer = self._shade(layer, mask, (left, top), fold, edge, slope)
        self.image.paste(layer, (left, top), mask)

    def _box(self, spots: list[tuple[float, float]], margin: int) -> tuple[int, int, int, int]:
        across, down = [x for x, _ in spots], [y for _, y in spots]
        left, top = max(0, int(min(across)) - margin), max(0, int(min(down)) - margin)
        right, bottom = int(max(across)) + margin + 2, int(max(down)) + margin + 2
        return left, top, min(self.image.width, right), min(self.image.height, bottom)

    def _print(self, layer: Image.Image, mark: Mark, left: int, top: int) -> None:
        spots = [(x - left, y - top) for x, y in self.place(mark.points)]
        draw = ImageDraw.Draw(layer)
        if mark.width:
            draw.line(spots, fill=mark.colour, width=max(1, round(mark.width * self.scale)), joint="curve")
        else:
            draw.polygon(spots, fill=mark.colour)

    def _shade(
        self, layer: Image.Image, mask: Image.Image, corner: tuple[int, int], fold: float, edge: float, slope: float
    ) -> Image.Image:
        small = mask.reduce(4)
        light = np.ones((small.height, small.width), dtype=np.float32)
        if edge:
            blurred = small.filter(ImageFilter.GaussianBlur(max(1.0, min(small.size) * 0.12)))
            light += edge * (np.asarray(blurred, dtype=np.float32) / 255 - 0.85)
        if fold:
            x, y = corner[0] // 4, corner[1] // 4
            light += fold * self.folds[y : y + small.height, x : x + small.width]
        if slope:
            light += slope * np.linspace(0.5, -0.5, small.height, dtype=np.float32)[:, None]
        for values, blend in ((light, ImageChops.multiply), (light - 1, ImageChops.screen)):
            grey = Image.fromarray((np.clip(values, 0, 1) * 255).astype(np.uint8)).resize(layer.size)
            layer = blend(layer, Image.merge("RGB", (grey, grey, grey)))
        return layer

    def finish(self) -> Image.Image:
        """Return the picture at the size that was asked for."""
        return self.image.resize(self.size, Image.Resampling.BOX)


SKINS: tuple[Rgb, ...] = ((228, 182, 152), (208, 158, 122), (180, 126, 92))
HAIR: tuple[Rgb, ...] = ((28, 22, 20), (48, 32, 24), (66, 44, 32))


def both(pen: Pen, points: Points, colour: Rgb, *, fold: float = 0.0, marks: Sequence[Mark] = ()) -> None:
    """Draw a shape and its mirror image."""
    for half in (points, mirrored(points)):
        pen.shape(half, colour, fold=fold, edge=0.3, marks=marks)


def line(pen: Pen, spec: str, colour: Rgb, width: float, *, share: float = 1.0, mirror: bool = False) -> None:
    """Draw an open curve given as for `path`, and its mirror image if asked."""
    points = path(spec, closed=False)
    for half in (points, mirrored(points)) if mirror else (points,):
        pen.stroke(half, colour, width, share=share)


def head(pen: Pen, skin: Rgb, *, long_hair: bool) -> None:
    """Draw a plain head and neck, from the hair at y = 1 to the collar bones at y = 27."""
    hair = pen.rng.choice(HAIR)
    if long_hair:
        pen.shape(path("30,1~ 25,3~ 24,10~ 22,19~ 23.6,25~ 28,23 30,20", mirror=True), hair, fold=0.1)
    pen.shape(path("30,11 26.9,12 26.5,16~ 22,18.6 25,26~ 30,29~", mirror=True), mix(skin, INK, 0.06), edge=0.1)
    pen.shape(path("30,2~ 26,4.6~ 26,9.6~ 27.7,13.2~ 30,14.5~", mirror=True), skin, edge=0.3)
    crown = "30,0.8~ 26,2.2~ 24.9,8.4 26.2,5.8~ 28.6,4~ 32,4.4~ 33.8,5.8~ 35.1,8.4 34,2.2~"
    pen.shape(path(crown), hair, fold=0.1)
    for x in (28, 32):
        line(pen, f"{x - 0.9},7 {x + 0.9},7", hair, 0.4, share=0.8)
        pen.shape(oval(x, 8.1, 0.6, 0.4), INK, edge=0.0)
    line(pen, "30.1,8.5 30.5,10.3~ 29.8,10.5", INK, 0.3, share=0.25)
    line(pen, "28.8,12 30,12.3~ 31.2,12", (160, 74, 70), 0.6, share=0.8)


def arms(pen: Pen, skin: Rgb, *, inward: float = 0.0, sleeved: bool = False) -> None:
    """Draw two arms from the shoulders at y = 18 (`sleeved`: from y = 46) to the hands, `inward` units nearer."""
    upper = "20,17.6 16.4,19~ 14.4,23~ 12.8,31 11,42~ 10.8,52"
    hand = "9.8,57~ 11.6,61.5~ 13.6,57 14,51"
    arm = path(f"11,46 10.8,52 {hand} 14.6,46" if sleeved else f"{upper} {hand} 15.6,41~ 19.4,28")
    both(pen, moved(arm, inward, inward / 2), skin)


def legs(pen: Pen, skin: Rgb, top: float) -> None:
    """Draw two bare legs in dark shoes from y = `top` to y = 78."""
    both(pen, path(f"21.5,{top} 22,56~ 22.5,62~ 23.8,73 26.8,73 28,62~ 28.6,54~ 29.8,{top}"), skin)
    both(pen, path("23.4,71.5 21.6,75~ 22.5,77.8~ 26.5,77.8~ 27.6,72 25.5,74.4~"), INK)


def slacks(pen: Pen, top: float, colour: Rgb) -> None:
    """Draw what a model wears below: plain trousers from y = `top` past the lower edge."""
    pen.shape(path(f"30,{top} 18.8,{top} 17.2,72 17,86 29,86 29.6,72 30,70", mirror=True), colour, fold=0.25)


def motifs(pen: Pen, colour: Rgb) -> list[Mark]:
    """Return the print of a garment: none for many seeds, else stripes, a band, a figure or a small logo."""
    ink, rng = contrast(colour), pen.rng
    kind = rng.choice(("none", "none", "stripes", "band", "figure", "figure", "logo", "logo"))
    if kind == "stripes":
        return stripes(mix(colour, ink, 0.6), rng.choice((4.5, 6.0)), rng.uniform(0.8, 1.5))
    if kind == "band":
        return [Mark(path("0,33 60,33", closed=False), mix(colour, ink, 0.8), 3.5)]
    if kind == "figure":
        accent = rng.choice(((236, 190, 60), (196, 60, 50), (80, 150, 200), ink))
        spots = [(rng.uniform(25, 35), rng.uniform(31, 40), rng.uniform(0.8, 2.6)) for _ in range(7)]
        words = [Mark(path(f"24,{y} {rng.uniform(33, 37)},{y}", closed=False), ink, 1.2) for y in (28, 43)]
        return words + [Mark(oval(x, y, r, r * 0.8), rng.choice((accent, ink))) for x, y, r in spots]
    return [Mark(oval(35.5, 29, 1.3, 1.0), ink)] if kind == "logo" else []


def tshirt(pen: Pen, colour: Rgb) -> None:
    """A short-sleeved T-shirt, flat or worn over jeans."""
    worn, skin, marks = pen.chance(0.5), pen.rng.choice(SKINS), motifs(pen, colour)
    rib = pen.rng.choice((mix(colour, INK, 0.3), colour, mix(colour, contrast(colour), 0.5)))
    if worn:
        slacks(pen, 55, pen.rng.choice((DENIM, (44, 46, 54))))
        arms(pen, skin)
        head(pen, skin, long_hair=False)
    else:
        pen.shape(path("30,12 24.4,13 23,18 26.4,26 30,29", mirror=True), mix(colour, INK, 0.45))
    side = "25,16.4 19.5,18~ 17,22~ 18,33 18.6,44~ 17.6,58 24,59.2~ 30,59.4~"
    sleeve = path("20,17.4 14.8,20~ 12.4,25~ 9.6,35 16.6,36.6 19,30")
    if not worn:
        side = "24.4,12.6 18.4,15~ 15.6,20~ 17,33 17,50~ 16,67 24,68.2~ 30,68.4~"
        sleeve = path("19,14.8 13,18~ 5,32.5 13.6,38 19,30")
    neck = "30,22~ 26.6,20.4~" if pen.chance(0.75) else "30,27 27.4,21.6"
    both(pen, sleeve, colour, fold=0.25, marks=[mark for mark in marks if len(marks) > 20])
    pen.shape(path(f"{neck} {side}", mirror=True), colour, fold=0.28, edge=0.4, marks=marks)
    pen.stroke(path(f"{side.split()[0]} {neck.split()[1]} {neck.split()[0]}", closed=False), rib, 1.3)
    pen.stroke(mirrored(path(f"{side.split()[0]} {neck.split()[1]} {neck.split()[0]}", closed=False)), rib, 1.3)


def checks(pen: Pen, colour: Rgb) -> list[Mark]:
    """Return the weave of a shirt: plain, checked or finely striped."""
    ink, kind = contrast(colour), pen.rng.choice(("none", "none", "checks", "pin"))
    if kind == "checks":
        step, thread = pen.rng.choice((4.0, 5.5)), mix(colour, ink, 0.35)
        return stripes(thread, step, step * 0.3) + stripes(thread, step, step * 0.3, 90)
    return stripes(mix(colour, ink, 0.3), 1.8, 0.4, 90) if kind == "pin" else []


def shirt(pen: Pen, colour: Rgb) -> None:
    """A long-sleeved buttoned shirt with a collar, worn over trousers or tucked into them."""
    pen.fit(0.88)
    colour = mix(colour, WHITE, 0.12 if max(colour) - min(colour) > 90 else 0.0)
    skin, marks, seam, tucked = pen.rng.choice(SKINS), checks(pen, colour), mix(colour, INK, 0.4), pen.chance(0.4)
    slacks(pen, 59 if tucked else 54, pen.rng.choice((INK, (50, 50, 56), DENIM, (44, 52, 74))))
    arms(pen, skin, sleeved=True)
    head(pen, skin, long_hair=False)
    sleeve = "21,18.6 16.2,20.4~ 13.4,26~ 11.4,40~ 10.2,54 14.4,55.4 16.4,43~ 19.4,29"
    both(pen, path(sleeve), mix(colour, INK, 0.06), fold=0.3, marks=marks)
    both(pen, path("9.8,52 9.4,55.6 14.4,56.8 14.9,53.2"), mix(colour, INK, 0.12))
    end = "19.4,60.4 30,61.4" if tucked else "18.4,60 23,64.6~ 30,63~"
    body = f"30,24 27,17 20,18.6~ 17,21.4~ 18.6,33 19.6,44~ {end}"
    pen.shape(path(body, mirror=True), colour, fold=0.34, edge=0.5, marks=marks)
    low = 59 if tucked else 62.6
    line(pen, f"31.3,26 31.3,{low}", seam, 0.5, share=0.7)
    line(pen, f"28.7,25.4 28.7,{low}", seam, 0.35, share=0.5)
    for y in range(28, 59, 6):
        pen.shape(oval(30, y, 0.5, 0.5), mix(contrast(colour), colour, 0.5), edge=0.0)
    if pen.chance(0.6):
        line(pen, "33.8,31 38,31 38,36 35.9,37.4 33.8,36 33.8,31", seam, 0.4, share=0.7)
    line(pen, "17.6,23~ 19.4,30~ 20.2,44", INK, 0.6, share=0.3, mirror=True)
    for far, y in ((26, 47), (24.6, 52), (26, 56)):
        line(pen, f"20,{y} {far},{y + 1.6}", INK, 0.7, share=0.12, mirror=True)
    both(pen, path("26.4,14.4 24.2,17.4~ 25.2,24.6 30,23.6 27.4,18~"), mix(colour, WHITE, 0.14))
    line(pen, "24.2,17.6 25.2,24.8 30,23.8 27.4,18~ 26.4,14.4", seam, 0.5, share=0.8, mirror=True)
    if tucked:
        line(pen, "19.2,60.4 30,61.4~ 40.8,60.4", (40, 30, 26), 2.0)
        pen.shape(box(28.6, 60, 31.4, 62.6, 0.4), STEEL)


def kurta(pen: Pen, colour: Rgb) -> None:
    """A long tunic with a worked neck, a placket and slits at the sides, worn over leggings."""
    pen.fit(0.92, 0.97, 0.6)
    skin, thread = pen.rng.choice(SKINS), pen.rng.choice((GOLD, contrast(colour), (150, 40, 60)))
    both(pen, path("21.6,66 22.4,86 29,86 29.6,66"), pen.rng.choice((INK, (60, 40, 50), (44, 46, 60))))
    arms(pen, skin, inward=4.0)
    head(pen, skin, long_hair=True)
    marks = [Mark(path(f"0,{y} 60,{y}", closed=False), thread, w) for y, w in ((72.4, 2.4), (69.4, 0.6))]
    if pen.chance(0.5):
        dots = [(x + (row % 2) * 1.7, 22 + row * 3.2) for row in range(15) for x in np.arange(14, 48, 3.4)]
        marks += [Mark(oval(x, y, 0.6, 0.8), mix(colour, thread, 0.6)) for x, y in dots]
    end = pen.rng.choice((32.0, 43.0))
    cuff = 20.6 - end / 9
    sleeve = f"21.6,18 18.4,20~ 17,25~ {cuff - 2},{end} {cuff + 2.6},{end + 1} 21,31"
    both(pen, path(sleeve), colour, fold=0.25, marks=marks[2:])
    line(pen, f"{cuff - 2},{end - 0.6} {cuff + 2.6},{end + 0.4}", thread, 1.2, mirror=True)
    body = "30,26 26.4,21.6 25.8,17 21,18.4~ 19.4,22~ 20.4,32 20.6,39~ 18.6,54 16.6,73.6 24,74.6~ 30,74.8~"
    pen.shape(path(body, mirror=True), colour, fold=0.34, edge=0.5, marks=marks)
    line(pen, "18.4,56 18,73.6", INK, 0.8, share=0.45, mirror=True)
    pen.shape(
        path("30,26 26.4,21.6 25,17.4 22.6,19~ 24,26~ 27,31 27.6,36 30,37", mirror=True), mix(colour, thread, 0.55)
    )
    line(pen, "25.8,17 26.4,21.6 30,26", thread, 0.9, mirror=True)
    line(pen, "30,26 30,37", INK, 0.5, share=0.6)
    for x, y in ((25.4, 71), (28, 70)):
        line(pen, f"{x},44 {x - 1},{y}", INK, 0.7, share=0.14, mirror=True)


def dress(pen: Pen, colour: Rgb) -> None:
    """A sleeveless dress with a waist and a wide skirt, flat or worn."""
    skin, sash = pen.rng.choice(SKINS), pen.rng.choice((mix(colour, INK, 0.5), mix(colour, contrast(colour), 0.7), INK))
    worn, marks = pen.chance(0.8), []
    if pen.chance(0.35):
        spots = [(pen.rng.uniform(10, 50), pen.rng.uniform(18, 66)) for _ in range(90)]
        marks = [Mark(oval(x, y, 0.9, 0.8), mix(colour, contrast(colour), 0.6)) for x, y in spots]
    if worn:
        both(pen, path("22,58 23,70~ 23.6,86 28,86 28.8,70~ 29.6,58"), skin)
        arms(pen, skin, inward=3.6)
        head(pen, skin, long_hair=True)
    else:
        pen.shape(path("30,15 25,14 25,23~ 30,24", mirror=True), mix(colour, INK, 0.45))
    pen.fit(lower=1.8 if worn else 0.0)
    body = "30,24~ 26.6,21.6~ 25.2,14.8 22.6,15.4 21.6,20~ 19.8,25 21,32~ 22.4,37"
    skirt = "30,36 22.6,36 19,48~ 14,65 21,67.4~ 25,66.4~ 30,67.6~"
    pen.shape(path(f"{body} 30,38", mirror=True), colour, fold=0.25, edge=0.4, marks=marks)
    pen.shape(path(skirt, mirror=True), colour, fold=0.4, edge=0.35, marks=marks)
    for x, low in ((26, 20), (29, 28), (28, 24)):
        line(pen, f"{x},38 {low - 3},66", INK, 0.5, share=0.15, mirror=True)
    line(pen, "22.2,36.6 30,37.2~ 37.8,36.6", sash, 2.0)


def sweatshirt(pen: Pen, colour: Rgb) -> None:
    """A long-sleeved sweatshirt with ribbed ends, with or without a hood, flat or worn."""
    hood, worn, rib, ink = pen.chance(0.7), pen.chance(0.6), mix(colour, INK, 0.3), contrast(colour)
    skin = pen.rng.choice(SKINS)
    if worn:
        slacks(pen, 55, pen.rng.choice((DENIM, (44, 46, 54))))
        pen.fit(lower=4.0)
        arms(pen, skin, inward=0.8, sleeved=True)
        pen.fit()
        head(pen, skin, long_hair=False)
        pen.fit(0.82, 0.92, 1.2)
    elif hood:
        pen.shape(path("30,4~ 22.4,8~ 20.5,17 24,24~ 30,27~", mirror=True), mix(colour, INK, 0.15), fold=0.2, edge=0.5)
        pen.shape(path("30,8~ 25,12~ 25,20~ 30,25~", mirror=True), mix(colour, INK, 0.6))
    else:
        pen.shape(path("30,13 24.4,14 23,19 30,22~", mirror=True), mix(colour, INK, 0.3))
    both(pen, path("20,16 14,18.5~ 9.6,29~ 5.6,50 5,59 10.6,60 12.4,51 17.6,33"), mix(colour, INK, 0.08), fold=0.3)
    both(pen, path("5,56 4.6,61.4 10,62.4 10.9,57.2"), rib)
    neck = "30,22~ 26.4,19~ 25,15.4" if hood else "30,19.6~ 26.4,18~ 24,14"
    words = [Mark(path(f"22,{y} {38 - y % 3},{y}", closed=False), ink, 1.6) for y in (31, 34)]
    body = path(f"{neck} 18,16.6~ 16,20~ 17,34 15.6,61 30,62.4~", mirror=True)
    pen.shape(body, colour, fold=0.34, edge=0.5, marks=words if pen.chance(0.3) else ())
    pen.shape(path("15.6,60.6 16.8,66 30,67~ 43.2,66 44.4,60.6 30,62~"), rib, edge=0.2)
    line(pen, "17,22~ 18.6,34~ 17.8,52", INK, 0.8, share=0.3, mirror=True)
    if not hood:
        line(pen, "24.2,14.4 26.4,18~ 30,19.6~ 33.6,18~ 35.8,14.4", rib, 1.8)
        return
    line(pen, "22.6,59.4 19.6,52 23.4,45 36.6,45 40.4,52 37.4,59.4", INK, 0.7, share=0.5)
    both(pen, path("26.4,13 22,14~ 20.6,18~ 23.6,24~ 30,28 29,23~ 26.6,19~"), mix(colour, INK, 0.14), fold=0.3)
    line(pen, "26.2,14 26.4,19~ 30,24", INK, 0.6, share=0.5, mirror=True)
    if pen.chance(0.5):
        line(pen, "30,26 30,66", mix(colour, INK, 0.5), 0.9)
    line(pen, "27.6,26 27,35", ink, 0.6, mirror=True)


def waist_up(pen: Pen, *, formal: bool = False) -> None:
    """Draw the cropped upper body above trousers: a shirt's lower end and two forearms, `formal`: sleeved."""
    skin = pen.rng.choice(SKINS)
    both(pen, path("14.6,-4 14.4,6~ 15,14 15.6,20~ 17.4,23.4~ 19.4,19~ 18.4,8~ 18.6,-4"), skin)
    cloth = pen.rng.choice(((220, 222, 226), (60, 62, 70), (150, 60, 60)))
    if formal:
        cloth = pen.rng.choice(((216, 220, 232), (190, 206, 230), (222, 204, 226)))
        both(pen, path("13.6,-4 13.2,6~ 13.8,14.4 18.8,14.8 19.6,6~ 20,-4"), mix(cloth, INK, 0.05), fold=0.3)
    pen.shape(path("30,-4 19,-4 20.4,10 30,11.4", mirror=True), cloth, fold=0.3)


def trouser_legs(pen: Pen, colour: Rgb, ends: float, fold: float = 0.3) -> None:
    """Draw the two legs and the hips of long trousers from y = 9 to y = 74, `ends` units wide below."""
    left = 25.0 - ends / 2
    leg = f"{left - 0.2},54~ {left - 0.6},73.4 {left + ends / 2},75~ {left + ends},74 {left + ends + 0.2},52~ 29.3,32"
    pen.shape(path(f"30,9.4 21.6,9 19.8,18~ 19.4,28~ {leg} 30,28.6", mirror=True), colour, fold=fold, edge=0.6)
    line(pen, "30,14 30,28", INK, 0.5, share=0.45)
    line(pen, "30,28 27,25~ 24,24.4", INK, 0.7, share=0.16, mirror=True)
    line(pen, "30,30 27,29~ 24,30", INK, 0.7, share=0.14, mirror=True)


def feet(pen: Pen, colour: Rgb) -> None:
    """Draw the tips of two shoes below trouser legs."""
    both(pen, path("22,72 19.4,75.4~ 18.6,77.6~ 20.6,78.8~ 24,78~ 26.8,76~ 27,72"), colour)


def jeans(pen: Pen, colour: Rgb) -> None:
    """Denim trousers with faded thighs, pockets, a belt-loop band and bright seams, flat or worn."""
    worn, thread, dark = pen.chance(0.8), (190, 146, 92), mix(colour, INK, 0.45)
    cloth = mix(colour, DENIM, 0.22 if sum(colour) > 200 else 0.1)
    trouser_legs(pen, cloth, pen.rng.uniform(6.4, 8))
    fade = mix(cloth, WHITE, 0.5 if sum(colour) > 200 else 0.3)
    for wide, tall in ((4.4, 13.0), (3.2, 11.0), (2.2, 9.0), (1.2, 6.0)):
        for x in (24.2, 35.8):
            pen.stroke(oval(x, 34, 0.1, tall), fade, wide, share=0.14)
            pen.stroke(oval(x, 60, 0.1, tall * 0.6), fade, wide * 0.7, share=0.1)
    for y in (45, 47.4, 50, 68, 70.4, 72.4):
        line(pen, f"22.4,{y} 25,{y + 1}~ 27.4,{y}", dark, 0.6, share=0.3, mirror=True)
    line(pen, "21.4,12~ 19.9,18~ 19.7,28~ 21.4,54 21,73", dark, 0.7, share=0.6, mirror=True)
    line(pen, "21.2,10.6 30,11.2~ 38.8,10.6", dark, 2.6, share=0.55)
    line(pen, "21,12.2 30,12.8~ 39,12.2", thread, 0.4, share=0.8)
    for x in (23.4, 27.0):
        line(pen, f"{x},9.4 {x},12.8", cloth, 0.8, mirror=True)
    line(pen, "20.2,18.6~ 24,18~ 25.6,13", thread, 0.5, share=0.9, mirror=True)
    line(pen, "30,14 32,24~ 30,27", thread, 0.4, share=0.7)
    pen.shape(oval(30, 11, 0.7, 0.7), STEEL, edge=0.0)
    if worn:
        waist_up(pen)
        feet(pen, pen.rng.choice((INK, (90, 60, 40), (230, 230, 230))))


def trousers(pen: Pen, colour: Rgb) -> None:
    """Smooth trousers with pressed creases and a belt, worn with a shirt."""
    waist_up(pen, formal=True)
    feet(pen, pen.rng.choice((INK, (70, 46, 34))))
    trouser_legs(pen, colour, pen.rng.uniform(8.6, 9.8), 0.12)
    line(pen, "24.6,16 24,44 24.2,73", mix(colour, WHITE, 0.3), 0.5, share=0.35, mirror=True)
    line(pen, "25.3,16 24.8,44 25,73", mix(colour, INK, 0.6), 0.5, share=0.3, mirror=True)
    line(pen, "20.4,20~ 23.6,13", INK, 0.6, share=0.6, mirror=True)
    line(pen, "21.4,10.3 30,10.8~ 38.6,10.3", pen.rng.choice((INK, (92, 58, 38))), 1.8)
    pen.shape(path("28.6,9.6 31.4,9.6 31.4,12 28.6,12"), STEEL)


def shorts(pen: Pen, colour: Rgb) -> None:
    """Shorts with a waistband and side stripes or pockets, flat or worn."""
    wide, low, worn = pen.rng.uniform(0, 2), pen.rng.uniform(58, 64), pen.chance(0.45)
    if worn:
        legs(pen, pen.rng.choice(SKINS), 40)
        waist_up(pen)
    pen.fit(*((0.8, 0.9, -13.0) if worn else (0.9, 0.84, 0.0)))
    half = f"30,21~ 19.6,20 16,36~ {11.5 - wide},{low} 20,{low + 1.4}~ 28.6,{low + 1} 29.4,50 30,42"
    if not worn:
        pen.shape(path("30,18~ 19.8,19 20,22 30,23", mirror=True), mix(colour, INK, 0.5))
    side = path(f"19,20 15.8,40 {12.6 - wide},{low + 2}", closed=False)
    bars = [Mark(edge, contrast(colour), 1.3) for edge in (side, mirrored(side))] if pen.chance(0.5) else []
    pen.shape(path(half, mirror=True), colour, fold=0.32, edge=0.45, marks=bars)
    line(pen, "19.4,21.6 30,22.8~ 40.6,21.6", mix(colour, INK, 0.25), 2.6)
    line(pen, "30,24 30,43", INK, 0.5, share=0.4)
    if bars:
        line(pen, "29,24 28.4,30", contrast(colour), 0.5)
    else:
        line(pen, "18,33~ 22,30~ 23.6,24", INK, 0.5, share=0.5, mirror=True)


def skirt(pen: Pen, colour: Rgb) -> None:
    """A pleated or straight skirt, worn on bare legs or flat."""
    worn = pen.chance(0.75)
    flare = pen.rng.choice((0.0, 6.0)) if worn else 8.0
    low, skin = (pen.rng.choice((45, 52)), pen.rng.choice(SKINS)) if worn else (57, SKINS[0])
    if worn:
        pen.fit(0.72)
        legs(pen, skin, 40)
        pen.fit(0.9)
        both(pen, path("15.4,-4 15.2,8~ 16,18~ 16,24~ 17.4,25~ 18.8,18~ 19,-4"), skin)
        top_colour = pen.rng.choice(((226, 226, 228), INK, (190, 205, 225)))
        pen.shape(path("30,-4 19.5,-4 21.6,10 30,11", mirror=True), top_colour, fold=0.2)
    top, left = (9, 21.4) if worn else (20, 20)
    half = f"30,{top} {left},{top} {left - 3},{top + 14}~ {left - 1.6 - flare},{low} 24,{low + 1}~ 30,{low + 1.4}~"
    pen.shape(path(half, mirror=True), colour, fold=0.35, edge=0.55)
    line(pen, f"{left},{top + 1.4} 30,{top + 2}~ {60 - left},{top + 1.4}", mix(colour, INK, 0.45), 2.4)
    for x in (20.8, 23.0, 25.2, 27.4, 29.4) if flare else ():
        line(pen, f"{x + 1},{top + 3} {30 - (30 - x) * 1.45},{low - 0.4}", INK, 0.7, share=0.3, mirror=True)
    if not flare:
        line(pen, f"{left + 2},{top + 4} {left},{top + 16}", INK, 0.7, share=0.2, mirror=True)


def sole(pen: Pen, spec: str, colour: Rgb, shade: tuple[float, float]) -> None:
    """Draw a shoe's sole over its shadow, which lies about x = 30 and y, reach of `shade`."""
    pen.shadow(31, shade[0], shade[1], 3.5)
    pen.shape(path(spec), colour, edge=0.2)


def laces(pen: Pen, colour: Rgb, start: tuple[float, float], stop: tuple[float, float], count: int) -> None:
    """Draw crossed laces between two points along a shoe's tongue."""
    for share in np.linspace(0, 1, count):
        x, y = (a + (b - a) * share for a, b in zip(start, stop, strict=True))
        line(pen, f"{x - 2.6},{y + 2.2} {x + 2.6},{y - 1.2}", colour, 1.0)
        line(pen, f"{x - 2},{y - 0.4} {x + 2.8},{y + 1.6}", mix(colour, INK, 0.12), 0.8)


def casual_shoe(pen: Pen, colour: Rgb) -> None:
    """A canvas sneaker with a flat pale sole, its toe to the lower right."""
    rubber = pen.rng.choice(((244, 243, 238), (226, 214, 190), (244, 243, 238)))
    trim = contrast(colour)
    pen.fit(1.0, 0.86, 2.5)
    sole(pen, "5.4,40 28,48~ 44,51~ 53.6,47~ 54.2,51~ 51,54.8~ 43,56.4~ 26,53~ 6,46", rubber, (55, 24))
    front = "22,19.6~ 27,22.4~ 38,34~ 48,40.6~ 53,46.6~ 52,50~ 44,52.4~ 28,48.6~ 6,41.4"
    pen.shape(path(f"6.6,31~ 8,21~ 13,19.4~ 19,22.6~ {front}"), colour, fold=0.12, edge=0.4)
    pen.shape(path("8.8,22.4~ 13,20.6~ 18.6,23.4~ 22,26~ 17,28~ 11,26~"), mix(colour, INK, 0.6))
    pen.shape(path("18.4,24 22,19.4~ 26.4,22~ 39,35.4~ 34,37.4~ 24,30~"), mix(colour, WHITE, 0.12))
    line(pen, "17,28~ 24,33~ 32.6,39~ 39,40~ 43,37", INK, 0.5, share=0.4)
    laces(pen, trim, (24, 26), (35, 36), 5)
    line(pen, "6,42.6 28,50~ 44,53.6~ 53.6,49.4", mix(rubber, colour, 0.6), 0.7)
    if pen.chance(0.6):
        for shift in (0, 4):
            line(pen, f"{18 + shift},30 {14 + shift},44", trim, 1.2, share=0.85)
    if pen.chance(0.4):
        pen.shape(path("40.4,43~ 45,39.6 51.6,43.6~ 52.8,49.4~ 44,51.8~"), rubber)


def sports_shoe(pen: Pen, colour: Rgb) -> None:
    """A running shoe with a thick shaped sole and swept panels, its toe to the lower right."""
    accent = pen.rng.choice(((60, 110, 200), (206, 44, 50), (230, 120, 40), (150, 200, 60), (150, 152, 158)))
    grey = mix(colour, contrast(colour), 0.35)
    sole(pen, "4.4,38 26,46~ 44,50~ 54.4,46~ 55.4,51~ 51,56.6~ 42,57.6~ 34,54~ 24,55~ 14,52.4~ 5,48.4~", INK, (57, 25))
    foam = "4.6,37 26,45~ 44,49~ 54.6,45~ 55,49~ 50,54~ 42,55~ 32,52~ 22,52~ 5.2,45.6~"
    pen.shape(path(foam), (240, 240, 240), edge=0.3)
    line(pen, "5.4,42.5 16,47.4~ 28,49.4~", accent, 1.6)
    front = "21,16.6~ 26,19~ 36,31~ 48,37~ 54,44~ 53,48~ 44,50.4~ 26,46.6~ 5,39.4"
    pen.shape(path(f"5.6,30~ 7.4,19~ 11.6,17~ 16,21.6~ {front}"), colour, fold=0.15, edge=0.45)
    pen.shape(path("8,20~ 11.4,18.6~ 16,22.6~ 20,25.4~ 15,27~ 9.6,25~"), mix(colour, INK, 0.65))
    pen.shape(path("17,23.6 20.8,17.4~ 25.2,19.4~ 37,32.6~ 33,36.4~ 23,30~"), mix(colour, INK, 0.15))
    pen.shape(path("6.4,33~ 12,30~ 16,36~ 14,42.4 5.4,39"), grey)
    pen.shape(path("38,47 41,40~ 48,37.6 53.6,44~ 52.6,47.8~ 44,49.6~"), grey)
    for shift in (0.0, 4.2, 8.4):
        line(pen, f"{19 + shift},{28 + shift * 0.6} {15.6 + shift * 1.1},{41 + shift * 0.4}", accent, 1.7)
    laces(pen, contrast(colour) if pen.chance(0.5) else accent, (22.6, 23.6), (34, 33.6), 6)


def formal_shoe(pen: Pen, colour: Rgb) -> None:
    """A low polished leather shoe with a thin sole, a heel and a drawn-out toe to the lower right."""
    dark = mix(colour, INK, 0.75)
    pen.fit(1.0, 0.92)
    pen.shadow(36, 55.6, 18, 1.6)
    below = "6,42 18,46~ 27,52~ 36,54.4~ 44,54.8~ 52,53.2~ 55.2,50 55,52~ 50,55.4~ 42,56.7~ 34,56.2~ 27,54.4~ 16.8,48.8"
    pen.shape(path(f"{below} 16.4,50.6 6.8,47.6"), dark, edge=0.2)
    front = "24,27~ 28.6,27.4~ 32,31~ 39,40.4~ 47,44.4~ 52.8,46.6~ 55.2,50~ 52,53.2~ 44,54.6~ 36,54.2~ 27,51.8~ 18,46~"
    pen.shape(path(f"7,23.4~ 9.4,22.8~ 17,25.8~ {front} 6.2,42.6 5.2,34~"), mix(colour, INK, 0.1), edge=0.6)
    pen.shape(path("8,24~ 12,24.6~ 18,26.8~ 24,28~ 22,31.6~ 17,32.8~ 11,30~"), dark, edge=0.1)
    line(pen, "7.2,25 10.8,30.4~ 16.4,33.4~ 22,32~ 24.4,28", mix(colour, WHITE, 0.18), 0.6)
    line(pen, "6.4,40.8~ 18,44.8~ 27,50.6~ 36,53~ 46,53.4~ 54,50.6", INK, 0.5, share=0.4)
    if pen.chance(0.6):
        line(pen, "20,33 21,39~ 26,42~ 33,38", INK, 0.6, share=0.7)
        laces(pen, dark, (25.4, 29.6), (31, 35), 4)
        line(pen, "20.6,40 17,46", INK, 0.5, share=0.5)
    else:
        line(pen, "16.6,34 18,38~ 24,36~ 28.6,29", INK, 1.2, share=0.6)
        line(pen, "18,38 22,41~ 33,42~ 36,37.4", INK, 0.6, share=0.5)
    for width, share in ((4.0, 0.07), (2.8, 0.1), (1.8, 0.14), (0.8, 0.2)):
        line(pen, "33,36~ 38,43~ 47,48~", WHITE, width, share=share)
        line(pen, "8,33~ 11,38~ 17,41.6~", WHITE, width * 0.7, share=share)


def heel(pen: Pen, colour: Rgb) -> None:
    """A woman's pump on a high heel, its toe to the lower right."""
    tall, dark = pen.rng.uniform(0, 3), mix(colour, INK, 0.4)
    pen.shadow(33, 57, 21, 2.2)
    pen.shape(path(f"8.6,{32 - tall} 10,42~ 11,57 13,57 14,46~ 20,{39 - tall}~ 16,{33 - tall}"), dark)
    below = f"53,55.6~ 52.6,57.4~ 38,57~ 28,51.6~ 20,{41 - tall}~"
    pen.shape(path(f"8.4,{32 - tall} 21,{38 - tall}~ 31,49~ 40,54~ {below}"), dark)
    back = f"20,{38 - tall}~ 8.2,{33 - tall}~ 8.6,{25 - tall}~ 11,{24 - tall}~ 20,{33 - tall}~"
    pen.shape(path(f"{back} 34,41.6~ 42,43.4~ 50,48.6~ 54,54~ 52,56~ 40,54.6~ 31,49.6~"), colour, edge=0.45)
    inner = f"10,{26 - tall}~ 13,{24.6 - tall}~ 24,{31 - tall}~ 36,38.6~ 41,43.4~ 34,42.6~ 21,{34 - tall}~"
    pen.shape(path(inner), (216, 190, 158), edge=0.2)
    line(pen, f"12.4,{24.6 - tall} 24,{30.6 - tall}~ 36.6,38.4~ 42,43.4~", colour, 1.3)
    for width, share in ((2.2, 0.12), (1.0, 0.25)):
        line(pen, "41,47~ 47,50~ 51,54", WHITE, width, share=share)
    if pen.chance(0.4):
        pen.shape(path("38,43~ 42,41 44,44~ 48,44 46,47.4~ 41,46~"), mix(colour, contrast(colour), 0.4))


def flip_flop(pen: Pen, colour: Rgb) -> None:
    """A rubber slipper with a Y-shaped strap, its toe to the lower right."""
    strap = pen.rng.choice((mix(colour, INK, 0.6), mix(colour, contrast(colour), 0.75), INK))
    pen.shadow(31, 55, 23, 2.6)
    top = "5.4,37~ 9,33.4~ 20,35~ 33,38.4~ 46,41.6~ 53.6,46~ 54,50.4~ 48,53.4~ 38,53~ 26,49.4~ 12,43.6~"
    edge = mix(colour, contrast(colour), 0.5)
    for drop in (3.6, 2.4, 1.2):
        pen.shape(moved(path(top), 0, drop), mix(edge, INK, 0.04 * drop), edge=0.2)
    marks = stripes(mix(colour, contrast(colour), 0.3), 4, 1.2, 20) if pen.chance(0.5) else []
    pen.shape(path(top), colour, edge=0.25, marks=marks)
    line(pen, "25.6,37 29,33.6~ 35,36.6~ 43.6,45.4~", mix(strap, INK, 0.25), 2.6)
    near = "22.6,48.6 23.6,41~ 28,36.6~ 33,36.6~ 40,41~ 44.6,46.4 42,46.6~ 36,43~ 31,42.6~ 28,45~ 27,50.4"
    pen.shape(path(near), strap, edge=0.4)
    line(pen, "25.4,46 26.6,41.6~ 30,38.8~", WHITE, 0.7, share=0.25)
    pen.shape(oval(43.6, 46.4, 1.5, 1.0), mix(strap, INK, 0.3), edge=0.2)


def handbag(pen: Pen, colour: Rgb) -> None:
    """A handbag with two arched handles and metal fittings."""
    wide, rise, dark = pen.rng.uniform(0, 4), pen.rng.uniform(12, 20), mix(colour, INK, 0.35)
    pen.shadow(30, 68, 21, 1.6)
    line(pen, f"21,38 20.6,26~ 24,{rise + 1}~ 30,{rise - 1}~ 36,{rise + 1}~ 39.4,26~ 39,38", dark, 1.8)
    half = f"30,34.6~ {14 - wide / 2},35 {11 - wide},50~ {9 - wide / 2},64~ 12,67.6~ 30,68.4~"
    pen.shape(path(half, mirror=True), colour, fold=0.22, edge=0.45)
    line(pen, f"20.4,40 20,28~ 23.6,{rise + 3}~ 30,{rise + 1}~ 36.4,{rise + 3}~ 40,28~ 39.6,40", colour, 2.0)
    line(pen, f"{14.5 - wide / 2},37.4 30,38.4~ {45.5 + wide / 2},37.4", INK, 0.7, share=0.5)
    both(pen, path("18.4,39 22.4,39 21.8,46~ 20.4,47~ 19,46~"), mix(colour, INK, 0.15))
    for x in (20.4, 39.6):
        pen.shape(oval(x, 41, 1.2, 1.2), pen.rng.choice((GOLD, STEEL)))
    if pen.chance(0.6):
        line(pen, "14,62 15,49 45,49 46,62", INK, 0.5, share=0.4)
        pen.shape(path("27.6,52 32.4,52 32.4,54.6 27.6,54.6"), GOLD)
    else:
        for x in (25.5, 28.5):
            line(pen, f"{x},39 {x - 1.5},54", INK, 0.6, share=0.3, mirror=True)


def backpack(pen: Pen, colour: Rgb) -> None:
    """An upright backpack with a top loop, a front pocket and zips."""
    trim, zipper = pen.rng.choice((INK, mix(colour, contrast(colour), 0.6))), mix(colour, INK, 0.6)
    line(pen, "27,10 27.4,5~ 30,3.8~ 32.6,5~ 33,10", INK, 1.4)
    both(pen, path("14.6,44 9.6,56~ 11,64 14,66~"), mix(colour, INK, 0.6))
    pen.shadow(30, 71, 18, 1.5)
    half = "30,7.6~ 21,9.4~ 15,19~ 13,36~ 11.6,60~ 14,69.6~ 30,71.4~"
    pen.shape(path(half, mirror=True), colour, fold=0.2, edge=0.5)
    both(pen, path("14,48 12,62~ 15.4,69~ 17,60~ 16.6,49~"), trim if pen.chance(0.5) else mix(colour, INK, 0.4))
    line(pen, "15.8,34 17.6,19~ 23,12.6~ 30,11.4~ 37,12.6~ 42.4,19~ 44.2,34", zipper, 0.8)
    pocket = path("30,40.6~ 20,41.6~ 17.6,48~ 17,64~ 20,67.6~ 30,68.4~", mirror=True)
    pen.shape(pocket, mix(colour, WHITE, 0.06), edge=0.4)
    line(pen, "18.6,47 21,43~ 30,42.2~ 39,43~ 41.4,47", zipper, 0.8)
    line(pen, "22,24 38,24 38,34 22,34 22,24", zipper, 0.4, share=pen.rng.choice((0.0, 0.6)))
    pen.shape(path("26,52 34,52 34,55.4 26,55.4"), trim, edge=0.0)
    for x in (26.5, 30.0, 33.5) if pen.chance(0.5) else ():
        line(pen, f"{x},20 {x},31", contrast(colour), 1.5)


def wallet(pen: Pen, colour: Rgb) -> None:
    """A folded leather wallet lying flat in the lower half."""
    wide, tall = pen.rng.choice(((17.0, 13.0), (15.0, 12.0), (19.0, 10.5)))
    left, right, top = 30 - wide, 30 + wide, 66 - 2 * tall
    pen.shadow(30, 66.4, wide, 1.2)
    behind = f"{left + 1},{top + 1} {left + 2},{top} {right - 2},{top - 2.2} {right},{top - 1} {right},65 {left + 1},65"
    pen.shape(path(behind), mix(colour, INK, 0.4))
    pen.shape(box(left, top, right - 1, 66, 1.4), colour, fold=0.12, edge=0.35, slope=0.15)
    stitch = box(left + 1.4, top + 1.4, right - 2.4, 64.6)
    pen.stroke(np.concatenate([stitch, stitch[:1]]), INK, 0.3, share=0.4)
    line(pen, f"{left + 1.4},{top + 0.5} {right - 2.4},{top + 0.5}", WHITE, 0.5, share=0.3)
    kind = pen.rng.choice(("flap", "pocket", "mark"))
    if kind == "flap":
        line(pen, f"{left},{top + tall} 30,{top + tall + 1.4}~ {right - 1},{top + tall}", INK, 0.7, share=0.5)
        pen.shape(oval(30, top + tall + 0.6, 1.4, 1.4), STEEL)
    elif kind == "pocket":
        line(pen, f"30,{top + 1} 30,65", INK, 0.5, share=0.35)
        line(pen, f"30,{top + 7} {right - 1.4},{top + 7}", INK, 0.5, share=0.35)
    else:
        pen.shape(box(right - 9, 60, right - 4, 62), mix(colour, contrast(colour), 0.5))


def watch(pen: Pen, colour: Rgb) -> None:
    """A wrist watch from the front: strap, round case, dial and hands."""
    metal, band = pen.rng.choice((STEEL, STEEL, GOLD)), pen.rng.uniform(7.5, 9)
    size, dial = pen.rng.uniform(16, 19), colour if pen.chance(0.75) else (244, 244, 242)
    side = 30 - band
    half = f"30,3~ {side + 1},3.4 {side},14~ {side - 2},24 {side - 2},56 {side},66~ {side + 1},76.6 30,77"
    marks = stripes(mix(colour, INK, 0.35), 3.6, 0.5) if pen.chance(0.6) else []
    pen.shape(path(half, mirror=True), colour, edge=0.5, marks=marks)
    line(pen, f"{side + 1.6},6 {side + 0.6},22", contrast(colour), 0.4, share=0.4, mirror=True)
    pen.shape(box(29 + size, 38.4, 32.6 + size, 41.6, 0.6), metal)
    pen.shape(oval(30, 40, size, size), metal, edge=0.5, slope=0.3)
    pen.shape(oval(30, 40, size - 2, size - 2), mix(metal, INK, 0.35), edge=0.0, slope=-0.4)
    pen.shape(oval(30, 40, size - 3.2, size - 3.2), dial, edge=0.25)
    ink, reach = contrast(dial), size - 4.2
    for hour in range(12):
        angle = math.radians(hour * 30)
        x, y = math.sin(angle), math.cos(angle)
        inner = reach - (3.2 if hour % 3 == 0 else 1.8)
        line(pen, f"{30 + x * inner},{40 - y * inner} {30 + x * reach},{40 - y * reach}", ink, 1.0)
    for x, y in ((-5.0, 0.0), (0.0, 5.5), (5.0, 0.0)) if pen.chance(0.4) else ():
        pen.stroke(oval(30 + x, 40 + y, 2.6, 2.6), mix(dial, ink, 0.5), 0.5)
    for angle, length, width in ((pen.rng.uniform(3.6, 5.6), 0.55, 1.1), (pen.rng.uniform(0.4, 2.0), 0.8, 0.8)):
        tip = f"{30 + math.sin(angle) * reach * length},{40 - math.cos(angle) * reach * length}"
        line(pen, f"30,40 {tip}", ink, width)
    pen.shape(oval(30, 40, 1.1, 1.1), metal, edge=0.0)


def sunglasses(pen: Pen, colour: Rgb) -> None:
    """Sunglasses turned a little to the right, their arms to the back left."""
    lens, round_lens = mix(mix(colour, INK, 0.55), (110, 84, 60), 0.15), pen.chance(0.5)
    thick = pen.rng.uniform(1.2, 2.2)
    pen.shadow(34, 53, 18, 1.2)
    line(pen, "52,37.6 40,33.6~ 29,31.4~ 25.6,32.6~ 24.6,35", mix(colour, INK, 0.25), thick)
    line(pen, "21,40.6 14,38.6~ 8.6,37.4~ 6.6,39~ 6.4,42", colour, thick + 0.4)
    drop = 1.6 if round_lens else 0.0
    near = f"21,40~ 29,38.6~ 38.4,39.6~ 39,44~ 36.4,{50 + drop}~ 30,{52 + drop}~ 23.4,{50 + drop}~ 20.8,45~"
    far = f"42,39.4~ 47,37.8~ 52.6,37.6~ 53.4,41~ 51.6,{46.6 + drop}~ 48,{49.4 + drop}~ 43.4,{47.6 + drop}~ 41.6,43.4~"
    for spec in (near, far):
        pen.shape(path(spec), lens, edge=0.1, slope=-0.5)
        pen.stroke(np.concatenate([path(spec), path(spec)[:2]]), colour, thick)
    line(pen, "38.6,41.4 40.4,40~ 42,41", colour, thick)
    line(pen, "24,42.6 30,41", WHITE, 0.8, share=0.3)


def cap(pen: Pen, colour: Rgb) -> None:
    """A peaked cap from the front."""
    ink, peak = contrast(colour), pen.rng.choice((colour, mix(colour, INK, 0.4)))
    crown = "30,25.6~ 22,27.6~ 16.4,35~ 14.8,47.4 30,46~"
    pen.shape(path(crown, mirror=True), colour, fold=0.12, edge=0.5)
    pen.shape(oval(30, 25.6, 1.4, 0.9), mix(colour, INK, 0.2))
    line(pen, "30,26.4 30,45", INK, 0.4, share=0.25)
    line(pen, "29,26.4 21.4,32~ 19.4,46", INK, 0.4, share=0.3, mirror=True)
    pen.shape(path("30,44.6~ 20,45~ 14,47 11.4,54~ 14,57.4~ 20,55~ 30,53.6~", mirror=True), peak, edge=0.45)
    line(pen, "13,56.6~ 20,54.4~ 30,53~ 40,54.4~ 47,56.6~", mix(peak, ink, 0.4), 0.5)
    line(pen, "14.6,47 20,45~ 30,44.6~ 40,45~ 45.4,47", INK, 0.6, share=0.4)
    kind = pen.rng.choice(("badge", "letters", "bars", "none"))
    if kind == "badge":
        pen.shape(oval(30, 37, 4, 3.4), pen.rng.choice((ink, GOLD, (190, 50, 50))))
    elif kind == "letters":
        line(pen, "23,39 25,34 27,39 29,34 31,39 33,34 35,39 37,34", ink, 1.2)
    for x in (38, 40.5, 43) if kind == "bars" else ():
        line(pen, f"{x},{46 - (x - 38) * 0.2} {x + 0.6},55", ink, 1.2)


def belt(pen: Pen, colour: Rgb) -> None:
    """A coiled leather belt with a metal buckle at the front."""
    tall, inside = pen.rng.uniform(4.6, 7.4), mix(colour, TAN, 0.4)
    pen.fit(1.04, 1.3, -10.0)
    pen.shadow(30, 55 + tall / 2, 23, 3)
    back, front = oval(30, 46, 22.5, 5, 180, 360), oval(30, 46, 22.5, 5.4, 180, 0)
    pen.shape(np.concatenate([back, moved(back[::-1], 0, tall)]), mix(inside, INK, 0.2), edge=0.3)
    for hole in (34, 38, 42):
        pen.shape(oval(hole, 43.4, 0.5, 0.5), INK, edge=0.0)
    pen.shape(np.concatenate([front, moved(front[::-1], 0, tall)]), colour, edge=0.4, slope=0.25)
    if pen.chance(0.5):
        for drop in (1.0, tall - 1.0):
            pen.stroke(moved(front, 0, drop), mix(colour, contrast(colour), 0.5), 0.3, share=0.7)
    x, y = pen.rng.uniform(21, 26), 50.6
    metal = pen.rng.choice((STEEL, STEEL, GOLD))
    corners = f"{x - 4},{y - 0.6} {x + 4},{y + 0.2} {x + 4},{y + tall + 1.4} {x - 4},{y + tall + 0.4} {x - 4},{y - 0.6}"
    frame = path(corners, closed=False)
    pen.stroke(frame, mix(metal, INK, 0.3), 1.7)
    pen.stroke(frame, metal, 1.1)
    line(pen, f"{x - 4},{y + tall / 2} {x + 3.6},{y + tall / 2 + 0.6}", metal, 0.8)
    line(pen, f"{x + 8},{y + 0.2} {x + 8},{y + tall + 0.6}", mix(colour, INK, 0.5), 1.8)


def tie(pen: Pen, colour: Rgb) -> None:
    """A tie rolled at the top, its blade hanging down and its tail to the right."""
    ink, marks = contrast(colour), []
    kind = pen.rng.choice(("plain", "bars", "bars", "dots"))
    if kind == "bars":
        marks = stripes(mix(colour, ink, 0.55), pen.rng.choice((4.0, 6.0)), 1.2, -38)
    elif kind == "dots":
        marks = [Mark(oval(22 + i % 5 * 3.4, 10 + i * 0.9, 0.5, 0.5), mix(colour, ink, 0.6)) for i in range(80)]
    if pen.chance(0.6):
        pen.shape(path("30,6 46,13~ 48.6,17 44,19 30,12"), mix(colour, INK, 0.12), edge=0.4, marks=marks)
    pen.shape(path("26.6,9 33.4,9 34.6,40 36.2,67 30,76.6 23.6,67 25.6,40"), colour, edge=0.5, marks=marks)
    pen.shape(path("25,5.6~ 30,3~ 35,5.6~ 35.4,10~ 31,12.6~ 26,11.4~"), mix(colour, INK, 0.15), edge=0.5)
    pen.stroke(oval(30.2, 7.8, 2.6, 2.2, 0, 330), INK, 0.5, share=0.5)
    line(pen, "27.4,14 26.8,40~ 26,64", WHITE, 1.0, share=0.14)


def socks(pen: Pen, colour: Rgb) -> None:
    """A pair of socks side by side, their toes to the lower right."""
    ink, band = contrast(colour), pen.rng.choice((mix(colour, INK, 0.25), mix(colour, contrast(colour), 0.5)))
    marks = stripes(mix(colour, ink, 0.6), 5, 1.6, 8) if pen.chance(0.35) else []
    rise = pen.rng.choice((0.0, 10.0))
    outline = path(f"15,{7 + rise} 29,{6 + rise} 30,30~ 33,43~ 44,58~ 45.6,66~ 40,71.6~ 33,69~ 20,56~ 15.4,48~ 16,30~")
    for shift, shade in ((np.array([7.5, -2.5]), 0.14), (np.zeros(2), 0.0)):
        pen.shape(outline + shift, mix(colour, INK, shade), fold=0.2, edge=0.45, marks=marks)
        cuff = path(f"15,{7 + rise} 29,{6 + rise} 29.2,{13 + rise} 15.4,{14 + rise}") + shift
        pen.shape(cuff, mix(band, INK, shade), edge=0.25)
    pen.shape(path("44.2,60 45.8,66~ 40,71.8~ 34,69.6 37,64~"), band, edge=0.2)
    pen.shape(path("16,44 21.4,49~ 21,57 17,52~"), band, edge=0.1)


def nail_polish(pen: Pen, colour: Rgb) -> None:
    """A bottle of nail polish with a tall cap."""
    wide, cap_colour = pen.rng.uniform(6.5, 9), pen.rng.choice((INK, (168, 168, 172), INK))
    pen.shadow(30, 63.4, wide, 1.2)
    left, right = 30 - wide, 30 + wide
    pen.shape(box(left, 38, right, 63, 2.6), mix(colour, WHITE, 0.35), edge=0.2)
    pen.shape(box(left + 1.2, 39.4, right - 1.2, 60.6, 2), colour, edge=0.3)
    pen.shape(path(f"25.4,14 34.6,14 {35 + wide / 8},38 {25 - wide / 8},38"), cap_colour, edge=0.5)
    line(pen, "27.4,16 27,36", WHITE, 1.4, share=0.4)
    line(pen, f"{left + 2.6},44 {left + 2.6},58", WHITE, 0.9, share=0.4)
    for y in (48, 51):
        line(pen, f"{27 - y % 2},{y} {33 + y % 2},{y}", contrast(colour), 0.8, share=0.8)


def lipstick(pen: Pen, colour: Rgb) -> None:
    """An open lipstick, its cap standing beside it for some seeds."""
    metal, case = pen.rng.choice((STEEL, GOLD)), pen.rng.choice((INK, (190, 192, 196), GOLD))
    x = 30.0
    if pen.chance(0.5):
        x = 34.5
        pen.shape(box(18, 42, 27, 66, 0.8), case, edge=0.5)
        line(pen, "20.4,43 20.4,65", WHITE, 1.4, share=0.35)
    pen.shadow(x, 66.4, 6, 1)
    pen.shape(path(f"{x - 3.4},24~ {x + 1.6},15.4~ {x + 3.4},19~ {x + 3.4},39 {x - 3.4},39"), colour, edge=0.4)
    pen.shape(path(f"{x - 3},24.6~ {x + 1.4},16.6~ {x + 2.4},20~ {x - 1},26~"), mix(colour, WHITE, 0.25), edge=0.1)
    pen.shape(box(x - 4, 37, x + 4, 46), metal, edge=0.5)
    pen.shape(box(x - 5, 45.6, x + 5, 66, 0.6), case, edge=0.5)
    line(pen, f"{x - 2.4},38 {x - 2.4},65.4", WHITE, 1.2, share=0.35)


Drawer = Callable[[Pen, Rgb], None]

CLOTH = ("Black", "White", "Navy Blue", "Blue", "Red", "Green", "Grey", "Pink", "Yellow", "Purple", "Orange")
LEATHER = ("Black", "Brown", "Red", "Beige", "Blue", "White")
DARK = ("Black", "Grey", "Brown", "Navy Blue", "Beige")


@dataclass(frozen=True)
class Article:
    """What the catalogue says of one kind of article, by the data set's own names, and how it is drawn."""

    article_type: str
    gender: str
    master_category: str
    sub_category: str
    season: str
    usage: str
    noun: str
    colours: tuple[str, ...]
    draw: Drawer


_MEN, _WOMEN = ("Men", "Apparel"), ("Women", "Apparel")
_SHOE, _THING, _HERS = ("Men", "Footwear"), ("Men", "Accessories"), ("Women", "Personal Care")
_ALL = ("Unisex", "Accessories")

ARTICLES: dict[str, Article] = {
    name: Article(name, *who, sub, season, usage, noun, colours, draw)
    for name, who, sub, season, usage, noun, colours, draw in (
        ("Tshirts", _MEN, "Topwear", "Summer", "Casual", "T-shirt", CLOTH, tshirt),
        ("Shirts", _MEN, "Topwear", "Fall", "Casual", "Shirt", CLOTH[:8], shirt),
        ("Sweatshirts", _MEN, "Topwear", "Fall", "Casual", "Sweatshirt", CLOTH[:7], sweatshirt),
        ("Kurtas", _WOMEN, "Topwear", "Summer", "Ethnic", "Kurta", CLOTH[1:], kurta),
        ("Dresses", _WOMEN, "Dress", "Summer", "Casual", "Dress", CLOTH, dress),
        ("Skirts", _WOMEN, "Bottomwear", "Summer", "Casual", "Skirt", CLOTH[:8], skirt),
        ("Jeans", _MEN, "Bottomwear", "Summer", "Casual", "Jeans", ("Blue", "Black", "Navy Blue", "Grey"), jeans),
        ("Trousers", _MEN, "Bottomwear", "Summer", "Casual", "Trousers", DARK, trousers),
        ("Shorts", _MEN, "Bottomwear", "Summer", "Casual", "Shorts", CLOTH[:7], shorts),
        ("Casual Shoes", _SHOE, "Shoes", "Summer", "Casual", "Casual Shoes", (*CLOTH[:7], "Brown"), casual_shoe),
        ("Sports Shoes", _SHOE, "Shoes", "Summer", "Sports", "Sports Shoes", CLOTH[:7], sports_shoe),
        ("Formal Shoes", _SHOE, "Shoes", "Summer", "Formal", "Formal Shoes", ("Black", "Brown"), formal_shoe),
        ("Heels", ("Women", "Footwear"), "Shoes", "Winter", "Casual", "Heels", (*LEATHER, "Pink"), heel),
        ("Flip Flops", _SHOE, "Flip Flops", "Summer", "Casual", "Flip Flops", (*CLOTH[:8], "Brown"), flip_flop),
        ("Handbags", ("Women", "Accessories"), "Bags", "Summer", "Casual", "Handbag", (*LEATHER, "Purple"), handbag),
        ("Backpacks", _ALL, "Bags", "Summer", "Casual", "Backpack", ("Black", *CLOTH[2:10]), backpack),
        ("Wallets", _THING, "Wallets", "Summer", "Casual", "Wallet", (*LEATHER[:5], "Purple"), wallet),
        ("Watches", _THING, "Watches", "Winter", "Casual", "Watch", ("Black", "White", "Blue", "Brown"), watch),
        ("Sunglasses", _THING, "Eyewear", "Winter", "Casual", "Sunglasses", ("Black", "Brown", "Purple"), sunglasses),
        ("Caps", _ALL, "Headwear", "Summer", "Casual", "Cap", CLOTH[:7], cap),
        ("Belts", _THING, "Belts", "Summer", "Casual", "Belt", LEATHER, belt),
        ("Ties", _THING, "Ties", "Summer", "Formal", "Tie", (*CLOTH[:5], "Grey", "Purple"), tie),
        ("Socks", _THING, "Socks", "Summer", "Casual", "Socks", CLOTH[:7], socks),
        ("Nail Polish", _HERS, "Nails", "Spring", "Casual", "Nail Polish", ("Pink", "Red", "Purple"), nail_polish),
        ("Lipstick", _HERS, "Lips", "Spring", "Casual", "Lipstick", ("Pink", "Red", "Brown"), lipstick),
    )
}
"""Every article that can be drawn, by its article type."""


def draw_photo(
    article: str, colour: str, *, seed: int = 0, size: tuple[int, int] = (300, 400), view: int = 0
) -> Image.Image:
    """Return an RGB picture of one product on white, `size` = (width, height) pixels; 3:4 fills best.

    The same arguments give the same pixels. `seed` chooses the design and how it is shown, `view` another photo of
    the same design; a seed keeps its design in every colour and size. ValueError names the known names if the
    article or the colour is not one of them.
    """
    for kind, name, known in (("article", article, ARTICLES), ("colour", colour, COLOURS)):
        if name not in known:
            raise ValueError(f"Unknown {kind} {name!r}; known are {', '.join(known)}.")
    pen = Pen(size, random.Random(f"{article} {seed}"), random.Random(f"{article} {seed} {view}"))
    ARTICLES[article].draw(pen, COLOURS[colour])
    return pen.finish()


EXAMPLES: dict[str, tuple[str, str, int]] = {
    "navy-blue-tshirt": ("Tshirts", "Navy Blue", 16),
    "red-dress": ("Dresses", "Red", 8),
    "white-shirt": ("Shirts", "White", 17),
    "blue-jeans": ("Jeans", "Blue", 3),
    "green-kurta": ("Kurtas", "Green", 4),
    "white-sports-shoe": ("Sports Shoes", "White", 2),
    "brown-formal-shoe": ("Formal Shoes", "Brown", 13),
    "red-heels": ("Heels", "Red", 14),
    "brown-handbag": ("Handbags", "Brown", 6),
    "blue-backpack": ("Backpacks", "Blue", 5),
    "black-watch": ("Watches", "Black", 12),
    "red-cap": ("Caps", "Red", 0),
}
"""The example pictures: file name without its ending, then article, colour and seed."""


def draw_examples(folder: str | Path) -> list[Path]:
    """Write the example pictures (300 x 400 JPEG) into `folder`, made if need be, and return their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (article, colour, seed) in EXAMPLES.items():
        paths.append(folder / f"{name}.jpg")
        paths[-1].write_bytes(_jpeg(draw_photo(article, colour, seed=seed)))
    return paths


@dataclass(frozen=True)
class DrawnCatalogue:
    """Where a drawn catalogue lies and what is in it, counted while it was written."""

    path: Path
    rows: int
    """Lines of styles.csv below its header."""
    pictures: int
    """Files under images/."""
    products: int
    """Sound products: distinct ids with a complete first row and a picture that can be read."""
    shared_names: int
    """Product names that two or three products bear."""
    comma_names: int = 0
    missing_pictures: int = 0
    unreadable_pictures: int = 0
    duplicate_ids: int = 0
    identical_pairs: int = 0
    na_usages: int = 0
    na_colours: int = 0
    blank_seasons: int = 0
    pictures_without_row: int = 0
    short_rows: int = 0


HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"
BRANDS = ("Alder", "Bexley", "Corvane", "Dunmore", "Elmira", "Farrow", "Glenby", "Hartwell", "Isola", "Juniper")
LINES = ("Classic", "Metro", "Breeze", "Studio", "Coast", "Summit", "Ember", "Willow", "Orbit", "Harbor")
SEASONS = ("Summer", "Fall", "Winter", "Spring")
LEAST_WITH_QUIRKS = 40
QUIRKS = {
    "comma_names": 3,
    "missing_pictures": 2,
    "unreadable_pictures": 1,
    "duplicate_ids": 1,
    "identical_pairs": 2,
    "na_usages": 4,
    "na_colours": 2,
    "blank_seasons": 4,
    "pictures_without_row": 1,
    "short_rows": 1,
}


def _jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _rows(products: int, rng: random.Random, size: tuple[int, int]) -> tuple[list[list[str]], dict[str, bytes]]:
    """Return the ten fields of each product, and the pictures; every ninth design is two or three products."""
    rows: list[list[str]] = []
    files: dict[str, bytes] = {}
    names: set[str] = set()
    ids = [str(number) for number in rng.sample(range(1000, 60000), products)]
    kinds: list[Article] = []
    while len(rows) < products:
        kinds = kinds or rng.sample(list(ARTICLES.values()), len(ARTICLES))
        kind = kinds.pop()
        colour, design = rng.choice(kind.colours), rng.getrandbits(32)
        name = f"{rng.choice(BRANDS)} {kind.gender} {colour} {rng.choice(LINES)} {kind.noun}"
        if name in names:
            continue
        names.add(name)
        for view in range(rng.choice((2, 3)) if len(names) % 9 == 0 else 1):
            if len(rows) == products:
                break
            season = kind.season if rng.random() < 0.85 else rng.choice(SEASONS)
            usage = kind.usage if rng.random() < 0.95 else "Casual"
            labels = [kind.gender, kind.master_category, kind.sub_category, kind.article_type, colour, season]
            rows.append([ids[len(rows)], *labels, str(rng.randint(2010, 2017)), usage, name])
            photo = draw_photo(kind.article_type, colour, seed=design, size=size, view=view)
            files[f"images/{rows[-1][0]}.jpg"] = _jpeg(photo)
    rng.shuffle(rows)
    return rows, files


def _add_quirks(rows: list[list[str]], files: dict[str, bytes], rng: random.Random, size: tuple[int, int]) -> None:
    """Spoil rows and pictures in place, as often as `QUIRKS` says; every product gets one quirk at most."""
    borne = Counter(row[9] for row in rows)
    singles = [row for row in rows if borne[row[9]] == 1]
    rng.shuffle(singles)
    for _ in range(QUIRKS["comma_names"]):
        row = singles.pop()
        row[9] = row[9].replace(f" {row[5]} ", f" {row[5]}, ")
    for field, text, quirk in ((8, "NA", "na_usages"), (5, "NA", "na_colours"), (6, "", "blank_seasons")):
        for _ in range(QUIRKS[quirk]):
            singles.pop()[field] = text
    for _ in range(QUIRKS["missing_pictures"]):
        del files[f"images/{singles.pop()[0]}.jpg"]
    for _ in range(QUIRKS["unreadable_pictures"]):
        files[f"images/{singles.pop()[0]}.jpg"] = b"this is not a picture"
    for _ in range(QUIRKS["identical_pairs"]):
        first, second = singles.pop(), singles.pop()
        second[1:] = [*first[1:9], f"{first[9]} II"]
        files[f"images/{second[0]}.jpg"] = files[f"images/{first[0]}.jpg"]
    again = singles.pop()
    rows.insert(rng.randint(rows.index(again) + 1, len(rows)), [*again[:9], f"{again[9]} Reissue"])
    rows.insert(rng.randrange(len(rows)), ["60000", *singles.pop()[1:5]])
    files["images/60001.jpg"] = _jpeg(draw_photo("Tshirts", "Olive", seed=rng.getrandbits(32), size=size))


def _write(out: Path, files: dict[str, bytes]) -> None:
    if out.suffix.lower() == ".zip":
        out.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name), content)
        return
    (out / "images").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (out / name).write_bytes(content)


def draw_catalogue(
    out: str | Path, *, products: int = 240, seed: int = 7, size: tuple[int, int] = (60, 80), quirks: bool = True
) -> DrawnCatalogue:
    """Write a drawn catalogue: styles.csv and images/<id>.jpg in the folder `out`, or in one file ending in .zip.

    `products` is the number of distinct ids with a complete row. With `quirks` some rows and pictures are spoilt as
    `QUIRKS` counts them: 3 products lose their picture, and 2 lines and 1 picture are added that belong to no
    product. The same arguments give the same files. ValueError if `products` is too small, FileExistsError if `out`
    is there already and is not an empty folder.
    """
    out, least = Path(out), LEAST_WITH_QUIRKS if quirks else 1
    if products < least:
        raise ValueError(f"A catalogue {'with' if quirks else 'without'} quirks needs at least {least} products.")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(f"{out} is there already; name a new or empty place.")
    rng = random.Random(seed)
    rows, files = _rows(products, rng, size)
    counts = QUIRKS if quirks else {}
    if quirks:
        _add_quirks(rows, files, rng, size)
    names = Counter(row[9] for row in rows if len(row) > 9)
    table = "".join(f"{line}\n" for line in (HEADER, *(",".join(row) for row in rows)))
    _write(out, {"styles.csv": table.encode(), **files})
    return DrawnCatalogue(
        path=out,
        rows=len(rows),
        pictures=len(files),
        products=products - counts.get("missing_pictures", 0) - counts.get("unreadable_pictures", 0),
        shared_names=sum(count > 1 for count in names.values()),
        **counts,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 1 after a one-sentence error on standard error."""
    parser = argparse.ArgumentParser(description="Draw product photos, or a small catalogue of them.")
    commands = parser.add_subparsers(dest="command", required=True)
    photos = commands.add_parser("photos", help="write the example pictures into a folder")
    photos.add_argument("folder", metavar="DIR")
    catalogue = commands.add_parser("catalogue", help="write styles.csv and images/ into a folder or a .zip file")
    catalogue.add_argument("out", metavar="OUT")
    catalogue.add_argument("--products", type=int, default=240, metavar="N", help="how many products (240)")
    catalogue.add_argument("--seed", type=int, default=7, metavar="S", help="which catalogue to draw (7)")
    catalogue.add_argument("--no-quirks", action="store_true", help="leave every row and picture sound")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "photos":
            print(f"Wrote {len(draw_examples(chosen.folder))} pictures to {chosen.folder}.")
            return 0
        drawn = draw_catalogue(chosen.out, products=chosen.products, seed=chosen.seed, quirks=not chosen.no_quirks)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Wrote {drawn.rows} rows and {drawn.pictures} pictures to {drawn.path}, {drawn.products} products sound.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
