"""Data sets: what each holds, how it is loaded, and which files it is read from."""
