"""Repeated trainings from Python: functions, scikit-learn estimators and notebooks, in memory or as an experiment."""
