"""Training methods: one class each, derived from `Method` in `base`."""
