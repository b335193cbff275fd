"""A resumable job over many pictures."""

from vestiary.batch.job import BatchOptions, BatchReport, run_batch

__all__ = ["BatchOptions", "BatchReport", "run_batch"]
