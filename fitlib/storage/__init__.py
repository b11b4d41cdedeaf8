"""Storage on disk: an experiment's folder, its records, lock, manifest and keys, and the files of a run."""
