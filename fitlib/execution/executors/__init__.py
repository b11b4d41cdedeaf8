"""Executors: where jobs run, one adapter for each place (threads, Dask, SLURM)."""
