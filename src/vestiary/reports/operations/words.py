"""A report in a few lines of plain text: for the terminal, a mail and a chat."""

from __future__ import annotations

from vestiary.charts import keep_text
from vestiary.reports.operations.report import Kind, OperationsReport
from vestiary.reports.page import format_milliseconds, format_number, format_percent

TITLES = {Kind.BATCH: "Batch report", Kind.MONITORING: "Monitoring report"}


def title_of(report: OperationsReport) -> str:
    """``Batch report, 15 to 21 November 2026``."""
    return f"{TITLES[report.kind]}, {report.period.describe()}"


def summarise(report: OperationsReport) -> tuple[str, str]:
    """A title, and the figures that matter: a line each, and only what mail can hold, whatever folders are called."""
    if report.is_empty:
        return title_of(report), "Nothing was answered on these days.\n"
    lines = [_count(report)]
    if report.n_answered:
        lines.append(
            f"Accepted without a look: {format_percent(report.n_accepted / report.n_answered)}; "
            f"for review: {format_number(report.n_review, 'picture')}."
        )
    if report.n_judged:
        lines.append(f"Unlike the training pictures: {format_percent(report.n_unfamiliar / report.n_judged)}.")
    if report.latency is not None:
        p50, p95, p99 = map(format_milliseconds, (report.latency.p50, report.latency.p95, report.latency.p99))
        lines.append(f"Answers took at most {p50} (half of them), {p95} (95 %), {p99} (99 %).")
    if report.batches:
        finished = sum(batch.state == "finished" for batch in report.batches)
        lines.append(f"Batches: {len(report.batches):,}, {finished:,} of them finished; runs: {len(report.runs):,}.")
    if report.n_verdicts:
        changed = sum(own.n for own in report.corrections)
        lines.append(f"Reviewers looked at {format_number(report.n_verdicts, 'tag')} and changed {changed:,}.")
    lines.append(f"Drift: {report.drift.sentence}")
    lines += [f"Look at this: {' '.join(keep_text(sentence).split())}" for sentence in report.concerns()]
    return title_of(report), "".join(f"{line}\n" for line in lines)


def _count(report: OperationsReport) -> str:
    if report.success_rate is None:
        return "No picture was answered on these days."
    told = f"{format_number(report.n_total, 'picture')}: {report.n_answered:,} answered"
    return f"{told}, {report.n_failed:,} failed ({format_percent(report.success_rate)} answered)."
