"""A resumable job over many pictures."""

from vestiary.batch.job import BatchReport, run_batch
from vestiary.batch.options import BatchOptions

__all__ = ["BatchOptions", "BatchReport", "run_batch"]
