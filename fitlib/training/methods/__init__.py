"""Training methods: a class for each, on the base in `base`."""
