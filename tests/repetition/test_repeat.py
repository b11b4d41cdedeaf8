"""`fitlib.repeat`: functions, estimators and notebooks, in memory and as an experiment on disk."""

import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import fitlib
from fitlib.errors import InputError, RunFailed
from tests.repetition import trainings

FOREST = RandomForestClassifier(5, max_depth=3)
PROJECT = Path(__file__).parents[2]


def repeated(table, model=FOREST, **options):
    options = {"runs": 3, "sensitive_features": table.sex, "jobs": 2} | options
    return fitlib.repeat(model, table.X, table.y, **options)


def values(results, metric="DP"):
    """Return a metric's value of every run."""
    rows = results.metrics
    chosen = rows[(rows["metric"] == metric) & (rows["reading"] == "strict") & rows["target"].isna()]
    return chosen["value"].tolist()


def digests(results, arm):
    """Return the digests of the predictions of every run of an arm."""
    return [tuple(run["predictions"].items()) for run in results.evidence if run["arm"] == arm]


# Estimators


def test_runs_of_a_random_state_are_those_of_scikit_learn_with_that_state(table):
    half = np.arange(len(table.y)) < 160
    train, test = [(part(table.X), part(table.y), part(table.sex)) for part in (lambda c: c[half], lambda c: c[~half])]
    results = fitlib.repeat(FOREST, *train[:2], sensitive_features=train[2], test=test, runs=3, seeds=[5], jobs=2)
    expected = []
    for state in (5, 6, 7):
        predicted = RandomForestClassifier(5, max_depth=3, random_state=state).fit(*train[:2]).predict(test[0])
        shares = pd.Series(predicted == "yes").groupby(test[2].to_numpy()).mean()
        expected.append(shares.max() - shares.min())
    np.testing.assert_allclose(values(results), expected, rtol=0, atol=1e-12)
    assert results.plan["classes"] == ["no", "yes"] and results.plan["groups"] == {"sex": ["female", "male"]}


@pytest.mark.parametrize(
    ("vary", "varied"),
    [
        ("random_state", "Varied: the random state of each run. Fixed: training code and its inputs, but not"),
        ("order", "Varied: the order of the training rows. Fixed: seed 0"),
        ("split", "Varied: which 80 % of the training rows are used. Fixed: seed 0"),
        ("bootstrap", "Varied: the training rows, drawn with replacement. Fixed: seed 0"),
    ],
)
def test_what_varies_is_named_and_the_control_runs_are_bit_identical(table, vary, varied):
    results = repeated(table, vary=vary)
    assert varied in results.summary.caption
    assert len(set(digests(results, vary))) == 3 and len(set(digests(results, "none"))) == 1
    assert (results.tables.runs["fit"] == "yes").all()
    assert len({run["fingerprint"] for run in results.evidence}) == 1
    assert {"estimator", "training data", "threads", "packages"} <= set(results.evidence[0]["parts"])


def test_an_estimator_that_makes_no_use_of_its_random_state_is_reported(table):
    with pytest.warns(UserWarning, match=r'all 3 runs are bit-identical.*try vary="order"'):
        repeated(table, LogisticRegression())


def test_several_seeds_make_a_nested_design(table):
    results = repeated(
        table, {"A": FOREST, "B": DecisionTreeClassifier()}, baseline="A", vary="bootstrap", seeds=[0, 3], runs=2
    )
    assert [arm["seed"] for arm in results.plan["arms"] if arm["role"] == "main"] == [0, 3]
    assert set(results.tables.over_seeds["n_seeds"]) == {2}


def test_a_pipeline_on_mixed_columns_has_the_random_states_of_its_parts(table):
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    mixed = table._replace(X=table.X.assign(sex=table.sex, kind=pd.Categorical(np.where(table.X["b"] > 0, "x", "y"))))
    columns = make_column_transformer((OneHotEncoder(), ["sex", "kind"]), remainder=StandardScaler())
    results = repeated(mixed, make_pipeline(columns, FOREST))
    assert len(set(digests(results, "random_state"))) == 3


def test_scores_follow_the_classes_and_the_page_names_what_varied(table, tmp_path):
    results = repeated(table, FOREST, favourable="yes", runs=2)
    assert len(results.tables.thresholds)
    page = results.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "the random state of each run" in page and "bit-identical for 1 of 1" in page


def test_scoring_adds_metrics_and_scorers(table):
    scoring = {
        "DP": fitlib.metrics.demographic_parity,
        "balanced accuracy": "balanced_accuracy",
        "worst group": trainings.worst_group_error,
    }
    half = np.arange(len(table.y)) < 160
    test = (table.X[~half], table.y[~half], table.sex[~half])
    results = repeated(
        table._replace(X=table.X[half], y=table.y[half], sex=table.sex[half]), runs=2, test=test, scoring=scoring
    )
    predicted = [
        RandomForestClassifier(5, max_depth=3, random_state=state).fit(table.X[half], table.y[half]).predict(test[0])
        for state in (0, 1)
    ]
    found = {name: values(results, name) for name in ("1 - balanced accuracy", "worst group")}
    expected = [1 - balanced_accuracy_score(test[1], labels) for labels in predicted]
    np.testing.assert_allclose(found["1 - balanced accuracy"], expected, rtol=0, atol=1e-12)
    expected = [trainings.worst_group_error(test[1], labels, sensitive_features=test[2]) for labels in predicted]
    np.testing.assert_allclose(found["worst group"], expected, rtol=0, atol=1e-12)
    assert "worst group" in results.plan["analysis"]["family"]
    assert "1 - balanced accuracy" not in results.plan["analysis"]["family"]  # it says nothing about fairness


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [
        ("balanced_acuracy", "did you mean 'balanced_accuracy'?"),
        ("roc_auc", "not a share that the predicted classes have"),
        ("neg_mean_squared_error", "not a share"),
        ({"x": lambda y_true, y_pred, *, sensitive_features: 7.0}, "repeat: scoring['x'] = 7.0: not a share"),
        ({"x": lambda y_true, y_pred, *, sensitive_features: 1 / 0}, "it raised ZeroDivisionError"),
        ({"accuracy": lambda counts: 0}, "the name accuracy is taken"),
        (3, "neither metrics by name nor a list"),
    ],
)
def test_bad_scoring_is_one_line_before_any_work(table, scoring, expected):
    with pytest.raises(InputError) as caught:
        repeated(table, scoring=scoring)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


# Functions


def test_a_function_varies_with_the_index_of_the_run():
    results = fitlib.repeat(trainings.by_run, runs=3, jobs=2)
    assert "Varied: whatever the training makes of the index of the run" in results.summary.caption
    assert len(set(digests(results, "run"))) == 3 and len(set(digests(results, "none"))) == 1


def test_a_function_defined_anywhere_can_be_repeated_in_memory():
    share = 0.5

    def train(run):
        columns = trainings.predictions(np.random.default_rng(run))
        return {**columns, "prediction": np.where(np.arange(trainings.ROWS) < share, 1, columns["prediction"])}

    assert len(set(digests(fitlib.repeat(train, runs=2), "run"))) == 2


def test_a_function_may_save_its_predictions_and_print(capfd):
    assert len(fitlib.repeat(trainings.saving, runs=2).evidence) == 4
    assert "no answer" not in capfd.readouterr().out


def test_an_unseeded_function_fails_its_control():
    with pytest.warns(UserWarning, match="runs differ although nothing varied"):
        fitlib.repeat(trainings.unseeded, runs=2)


def test_a_function_that_does_not_vary_is_reported():
    with pytest.warns(UserWarning, match="all 3 runs are bit-identical"):
        fitlib.repeat(trainings.by_nothing, runs=3, control_runs=0)


def test_a_failed_run_is_named_and_the_others_are_kept():
    with pytest.warns(UserWarning, match=r"1 run failed: .*/run/run-02: in run two"):
        results = fitlib.repeat(trainings.failing, runs=4)
    failed = [run for run in results.evidence if run["status"] == "failed"]
    assert len(failed) == 1 and len(values(results)) == 3


def test_a_training_of_which_every_run_fails_is_one_line_with_the_traceback_as_a_note():
    with pytest.raises(RunFailed, match=r"4 runs failed: .*: ZeroDivisionError: no step; also failed") as caught:
        fitlib.repeat(trainings.always_failing, runs=2)
    assert "\n" not in str(caught.value) and "Traceback" in caught.value.__notes__[0]


def test_a_recorder_brings_noise_and_digests_to_a_function():
    def train(run, seed, recorder):
        import torch

        torch.manual_seed(seed)
        data = trainings.predictions(np.random.default_rng(0))
        y = torch.tensor(data["ground_truth"])
        x = torch.stack([y + torch.randn(len(y)), torch.randn(len(y))], 1)
        model = torch.nn.Linear(2, 2)
        recorded = recorder(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.5)
        for inputs, labels in recorded.batches([(x[i::4], y[i::4]) for i in range(4)]):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
        return {**data, "prediction": model(x).argmax(1)}

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one unit in the last place changes no prediction of so small a network
        results = fitlib.repeat(train, runs=2)
    assert results.plan["arms"][0]["noise"] == "ulp"
    assert len({run["final_weights"] for run in results.evidence if run["arm"] == "ulp"}) == 2
    assert all(run["recorded"] for run in results.evidence)


# Bad input


BAD = {
    "no data": (dict(train=FOREST), "repeat: X = None: an estimator needs it"),
    "unknown variation": (dict(vary="seed"), "repeat: vary = 'seed': unknown; choose one of random_state"),
    "no random state": (dict(train=make_pipeline(StandardScaler())), "nothing that can be trained"),
    "a class": (dict(train=RandomForestClassifier), "a class, not an estimator; give an instance"),
    "a number": (dict(train=3), "nothing that can be trained"),
    "no notebook": (dict(train="missing.ipynb"), "no such file"),
    "no technique": (dict(train={}), "no technique"),
    "two without a baseline": (dict(train={"A": FOREST, "B": FOREST}), "repeat: baseline = None: no baseline among"),
    "no such baseline": (dict(baseline="A"), "repeat: baseline = 'A': not among the techniques"),
    "no runs": (dict(runs=0), "repeat: runs = 0"),
    "seeds of random states": (dict(seeds=[0, 1]), "every run has a random state of its own"),
    "test size": (dict(test_size=30), "repeat: test_size = 30: not a share"),
    "test set of two parts": (dict(test=(1, 2)), "repeat: test = 'tuple': not three parts"),
    "noise of an estimator": (dict(noise="ulp"), "vary says what differs"),
    "no jobs": (dict(jobs=0), "repeat: jobs = 0"),
    "one number of seeds": (dict(seeds=3), "repeat: seeds = 3: not a list of seeds; for example seeds=[3]"),
    "no favourable class": (dict(favourable=7), "repeat: favourable = 7: no such class; y has "),
    "a score as primary": (
        dict(scoring=["balanced_accuracy"], primary="balanced_accuracy"),
        "repeat: primary = 'balanced_accuracy': a score of all rows",
    ),
    "unknown primary metric": (dict(primary="XX"), "repeat: analysis.primary = 'XX'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_before_any_work(table, case):
    options, expected = BAD[case]
    options = {"train": FOREST} | options
    data = () if case == "no data" else (table.X, table.y)
    with pytest.raises(InputError) as caught:
        fitlib.repeat(options.pop("train"), *data, sensitive_features=table.sex, **options)
    assert expected in str(caught.value) and "\n" not in str(caught.value)


def test_bad_data_is_one_line_before_any_work(table):
    missing = table.sex.astype(object).where(table.sex.index != 3)
    for changed, expected in {
        "y": (table._replace(y=table.y[:-1]), "repeat: y = 239: X has 240 rows"),
        "sex": (table._replace(sex=table.sex[:-1]), "repeat: sensitive_features['sex'] = 239"),
        "missing": (table._replace(sex=missing), "1 missing (or infinite) values, the first in row 3"),
        "one group": (table._replace(sex=table.sex.where(table.sex == "male", "male")), "all rows are of one group"),
    }.values():
        with pytest.raises(InputError) as caught:
            repeated(changed)
        assert expected in str(caught.value)


def test_a_function_that_needs_more_than_fitlib_gives_is_refused():
    with pytest.raises(InputError, match="it needs width"):
        fitlib.repeat(lambda run, width: None)


def test_data_without_an_estimator_are_refused(table):
    with pytest.raises(InputError, match="only estimators are given data"):
        fitlib.repeat(trainings.by_run, table.X)


@pytest.mark.parametrize("asked", [{"vary": "bootstrap"}, {"test_size": 0.5}])
def test_what_only_estimators_do_is_not_asked_of_functions(asked):
    with pytest.raises(InputError, match=f"repeat: {next(iter(asked))} = .*: only estimators"):
        fitlib.repeat(trainings.by_run, **asked)


def test_seeds_of_numpy_are_seeds():
    found = fitlib.repeat(trainings.by_run, runs=2, seeds=np.arange(2), control_runs=0)
    assert [arm["seed"] for arm in found.plan["arms"]] == [0, 1]


def test_what_a_later_session_cannot_import_is_refused_on_disk(tmp_path, table):
    with pytest.raises(InputError, match=r"scoring.*define it in a module"):
        repeated(table, out=tmp_path / "x", scoring={"x": lambda y_true, y_pred, *, sensitive_features: 0.5})
    with pytest.raises(InputError, match="define it in a module"):
        fitlib.repeat(lambda run: None, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


# On disk


def test_an_experiment_on_disk_has_the_same_numbers_and_is_resumed(table, tmp_path):
    models = {"A": FOREST, "B": DecisionTreeClassifier(max_depth=2)}
    scoring = {"balanced accuracy": "balanced_accuracy", "worst group": trainings.worst_group_error}
    options = dict(baseline="A", vary="bootstrap", runs=2, favourable="yes", scoring=scoring)
    memory = repeated(table, models, **options)
    disk = repeated(table, models, **options, out=tmp_path / "x")
    for name in disk.tables:
        one, other = (pd.DataFrame(results.tables[name]) for results in (memory, disk))
        left = [column for column in one if column not in ("fingerprint", "folder")]  # kernels import more packages
        pd.testing.assert_frame_equal(one[left], other[left], check_exact=True, check_dtype=False)
    assert memory.verdict == disk.verdict
    before = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "x").rglob("*.parquet") if "inputs" not in path.parts
    }
    repeated(table, models, **options, out=tmp_path / "x")
    assert before == {path: path.stat().st_mtime_ns for path in before}
    from fitlib.cli.main import main

    assert main(["verify", "x", "--outputs", str(tmp_path)]) == 0


def test_a_notebook_is_repeated_in_memory(tmp_path):
    import nbformat

    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell('run_dir: str = ""\nrun: int = 0', metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(
                "import numpy as np\nimport fitlib\n"
                "y, sex = np.arange(60) % 2, np.repeat(['f', 'm'], 30)\n"
                "wrong = np.random.default_rng(run).random(60) < 0.3\n"
                "fitlib.save_predictions(run_dir, ground_truth=y, prediction=y ^ wrong, protected={'sex': sex})"
            ),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, tmp_path / "train.ipynb")
    results = fitlib.repeat(tmp_path / "train.ipynb", runs=2)
    assert len(set(digests(results, "run"))) == 2 and len(set(digests(results, "none"))) == 1


# Processes


def script(tmp_path, text):
    path = tmp_path / "script.py"
    path.write_text(textwrap.dedent(text))
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"}
    return [sys.executable, str(path)], environment


def test_estimators_of_a_script_need_neither_torch_nor_jupyter(tmp_path):
    command, environment = script(
        tmp_path,
        """
        import sys
        import numpy as np
        from sklearn.tree import DecisionTreeClassifier
        import fitlib

        class Mine(DecisionTreeClassifier):
            pass

        rng = np.random.default_rng(0)
        X, s = rng.normal(size=(200, 2)), np.arange(200) % 2
        y = (X[:, 0] + rng.normal(size=200) > 0).astype(int)
        results = fitlib.repeat(Mine(), X, y, sensitive_features={"s": s}, runs=2, vary="split")
        print([name for name in ("torch", "papermill", "IPython", "zmq") if name in sys.modules])
        """,
    )
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert (found.stdout.strip(), found.returncode) == ("[]", 0), found.stderr


def test_an_interrupt_leaves_no_process_and_no_folder(tmp_path):
    import signal
    import time

    command, environment = script(
        tmp_path,
        """
        import os, signal, time
        import fitlib

        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background

        def train(run, run_dir):
            import pathlib
            pathlib.Path(os.environ["PIDS"], str(os.getpid())).touch()
            time.sleep(600)

        fitlib.repeat(train, runs=2, jobs=2)
        """,
    )
    pids = tmp_path / "pids"
    pids.mkdir()
    (tmp_path / "tmp").mkdir()
    environment |= {"PIDS": str(pids), "TMPDIR": str(tmp_path / "tmp")}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    while len(list(pids.iterdir())) < 2 and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    started = [int(path.name) for path in pids.iterdir()]
    assert len(started) == 2 and not any(_alive(pid) for pid in started)
    assert not list((tmp_path / "tmp").glob("fitlib-*"))


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
