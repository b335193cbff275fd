"""The model report: how good a bundle is on a catalogue, where it fails, and how far its confidence can be trusted."""

from vestiary.reports.model.page import render_model_report
from vestiary.reports.model.training import load_log
from vestiary.reports.model.values import ModelReport, build_model_report

__all__ = ["ModelReport", "build_model_report", "load_log", "render_model_report"]
