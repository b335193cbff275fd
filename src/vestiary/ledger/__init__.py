"""The database of predictions, failures, jobs and verdicts: SQLite in a file, or PostgreSQL by URL."""

from vestiary.ledger.ledger import Ledger, open_ledger, write_records
from vestiary.ledger.records import FailureRecord, Job, PredictionRecord, TagRecord, Verdict, make_id, now

__all__ = [
    "FailureRecord",
    "Job",
    "Ledger",
    "PredictionRecord",
    "TagRecord",
    "Verdict",
    "make_id",
    "now",
    "open_ledger",
    "write_records",
]
