"""Answers and true labels in, figures out."""

from vestiary.metrics.comparison import AttributeComparison, Comparison, ValueChange, compare, mcnemar_p_value
from vestiary.metrics.curves import (
    ECE_BINS,
    ReliabilityBin,
    RiskCoverage,
    bin_reliability,
    expected_calibration_error,
    trace_risk_coverage,
)
from vestiary.metrics.evaluation import Evaluation
from vestiary.metrics.outcome import Outcome
from vestiary.metrics.resampling import LEVEL, RESAMPLES, SEED, Resamples
from vestiary.metrics.scores import Confusion, Scores, ValueScores, count_pairs, format_percent, match_all, score

__all__ = [
    "ECE_BINS",
    "LEVEL",
    "RESAMPLES",
    "SEED",
    "AttributeComparison",
    "Comparison",
    "Confusion",
    "Evaluation",
    "Outcome",
    "ReliabilityBin",
    "Resamples",
    "RiskCoverage",
    "Scores",
    "ValueChange",
    "ValueScores",
    "bin_reliability",
    "compare",
    "count_pairs",
    "expected_calibration_error",
    "format_percent",
    "match_all",
    "mcnemar_p_value",
    "score",
    "trace_risk_coverage",
]
