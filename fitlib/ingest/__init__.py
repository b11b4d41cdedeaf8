"""Predictions made elsewhere: files found, columns and labels mapped, rows aligned."""
