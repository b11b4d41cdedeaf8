"""Tracing: from which step on, and because of which operator, two runs differ."""
