"""The names of the verdicts, and the fewest runs for one: constants that need neither NumPy nor SciPy."""

FAIRER, LESS_FAIR, EQUIVALENT, OPEN = "fairer", "less fair", "equivalent", "open"
LOWER, HIGHER = "lower, size open", "higher, size open"
VERDICTS = (FAIRER, LOWER, EQUIVALENT, OPEN, HIGHER, LESS_FAIR)
TOO_FEW = "too few to judge"
RUNS = 4  # fewest in each arm for a verdict: with 3, no exact rank test reaches .05
