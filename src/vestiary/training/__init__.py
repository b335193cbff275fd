"""Training: the only room that knows torch. ``recipe`` is torch-free; the others are imported when training starts."""
