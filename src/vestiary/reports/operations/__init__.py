"""Reports of what was done, from the ledger: batches, and everything that is watched; values first, then a page."""

from vestiary.reports.operations.page import render_operations_report
from vestiary.reports.operations.period import Period, choose_period
from vestiary.reports.operations.report import Kind, OperationsReport, build_operations_report
from vestiary.reports.operations.words import summarise

__all__ = [
    "Kind",
    "OperationsReport",
    "Period",
    "build_operations_report",
    "choose_period",
    "render_operations_report",
    "summarise",
]
