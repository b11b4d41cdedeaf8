"""Execution of experiments: tasks and their scheduler, attempts, progress, status, logs."""
