"""What numpy multiplies matrices with must not take the cores of those who answer photos."""

from __future__ import annotations

import os


def keep_to_one_thread() -> None:
    """Have OpenBLAS use one thread, unless the environment says otherwise; to be called before numpy is loaded.

    It shares out even products as small as those of 32 embeddings, and its threads wait for work by spinning: with
    several threads answering, each photo of a batch of 32 took 4.4 ms of processor time instead of 2.7.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
