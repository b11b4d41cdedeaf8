"""From predictions to numbers: counts, bias metrics, chance level, churn, thresholds."""
