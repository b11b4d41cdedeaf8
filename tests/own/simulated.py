"""Functions that an experiment could name; nothing is learnt, so a run takes no time.

callable: simulated:train
"""

import rows

RUNS = 3  # no function


def train(run_dir, run, seed, noise, share=0.1, fault=""):
    """Predictions of which a share is wrong, drawn from seed and run (in the control arm from the seed alone)."""
    if fault == "raise":
        raise ValueError("the loss became nan")
    if fault == "nothing":
        return None
    columns = rows.predicted(seed, 0 if noise["name"] == "none" else run + 1, share)
    if run and fault == "rows":
        columns = {name: column[:-7] for name, column in columns.items()}
    if run and fault == "order":
        columns = {name: column[::-1] for name, column in columns.items()}
    return {**columns, "protected": {"sex": columns["protected"]}}


def both(run, seed, techniques, share=0.1):
    """One training, of which every technique makes its predictions."""
    made = [rows.predicted(seed, run, share * number) for number, _ in enumerate(techniques, 1)]
    return {
        name: {**found, "protected": {"sex": found["protected"]}} for name, found in zip(techniques, made, strict=True)
    }


class Trainer:
    """No function."""


async def later(run_dir):
    """No function that can be called like one."""
