"""Figures of the report: tidy tables and axes in, axes out."""
