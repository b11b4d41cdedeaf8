"""Functions that a worker can import: trainings without torch, each with one way to vary or to fail."""

import numpy as np

ROWS = 120


def by_run(run, seed=0):
    """A training that varies with the index of the run."""
    return predictions(np.random.default_rng((seed, run)))


def by_nothing(seed=0):
    """A training in which nothing varies."""
    return predictions(np.random.default_rng(seed))


def unseeded(run):
    """A training with a generator that nobody seeded."""
    return predictions(np.random.default_rng())


def failing(run):
    """A training whose run 2 fails."""
    if run == 2:
        raise ZeroDivisionError("no step\nin run two")
    return by_run(run)


def always_failing(run):
    """A training that never ends well."""
    raise ZeroDivisionError("no step")


def saving(run_dir, run):
    """A training that saves its predictions itself and prints."""
    import fitlib

    print("a line that is no answer")
    fitlib.save_predictions(run_dir, **by_run(run))


def predictions(rng):
    """Return predictions that are wrong for a quarter of the rows, and for more of one group."""
    y, sex = np.arange(ROWS) % 2, np.repeat(["female", "male"], ROWS // 2)
    wrong = rng.random(ROWS) < np.where(sex == "male", 0.15, 0.35)
    return {"ground_truth": y, "prediction": np.where(wrong, 1 - y, y), "protected": {"sex": sex}}


def worst_group_error(y_true, y_pred, *, sensitive_features):
    """A custom metric: the largest share of wrong predictions of a group."""
    wrong = np.asarray(y_true) != np.asarray(y_pred)
    return max(wrong[sensitive_features == group].mean() for group in np.unique(sensitive_features))
