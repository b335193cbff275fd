"""How much needs nobody, at a precision that the visitor chooses."""

from __future__ import annotations

from typing import Final

import streamlit as st

from vestiary.charts import plot_risk_coverage
from vestiary.metrics import Evaluation, Outcome, format_percent, trace_risk_coverage
from vestiary.pages.clickable import show_chart
from vestiary.pages.desk import current_desk
from vestiary.pages.look import keep_plain
from vestiary.pages.model.evaluation import SPLIT, ease_at, share_untouched
from vestiary.pages.model.outcomes import choose_attribute
from vestiary.pages.shelf import Shelf

_RISK: Final = "The share of wrong answers (up) when the surest so many are taken (across)."


@st.fragment
def show_ease(shelf: Shelf, evaluation: Evaluation) -> None:
    """How many answers can be taken without a look, for each attribute, and the curve of one."""
    bundle = current_desk().bundle
    target = bundle.calibration.target_precision
    percent = st.slider(
        "Right among the answers that nobody looks at", 80.0, 99.5, _to_step(target), 0.5, format="%g %%"
    )
    precision = percent / 100
    name = choose_attribute(evaluation, "ease-attribute")
    own = ease_at(evaluation.outcomes[name], precision)
    st.markdown(f"#### {keep_plain(describe_ease(bundle.taxonomy.titles[name], precision, own.coverage))}")
    left, right = st.columns(2, gap="medium")
    with left:
        _draw_curve(evaluation.outcomes[name], precision, own.coverage)
    with right:
        _list_attributes(evaluation, precision)
    st.caption(
        f"Worked out on the {SPLIT} split, for photos like those; unfamiliar photos always wait for a person. The "
        f"bundle itself aims at {format_percent(target)}; vestiary calibrate makes one with another aim."
    )


def describe_ease(title: str, precision: float, coverage: float) -> str:
    """A sentence such as: At 97 % right, 71 % of the answers for Season need no human."""
    if not coverage:
        return f"At {100 * precision:g} % right, every answer for {title} needs a human."
    return f"At {100 * precision:g} % right, {100 * coverage:.0f} % of the answers for {title} need no human."


def _to_step(target: float) -> float:
    """The precision in per cent as the slider can have it."""
    return min(max(round(200 * target) / 2, 80.0), 99.5)


def _draw_curve(outcome: Outcome, precision: float, coverage: float) -> None:
    known = outcome.select(outcome.known)
    curve = trace_risk_coverage(known.confidence, known.right)
    points = list(zip(curve.coverage.tolist(), curve.risk.tolist(), strict=True))
    chosen = (coverage, 1 - precision) if coverage else None
    show_chart(plot_risk_coverage(points, target=1 - precision, chosen=chosen, description=_RISK))
    st.caption(_RISK)


def _list_attributes(evaluation: Evaluation, precision: float) -> None:
    bundle = current_desk().bundle
    rows = [
        {
            "attribute": bundle.taxonomy.titles[name],
            "needs no human": ease.coverage,
            "from this sure on": ease.threshold,
        }
        for name, outcome in evaluation.outcomes.items()
        if outcome.known.any()
        for ease in [ease_at(outcome, precision)]
    ]
    percent = {
        words: st.column_config.NumberColumn(words, format="percent")
        for words in ("needs no human", "from this sure on")
    }
    st.dataframe(rows, column_config=percent, hide_index=True, width="stretch")
    untouched = share_untouched(evaluation.outcomes, precision)
    st.write(f"{format_percent(untouched)} of the photos need nobody for any of these.")
