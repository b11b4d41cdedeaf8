"""A scikit-learn estimator. It returns what `fitlib.save_predictions` needs; torch is not imported.

callable: sklearn_estimator:train
"""

import people
from sklearn.ensemble import HistGradientBoostingClassifier


def train(run_dir, run=0, seed=0, noise="native", max_iter=20):
    """Fit once; returns the arguments of `save_predictions`."""
    data = people.load()
    model = HistGradientBoostingClassifier(max_iter=max_iter, random_state=seed, early_stopping=False)
    model.fit(data["x"], data["income"])
    return {
        "ground_truth": data["test_income"],
        "prediction": model.predict(data["test_x"]),
        "score": model.predict_proba(data["test_x"]),
        "protected": {"sex": data["test_sex"]},
    }
