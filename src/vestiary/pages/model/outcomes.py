"""Photos of products that a bundle answered, each with its label and its answer."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from vestiary.metrics import Evaluation, Outcome
from vestiary.pages.desk import current_desk
from vestiary.pages.gallery import show_gallery
from vestiary.pages.shelf import Shelf
from vestiary.product import Product


def choose_attribute(evaluation: Evaluation, key: str) -> str:
    """The attribute that the visitor looks at, of those with labels; at first the one with the most values."""
    bundle = current_desk().bundle
    names = [name for name, own in evaluation.attributes.items() if own.n]
    finest = max(names, key=lambda name: len(bundle.taxonomy[name].values))
    return st.selectbox(
        "Attribute", names, names.index(finest), format_func=bundle.taxonomy.titles.__getitem__, key=key
    )


def list_rows(evaluation: Evaluation, outcome: Outcome, rows: NDArray[np.int64]) -> tuple[list[Product], list[str]]:
    """The products in rows of an evaluation, and of each its label and its answer in words."""
    sure = outcome.confidence
    captions = [
        f"{outcome.values[outcome.labels[row]] if outcome.labels[row] >= 0 else 'another label'} → "
        f"{outcome.values[outcome.answers[row]]}, {100 * sure[row]:.0f}\N{NO-BREAK SPACE}%"
        for row in rows.tolist()
    ]
    return [evaluation.products[row] for row in rows.tolist()], captions


def show_rows(shelf: Shelf, evaluation: Evaluation, outcome: Outcome, rows: NDArray[np.int64], *, key: str) -> None:
    """The photos of rows of an evaluation, each with its label and its answer."""
    products, captions = list_rows(evaluation, outcome, rows)
    show_gallery(shelf, products, key=key, captions=captions)
