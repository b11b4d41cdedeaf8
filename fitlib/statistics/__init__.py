"""Statistics of runs as pure functions on arrays: estimates, tests, power and verdicts."""
