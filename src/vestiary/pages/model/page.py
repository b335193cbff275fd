"""The page "Model": how good the bundle is, where it fails, what needs nobody, and whether another one is better."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import streamlit as st

from vestiary.bundle import Bundle
from vestiary.errors import VestiaryError
from vestiary.metrics import Evaluation, format_percent
from vestiary.pages.desk import current_desk
from vestiary.pages.look import nothing_yet, refuse, show_title
from vestiary.pages.model.comparison import show_comparison
from vestiary.pages.model.confusions import show_confusions
from vestiary.pages.model.coverage import show_ease
from vestiary.pages.model.evaluation import SPLIT, ask_evaluation, find_wrong
from vestiary.pages.model.outcomes import choose_attribute, show_rows
from vestiary.pages.shelf import Shelf, find_shelf

_NEEDS_CATALOGUE: Final = (
    "This is worked out on a catalogue, and none was named. Make one with: vestiary ingest SOURCE --out FOLDER, "
    "then start the service with VESTIARY_CATALOGUE=FOLDER."
)


def show() -> None:
    """The page."""
    bundle = current_desk().bundle
    made = f"The bundle {bundle.name} {bundle.version}, made on {bundle.created_at[:10]}. Licence: {bundle.licence}."
    show_title("Model", made)
    views: dict[str, Callable[[Shelf, Evaluation], None]] = {
        "Figures": _show_figures,
        "Confusions": show_confusions,
        "Without a look": show_ease,
        "Compare": show_comparison,
    }
    chosen = st.segmented_control("Show", [*views, "Card"], default="Figures", required=True, key="model-view")
    if chosen == "Card":
        st.markdown(prepare_card(bundle.card))
        return
    try:
        shelf = find_shelf()
        evaluation = None if shelf is None else ask_evaluation(shelf, bundle)
    except VestiaryError as error:
        refuse(str(error))
        return
    if shelf is None:
        _show_own_figures(bundle) if chosen == "Figures" else nothing_yet(_NEEDS_CATALOGUE)
    elif evaluation is not None:
        views[chosen](shelf, evaluation)


def prepare_card(card: str) -> str:
    """The card one level lower, as the page has a title of its own, and without pictures, which would be fetched."""
    lower = re.sub(r"^(#{1,5}) ", r"#\1 ", card, flags=re.MULTILINE)
    return lower.replace("![", "[")


def _show_own_figures(bundle: Bundle) -> None:
    """What the bundle itself says of its figures, without a catalogue at hand."""
    if not bundle.scores:
        nothing_yet("This bundle holds no figures. " + _NEEDS_CATALOGUE)
        return
    for split, scores in bundle.scores.items():
        st.subheader(f"On the {split} split, as the bundle has them")
        _show_scores([(name, bundle.taxonomy.titles[name], own) for name, own in scores.items()])
    st.caption("With a catalogue there are figures of each value, and the photos behind them.")


def _show_scores(scores: list[tuple[str, str, dict[str, Any]]]) -> None:
    rows = [
        {"attribute": title} | {words: own.get(name) for name, (words, _) in _FIGURES.items()}
        for _, title, own in scores
    ]
    columns = {
        words: st.column_config.NumberColumn(words, help=told, format="localized" if name == "n" else "percent")
        for name, (words, told) in _FIGURES.items()
    }
    st.dataframe(rows, column_config=columns, hide_index=True, width="stretch", placeholder="–")
    with st.expander("What the columns mean"):
        st.markdown("\n".join(f"- **{words}**: {told}" for words, told in _FIGURES.values()))


_FIGURES: Final = {
    "n": ("products", "Products that have a label to compare with."),
    "accuracy": ("right", "The share of answers that are the label."),
    "top5": ("among the best five", "The share whose label is one of the five best answers."),
    "macro_f1": ("macro F1", "The mean over values, rare ones counting as much as common ones; 100 % is best."),
    "ece": ("calibration error", "How far confidence and truth lie apart on average; 0 % is best."),
    "coverage": ("accepted", "The share of answers that are sure enough to be taken without a look."),
    "accepted_accuracy": ("right among accepted", "The share of those that are the label."),
}


@st.fragment
def _show_figures(shelf: Shelf, evaluation: Evaluation) -> None:
    """The figures of each attribute, then of each value of one, with its photos."""
    bundle = current_desk().bundle
    st.caption(
        f"{evaluation.n:,} products of the {SPLIT} split; all labels of a product are right in "
        f"{format_percent(evaluation.exact_match)}. The untouched test split is for the report and the card."
    )
    _show_scores([(name, bundle.taxonomy.titles[name], own.to_brief()) for name, own in evaluation.attributes.items()])
    name = choose_attribute(evaluation, "figures-attribute")
    outcome = evaluation.outcomes[name]
    values = [own for own in evaluation.attributes[name].values if own.n or own.answered]
    values = sorted(values, key=lambda own: -own.n)
    rows = [
        {
            "value": own.value,
            "products": own.n,
            "found": own.recall,
            "right when said": own.precision,
            "F1": own.f1,
            "said": own.answered,
            "mean confidence": own.confidence,
        }
        for own in values
    ]
    field, table = f"figures-of-{name}", f"figures-table-{name}"

    def choose() -> None:
        chosen = st.session_state[table].selection.rows
        st.session_state[field] = values[chosen[0]].value if chosen else None

    st.caption(
        "Click a column to sort, and the box before a row for the photos. Found: of the products with the label, those "
        "answered so. F1: found and right when said in one figure."
    )
    percents = ("found", "right when said", "F1", "mean confidence")
    st.dataframe(
        rows,
        column_config={words: st.column_config.NumberColumn(words, format="percent") for words in percents},
        hide_index=True,
        width="stretch",
        height=min(420, 38 + 35 * len(rows)),
        key=table,
        on_select=choose,
        selection_mode="single-row",
    )
    value = st.selectbox(
        "Photos of",
        [own.value for own in values if own.n],
        index=None,
        placeholder="Choose a row above, or here",
        key=field,
    )
    if value is None:
        return
    st.markdown("Answered otherwise than their label, the surest first:")
    show_rows(shelf, evaluation, outcome, find_wrong(outcome, value), key=f"figures-page-{name}-{value}")
