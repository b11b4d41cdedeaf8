"""Executors of jobs: one adapter each for threads of this process, Dask and SLURM."""
