"""A small made-up table of people, for the examples: who earns more than 50K, by four numbers, and their sex."""

import numpy as np


def load(train: int = 600, test: int = 400) -> dict[str, np.ndarray]:
    """`x` float32 (rows, 4), `income` and `sex` text (rows,) of the training rows; `test_x`, … of the test rows."""
    generator = np.random.default_rng(0)
    sex = generator.choice(["female", "male"], train + test, p=[0.35, 0.65])
    x = generator.normal(size=(train + test, 4)) + 0.5 * (sex == "male")[:, None]
    score = x @ [1.0, 0.6, 0.3, 0.0] + generator.normal(0, 1, train + test)
    income = np.where(score > 0.9, ">50K", "<=50K")
    columns = {"x": x.astype(np.float32), "income": income, "sex": sex}
    parts = {"": slice(None, train), "test_": slice(train, None)}
    return {prefix + name: column[rows] for prefix, rows in parts.items() for name, column in columns.items()}
