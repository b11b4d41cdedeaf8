"""What the report says on one subject each: the tables for readers, the sentences and the figures of a section."""

from fitlib.sections import costs, differences, individuals, reporting, robustness, seeds, testset, verdict

__all__ = ["costs", "differences", "individuals", "reporting", "robustness", "seeds", "testset", "verdict"]
