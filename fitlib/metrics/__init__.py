"""Metrics of predictions: counts, bias metrics, chance level, churn and thresholds."""
