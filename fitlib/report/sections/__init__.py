"""Sections of the report: the tables, sentences and figures on one subject each."""
