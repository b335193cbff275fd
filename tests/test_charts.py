"""Charts as people see them: every value and count written, readable colours, nothing from outside."""

from __future__ import annotations

import importlib
import re
from itertools import pairwise
from types import ModuleType
from xml.etree import ElementTree

import pytest

from vestiary.charts import (
    BAR,
    RARE_BAR,
    WIDTH,
    contrast,
    ink_on,
    plot_columns,
    plot_counts,
    plot_crosstab,
    render_svg,
    shade,
)
from vestiary.errors import MissingExtraError

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = [("Tshirts", 6394), ("Watches", 2289), ("Hat", 3), ("Ipad", 1), ("Robe", 0)]


@pytest.fixture(autouse=True)
def _drawing() -> None:
    for module in ("altair", "vl_convert"):
        pytest.importorskip(module, reason="the extra 'ui' is not installed")


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def bars(svg: str) -> list[tuple[float, str]]:
    """Length and fill of each bar, in drawing order."""
    found = [path for path in ElementTree.fromstring(svg).iter(f"{SVG}path") if path.get("fill") in (BAR, RARE_BAR)]
    return [(float(re.findall(r"h(-?[\d.]+)", path.get("d", ""))[0]), path.get("fill", "")) for path in found]


def test_bars_tell_every_value_and_count_in_the_order_given() -> None:
    written = texts(render_svg(plot_counts(COUNTS)))
    assert [text for text in written if text in dict(COUNTS)] == [value for value, _ in COUNTS]
    assert [text for text in written if text in {"6,394", "2,289", "3", "0"}] == ["6,394", "2,289", "3", "0"]
    assert written.count("1") == 2  # the count of Ipad, and the first grid line


def test_bars_are_on_a_log_scale_and_a_single_product_still_has_one() -> None:
    lengths = [length for length, _ in bars(render_svg(plot_counts([("a", 1000), ("b", 100), ("c", 10), ("d", 1)])))]
    steps = [first - second for first, second in pairwise(lengths)]
    assert steps == pytest.approx([steps[0]] * 3, rel=0.01)
    assert lengths[-1] > 3


def test_rare_values_have_another_colour() -> None:
    fills = [fill for _, fill in bars(render_svg(plot_counts(COUNTS, rare_below=10)))]
    assert fills == [BAR, BAR, RARE_BAR, RARE_BAR, RARE_BAR]


def test_panels_that_share_a_scale_line_up() -> None:
    def first_bar(part: list[tuple[str, int]]) -> tuple[str | None, float]:
        svg = render_svg(plot_counts(part, most=6394, longest=12))
        frame = ElementTree.fromstring(svg).find(f"{SVG}g")
        assert frame is not None
        return frame.get("transform"), bars(svg)[0][0]

    assert first_bar([("short", 10), ("x", 3)]) == first_bar([("a longer one", 10)])


@pytest.mark.parametrize("longest", ["x", "a name of forty letters, which is too long"])
@pytest.mark.parametrize("most", [1, 12, 9_999_999])
def test_a_chart_is_as_wide_as_a_phone_and_counts_stay_inside(longest: str, most: int) -> None:
    svg = render_svg(plot_counts([(longest, most), ("other", 1)]))
    assert abs(int(ElementTree.fromstring(svg).get("width", "0")) - WIDTH) <= 1
    left = float(re.findall(r"translate\(([\d.]+)", svg)[0])
    assert left + bars(svg)[0][0] + 4 + 6.2 * len(f"{most:,}") <= WIDTH + 1


def test_a_heat_map_writes_every_count_and_leaves_pairs_without_products_blank() -> None:
    svg = render_svg(plot_crosstab(["Shirts", "Heels"], ["Men", "Women", "Boys"], [[2568, 257, 60], [0, 1187, 0]]))
    written = texts(svg)
    names = ["Men", "Women", "Boys", "Shirts", "Heels"]
    assert [text for text in written if text in names] == names
    assert [text for text in written if text and text not in names] == ["2,568", "257", "60", "1,187"]
    assert abs(int(ElementTree.fromstring(svg).get("width", "0")) - WIDTH) <= 1


def test_many_columns_make_a_heat_map_wider_with_names_upright() -> None:
    columns = [f"long column {number}" for number in range(9)]
    svg = render_svg(plot_crosstab(["a"], columns, [list(range(9))]))
    assert int(ElementTree.fromstring(svg).get("width", "0")) > WIDTH
    assert svg.count("rotate(") == 9


@pytest.mark.parametrize("most", [1, 2, 37, 30_971])
def test_counts_can_be_read_on_their_cells_and_more_is_never_paler(most: int) -> None:
    fills = [shade(n, most) for n in range(most + 1)]
    assert all(contrast(ink_on(n, most), fill) >= 4.5 for n, fill in enumerate(fills))
    steps = [contrast(fill, "#ffffff") for fill in fills]
    assert all(later >= earlier - 0.02 for earlier, later in pairwise(steps[1:]))


def test_bars_stand_out_from_the_page() -> None:
    assert contrast(BAR, "#ffffff") > 4.5
    assert contrast(RARE_BAR, "#ffffff") > 4.5
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_what_people_typed_stays_text_and_nothing_comes_from_outside() -> None:
    svg = render_svg(plot_counts([('<script>alert("1")</script>', 2), ('& id="x" url(#x)', 1)], description="<b>"))
    assert "<script" not in svg
    assert "<b>" not in svg
    assert 'x" url(#x)' in "".join(texts(svg))
    assert "http" not in svg.replace("http://www.w3.org/", "")
    assert "href" not in svg


@pytest.mark.parametrize("odd", ["a\x00b", "a\x0bb", "a\ud800b", "a\ufffeb", "", "a\nb", "👗", "قميص", "x" * 5000])
def test_odd_characters_in_a_label_do_not_stop_the_drawing(odd: str) -> None:
    assert texts(render_svg(plot_counts([(odd, 7), ("b", 2)], description=odd)))
    assert texts(render_svg(plot_crosstab([odd], [odd, "b"], [[7, 2]])))


def test_the_same_counts_give_the_same_drawing_with_ids_of_its_own() -> None:
    first, again = (render_svg(plot_counts(COUNTS)) for _ in range(2))
    assert first == again
    ids = set(re.findall(r'<[^<>]*\sid="([^"]*)"', first + render_svg(plot_counts(COUNTS[:2]))))
    assert all(name.startswith("c") and "-" in name for name in ids)


def test_without_the_extra_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, package: str | None = None) -> ModuleType:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"needs the package 'altair'.*pip install 'vestiary\[ui\]'"):
        plot_counts(COUNTS)


def test_columns_stand_on_each_other_and_are_as_high_as_their_counts() -> None:
    parts = {"accepted": [40, 0], "failed": [10, 20]}
    svg = render_svg(plot_columns(["15 Nov", "16 Nov"], parts, (BAR, RARE_BAR)))
    written = texts(svg)
    assert [text for text in written if text in ("15 Nov", "16 Nov", *parts)] == ["15 Nov", "16 Nov", *parts]
    assert abs(int(ElementTree.fromstring(svg).get("width", "0")) - WIDTH) <= 1
    drawn = [
        (path.get("fill"), *map(float, re.findall(r"M[\d.]+,([\d.]+)h[\d.]+v([\d.]+)", path.get("d", ""))[0]))
        for path in ElementTree.fromstring(svg).iter(f"{SVG}path")
        if path.get("fill") in (BAR, RARE_BAR) and re.match(r"M[\d.]+,[\d.]+h[\d.]+v[\d.]", path.get("d", ""))
    ]
    high = {(fill, round(height / drawn[0][2] * 40)) for fill, _, height in drawn if height}
    assert high == {(BAR, 40), (RARE_BAR, 10), (RARE_BAR, 20)}
    (blue,) = [(top, height) for fill, top, height in drawn if fill == BAR and height]
    (low, upper) = sorted((top, height) for fill, top, height in drawn if fill == RARE_BAR)[::-1]
    assert upper[0] + upper[1] == pytest.approx(blue[0]), "the failed stand on the accepted"
    assert low[0] > upper[0]
