"""What the bundle takes for what: a matrix of labels and answers whose cells show their photos."""

from __future__ import annotations

from typing import Final

import numpy as np
import streamlit as st

from vestiary.charts import Band, plot_matrix
from vestiary.metrics import Confusion, Evaluation
from vestiary.pages.clickable import Point, ask_for, ask_side, show_clickable, was_asked
from vestiary.pages.desk import current_desk
from vestiary.pages.gallery import name_cell, open_gallery
from vestiary.pages.look import keep_plain
from vestiary.pages.model.evaluation import find_rows
from vestiary.pages.model.outcomes import choose_attribute, list_rows
from vestiary.pages.shelf import Shelf, match_text
from vestiary.reports.model.hierarchy import Matrix, build_matrix

LARGE: Final = 40
"""From so many values on a part of the matrix can be chosen."""
WHOLE: Final = "everything"


@st.fragment
def show_confusions(shelf: Shelf, evaluation: Evaluation) -> None:
    """The matrix of one attribute, the pairs most often confused, and the photos of what was chosen."""
    name = choose_attribute(evaluation, "confusions-attribute")
    outcome = evaluation.outcomes[name]
    matrix = build_matrix(name, current_desk().bundle.taxonomy, shelf.catalogue, outcome)
    chart, label_key, answer_key = (f"confusions-{part}-{name}" for part in ("chart", "label", "answer"))
    matrix = _choose_part(matrix, name)
    st.caption(
        "Down: the label. Across: the answer. Blue is right, orange is wrong, the stronger the larger the share of the "
        "label's products. Point at a cell for its numbers, click it for its photos."
    )

    def choose(point: Point) -> dict[str, object]:
        return {
            label_key: match_text(point.get("label"), matrix.values),
            answer_key: match_text(point.get("answer"), matrix.values),
        } | ask_for(chart, point)

    words = f"Confusion matrix of {current_desk().bundle.taxonomy.titles[name]}, {len(matrix.values)} values"
    cells = plot_matrix(matrix.values, matrix.counts.tolist(), bands=matrix.bands, description=words)
    show_clickable(cells, "label", "answer", name=chart, choose=choose, width="content")
    pairs = evaluation.attributes[name].confusions
    if pairs:
        _list_pairs(pairs, f"confusions-pairs-{name}", chart, label_key, answer_key)
    one, other = st.columns(2)
    with one:
        label = ask_side("Photos with the label", sorted(outcome.values), label_key, chart)
    with other:
        answer = ask_side("and the answer", sorted(outcome.values), answer_key, chart)
    if was_asked(chart) and (label or answer):
        rows = find_rows(outcome, label=label, answer=answer)
        products, captions = list_rows(evaluation, outcome, rows)
        key = f"confusions-page-{name}-{label}-{answer}"
        open_gallery(name_cell(label, answer), shelf, products, key=key, captions=captions)


def cut_matrix(matrix: Matrix, band: Band) -> Matrix:
    """The part of a matrix where labels and answers both belong to one band."""
    part = slice(band.start, band.start + band.n)
    return Matrix(
        values=matrix.values[part],
        counts=np.ascontiguousarray(matrix.counts[part, part]),
        bands=(),
        lines=(),
        levels=matrix.levels,
        n_folded=matrix.n_folded,
    )


def _choose_part(matrix: Matrix, name: str) -> Matrix:
    """The whole matrix, or where it is large the band that the visitor chooses."""
    bands = {band.name: band for band in matrix.bands if band.n > 1}
    if len(matrix.values) < LARGE or len(bands) < 2:
        return matrix
    sizes = {WHOLE: len(matrix.values)} | {own: band.n for own, band in bands.items()}
    chosen = st.selectbox(
        keep_plain(f"Part, by {' and '.join(matrix.levels)}"),
        list(sizes),
        format_func=lambda own: f"{own} ({sizes[own]} values)",
        key=f"confusions-part-{name}",
    )
    return matrix if chosen == WHOLE else cut_matrix(matrix, bands[chosen])


def _list_pairs(pairs: tuple[Confusion, ...], key: str, chart: str, label_key: str, answer_key: str) -> None:
    """The pairs most often confused; choosing one chooses its photos."""

    def choose() -> None:
        chosen = st.session_state[key].selection.rows
        pair = pairs[chosen[0]] if chosen else None
        st.session_state[label_key] = pair.true if pair else None
        st.session_state[answer_key] = pair.predicted if pair else None
        st.session_state.update(ask_for(chart, pair))

    with st.expander(f"The {len(pairs)} pairs most often confused"):
        rows = [{"label": own.true, "answer": own.predicted, "products": own.n} for own in pairs]
        st.dataframe(
            rows, hide_index=True, width="stretch", key=key, on_select=choose, selection_mode="single-row", height=300
        )
