"""Experiments: the file, its schema, and what follows from it: trainings, arms, techniques, plan, evidence."""
