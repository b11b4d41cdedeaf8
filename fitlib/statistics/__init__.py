"""Statistics of runs: estimates, tests, power, verdicts. Pure functions on arrays."""
