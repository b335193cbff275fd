"""The page "Monitor": how much was answered, how fast and how well, and whether all is as it should be; live."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import partial
from typing import Final

import streamlit as st

from vestiary.charts import SCREEN_BAR, SCREEN_LINE, SCREEN_RARE, Line, plot_columns, plot_lines
from vestiary.errors import VestiaryError
from vestiary.health import State
from vestiary.pages.clickable import show_chart
from vestiary.pages.desk import Desk, current_desk
from vestiary.pages.look import keep_plain, nothing_yet, refuse, show_title
from vestiary.pages.monitor.watch import TICK_S, Sight, Watch
from vestiary.reports.operations import OperationsReport, Period, choose_period
from vestiary.reports.operations.page import name_days
from vestiary.reports.operations.tally import BINS
from vestiary.reports.page import format_milliseconds, format_percent

WATCH: Final = Watch()

_LENGTHS: Final = {"Today": 1, "7 days": 7, "30 days": 30, "90 days": 90}
_OTHER: Final = "Other days"
_MARKS: Final = {
    State.OK: ":green[:material/check_circle: ok]",
    State.FAILED: ":red[:material/error: look at this]",
    State.NOT_CHECKED: ":gray[:material/remove: not checked]",
}


def show() -> None:
    """The page."""
    show_title("Monitor", "How much was answered, how fast and how well. It follows by itself.")
    desk = current_desk()
    if desk.ledger is None:
        nothing_yet("The service was started without a ledger, so nothing is written down; start it with one.")
        return
    try:
        find = _choose_days()
    except VestiaryError as error:
        refuse(str(error))
        return
    if find is not None:
        _show_live(desk, find)


def _choose_days() -> Callable[[], Period] | None:
    """What gives the calendar days that the visitor chooses; None while only the first of them is chosen.

    A page may be open for days, and "today" is another one after midnight.
    """
    chosen = st.segmented_control("Days", [*_LENGTHS, _OTHER], default="7 days", required=True, key="monitor-days")
    if chosen in _LENGTHS:
        return partial(choose_period, _LENGTHS[chosen])
    today = choose_period(1).days[-1]
    given = st.date_input("From and to", (today, today), max_value=today, key="monitor-dates")
    period = choose_dates(given)
    return None if period is None else lambda: period


def choose_dates(given: date | tuple[date, ...]) -> Period | None:
    """The days from the first to the last given one; None while only one end of them is given."""
    days = given if isinstance(given, tuple) else (given, given)
    if len(days) != 2:
        return None
    return choose_period((days[1] - days[0]).days + 1, last=days[1])


@st.fragment(run_every=TICK_S)
def _show_live(desk: Desk, find: Callable[[], Period]) -> None:
    assert desk.ledger is not None
    period = find()
    try:
        sight = WATCH.latest(desk.ledger, desk.bundle, period)
    except VestiaryError as error:
        refuse(str(error))
        return
    if sight is None:
        st.caption("Reading the ledger.")
        return
    report = sight.report
    st.caption(f"{period.describe()}, as of {period.to_local(report.made_at):%H:%M:%S} {period.zone_name}.")
    if report.is_empty:
        nothing_yet("Nothing was answered on these days. What is tagged from now on shows up here by itself.")
    else:
        _show_report(report)
    _show_health(sight)
    _show_drift(report)
    if sight.failures:
        _show_failures(sight)


def _show_report(report: OperationsReport) -> None:
    for sentence in list_concerns(report):
        st.warning(keep_plain(sentence), icon=":material/warning:")
    for metrics in (_count(report), _measure(report)):
        with st.container(horizontal=True):
            for title, value, told in metrics:
                st.metric(title, value, help=told, width=_METRIC)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Photos by day")
        _draw_days(report)
    with right:
        st.subheader("Time to an answer")
        _draw_latency(report)
    with left:
        st.subheader("How sure the answers were")
        _draw_confidence(report)
    with right:
        st.subheader("By attribute")
        _list_attributes(report)


def list_concerns(report: OperationsReport) -> list[str]:
    """What somebody should look at, one sentence each; of drift only that there is some, as its section says what."""
    drift = report.drift.report
    told = [sentence for sentence in report.concerns() if drift is None or sentence not in drift.alarms]
    return [*told, f"{report.drift.sentence} See Drift below."] if drift is not None and drift.alarm else told


Metric = tuple[str, str, str]
_METRIC: Final = 160
"""Pixels that a figure takes, so that two stand side by side on a phone."""
_WITHOUT_WAY: Final = "Of photos that came to the service; without the way to the visitor."


def _count(report: OperationsReport) -> tuple[Metric, ...]:
    failed = "–" if report.success_rate is None else format_percent(1 - report.success_rate)
    return (
        ("Photos", f"{report.n_total:,}", "Those that came in, answered or not."),
        ("Could not be answered", f"{report.n_failed:,}", f"{failed} of the photos."),
        (
            "For review",
            _share(report.n_review, report.n_answered),
            f"{report.n_review:,} photos that a person should see.",
        ),
        ("Unfamiliar", _share(report.n_unfamiliar, report.n_judged), "Unlike the photos that the model learnt from."),
    )


def _measure(report: OperationsReport) -> tuple[Metric, ...]:
    own, changed = report.latency, sum(change.n for change in report.corrections)
    return (
        (
            "Half answered within",
            "–" if own is None else format_milliseconds(own.p50),
            _WITHOUT_WAY,
        ),
        ("95 % within", "–" if own is None else format_milliseconds(own.p95), _WITHOUT_WAY),
        ("Looked at by people", f"{report.n_verdicts:,}", f"Tags, by {report.reviewed.n_reviewers:,} reviewers."),
        ("Corrected", _share(changed, report.n_verdicts), f"{changed:,} tags that people changed."),
    )


def _share(part: int, whole: int) -> str:
    return format_percent(part / whole) if whole else "–"


def _draw_days(report: OperationsReport) -> None:
    parts = {
        "accepted": [day.accepted for day in report.days],
        "for review": [day.review for day in report.days],
        "failed": [day.failed for day in report.days],
    }
    words = "Photos by day: accepted, for review and failed"
    show_chart(plot_columns(name_days(report.period), parts, (SCREEN_BAR, SCREEN_LINE, SCREEN_RARE), description=words))


def _draw_latency(report: OperationsReport) -> None:
    timed = [(number, day.latency) for number, day in enumerate(report.days, start=1) if day.latency is not None]
    if len(timed) < 2:
        st.caption("A line takes two days with answers whose time is known; choose more days.")
        return
    lines = [
        Line("half", tuple((number, own.p50) for number, own in timed)),
        Line("95 %", tuple((number, own.p95) for number, own in timed)),
    ]
    show_chart(plot_lines(lines, across="day", up="ms", description="Milliseconds to an answer by day"))


def _draw_confidence(report: OperationsReport) -> None:
    names = [str(100 * place // BINS) for place in range(BINS)]
    words = "Photos by the least confidence among their tags"
    across = "least sure tag, %"
    show_chart(plot_columns(names, {"photos": report.histogram}, (SCREEN_BAR,), across=across, description=words))


def _list_attributes(report: OperationsReport) -> None:
    rows = [
        {
            "attribute": own.title,
            "commonest": own.counts[0][0],
            "accepted": own.n_accepted / own.n,
            "mean confidence": own.confidence,
        }
        for own in report.attributes
    ]
    percent = {name: st.column_config.NumberColumn(name, format="percent") for name in ("accepted", "mean confidence")}
    st.dataframe(rows, column_config=percent, hide_index=True, width="stretch")


def _show_health(sight: Sight) -> None:
    st.subheader("Health")
    for check in sight.checks:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.markdown(f"{_MARKS[check.state]} **{check.name}**", width="content")
            st.caption(keep_plain(check.line), width="content")


def _show_drift(report: OperationsReport) -> None:
    st.subheader("Drift")
    st.write(keep_plain(report.drift.sentence))
    own = report.drift.report
    if own is None or not own.is_judged:
        return
    for sentence in (*own.alarms, *own.remarks()):
        st.caption(keep_plain(sentence))
    with st.expander("Every figure"):
        rows = [
            {"figure": one.title, "of": one.attribute, "distance": one.distance, "limit": one.limit, "over": one.alarm}
            for one in own.figures
        ]
        numbers = {name: st.column_config.NumberColumn(name, format="%.3f") for name in ("distance", "limit")}
        st.dataframe(rows, column_config=numbers, hide_index=True, width="stretch")


def _show_failures(sight: Sight) -> None:
    st.subheader("Last photos that could not be answered")
    period = sight.report.period
    rows = [
        {
            "when": f"{period.to_local(own.at):%d %b, %H:%M:%S}",
            "photo": own.name,
            "why": own.message,
            "from": own.source,
        }
        for own in sight.failures
    ]
    st.dataframe(rows, hide_index=True, width="stretch")
