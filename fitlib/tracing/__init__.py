"""Tracing: since which step, and because of which operator, two runs differ."""
