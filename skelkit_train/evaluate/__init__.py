"""Evaluation of a run's encoders: features once (`features`), then one module a task."""
