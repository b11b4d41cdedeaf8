"""What the report says on one subject each: the tables for readers, the sentences and the figures of a section."""

from fitlib.sections import (
    causes,
    classes,
    costs,
    differences,
    impact,
    individuals,
    reporting,
    robustness,
    seeds,
    testset,
    variation,
    verdict,
)

__all__ = [
    "causes",
    "classes",
    "costs",
    "differences",
    "impact",
    "individuals",
    "reporting",
    "robustness",
    "seeds",
    "testset",
    "variation",
    "verdict",
]
