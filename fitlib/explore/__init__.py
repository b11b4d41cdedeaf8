"""Widgets of `explore.ipynb`, and the figures and frames that they show."""
