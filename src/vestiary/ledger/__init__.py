"""The database of predictions, failures, jobs and verdicts: SQLite in a file, or PostgreSQL by URL."""

from vestiary.ledger.copies import back_up, restore
from vestiary.ledger.exports import export
from vestiary.ledger.ledger import Ledger, open_ledger, write_records
from vestiary.ledger.opening import is_default
from vestiary.ledger.records import FailureRecord, Job, PredictionRecord, TagRecord, Verdict, make_id, needs_look, now
from vestiary.ledger.retention import Pruned, prune

__all__ = [
    "FailureRecord",
    "Job",
    "Ledger",
    "PredictionRecord",
    "Pruned",
    "TagRecord",
    "Verdict",
    "back_up",
    "export",
    "is_default",
    "make_id",
    "needs_look",
    "now",
    "open_ledger",
    "prune",
    "restore",
    "write_records",
]
