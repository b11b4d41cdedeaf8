"""Tests of fitlib, a folder for each of its packages; `support` has what several of them use."""
