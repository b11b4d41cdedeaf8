"""Execution: tasks and their scheduler, attempts, progress, status, logs."""
