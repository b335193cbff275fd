"""What is wrong with a catalogue: one file per family of findings."""

from vestiary.checks.finding import Finding, Severity

__all__ = ["Finding", "Severity"]
