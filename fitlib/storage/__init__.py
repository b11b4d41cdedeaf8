"""What lies on disk: an experiment's folder, records, lock, manifest, keys, the files of a run."""
