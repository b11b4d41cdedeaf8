import json
import os
from pathlib import Path

import nbformat
import numpy as np
import papermill
import pyarrow.parquet as pq
import pytest

from fitlib.metrics.bias_metrics import BIAS_METRICS, PUBLISHED_RATIOS, overall_ratio
from fitlib.metrics.counts import count, one_vs_rest
from fitlib.metrics.long_tables import counts_array
from fitlib.metrics.simulated_experiment import TECHNIQUES, arms_of, write_example, write_metrics, write_technique
from fitlib.storage.predictions import stack, write_predictions

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "metrics.ipynb"
TABLES = ("metrics", "counts", "votes", "testset", "resampled", "persons")


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    example = write_example(tmp_path_factory.mktemp("example"), runs=4)
    write_metrics(example)
    return example


def read(example, technique, name):
    return pq.read_table(Path(example["folder"], "techniques", technique, f"{name}.parquet")).to_pandas()


# The simulated experiment


def test_the_example_is_json_and_says_that_it_is_simulated(example):
    assert json.loads(json.dumps(example)) == example
    plan = example["plan"]
    assert plan["source"] == "predictions made elsewhere" and plan["arms"][0]["kind"] == "unknown"
    assert any("simulated" in sentence for sentence in plan["deviations"])
    assert not plan["declared_before_first_run"] and example["evidence"] == []


def test_every_planned_run_has_its_file(example):
    for planned in example["plan"]["techniques"]:
        for arm in example["plan"]["arms"]:
            paths = example["predictions"][planned["technique"]][arm["arm"]]
            assert list(paths) == [str(run) for run in range(arm["runs"])]
            for run, path in paths.items():
                folder = Path(example["folder"], "runs", planned["training"], arm["arm"], f"run-{int(run):02}")
                assert Path(path) == folder / "predictions" / f"{planned['technique']}.parquet"
                assert Path(path).is_file()


def stacked(example, technique):
    (given,) = arms_of(example, technique).values()
    return stack(given["predictions"])


def test_test_units_are_paired_and_classes_balanced(example):
    base = stacked(example, "Base")
    assert base.n_classes == 10 and base.n_groups == {"protected": 2}
    first, second = (base.protected["protected"] == group for group in (0, 1))
    assert np.array_equal(base.unit[first], base.unit[second])
    assert np.array_equal(base.ground_truth[first], base.ground_truth[second])
    assert len(set(np.bincount(base.ground_truth))) == 1


@pytest.mark.parametrize("technique", TECHNIQUES)
def test_runs_differ_more_in_one_group(example, technique):
    runs = stacked(example, technique)
    differs = (runs.prediction != runs.prediction[0]).mean(axis=0)
    group = runs.protected["protected"]
    assert 0 < differs[group == 0].mean() < differs[group == 1].mean()


def test_the_mitigated_technique_is_the_less_biased(example):
    means = {name: read(example, name, "metrics") for name in TECHNIQUES}
    for metric in BIAS_METRICS:
        rows = {name: table[(table.metric == metric) & table.target.isna()] for name, table in means.items()}
        assert rows["Mitigated"].value.mean() < rows["Base"].value.mean()


def test_the_same_seed_gives_the_same_predictions(tmp_path):
    first, again, other = (
        write_example(tmp_path / name, seed, runs=2) for name, seed in (("a", 3), ("b", 3), ("c", 4))
    )
    contents = [Path(made["predictions"]["Base"]["unknown"]["1"]).read_bytes() for made in (first, again, other)]
    assert contents[0] == contents[1] != contents[2]
    assert first["plan"] == again["plan"]


# The tables of a technique


def test_tables_have_explicit_types_and_no_pandas_metadata(example):
    folder = Path(example["folder"], "techniques", "Base")
    for name in TABLES:
        schema = pq.read_schema(folder / f"{name}.parquet")
        assert schema.metadata == {b"fitlib.schema": f"{name}/1".encode()}
        assert {str(kind) for kind in schema.types} <= {"string", "int64", "double", "list<element: float>"}
    assert pq.read_schema(folder / "votes.parquet").names == [
        "arm", "seed", "idx", "ground_truth", "protected", "unit", "class", "votes",
    ]  # fmt: skip
    assert pq.read_schema(folder / "counts.parquet").names == [
        "technique", "arm", "seed", "run", "attribute", "group", "true", "predicted", "n",
    ]  # fmt: skip


def test_tables_written_twice_are_byte_identical(example, tmp_path):
    write_technique(tmp_path, "Base", arms_of(example, "Base"), 10, {"protected": 2})
    for name in TABLES:
        written = Path(example["folder"], "techniques", "Base", f"{name}.parquet")
        assert (tmp_path / f"{name}.parquet").read_bytes() == written.read_bytes()


def test_counts_metrics_and_votes_follow_from_the_predictions(example):
    runs = stacked(example, "Mitigated")
    counts = count(runs, "protected")
    assert np.array_equal(counts_array(read(example, "Mitigated", "counts"), 10, 2)[1], counts)
    table = read(example, "Mitigated", "metrics")
    rows = table[(table.metric == "BA") & (table.reading == "published") & table.target.isna()]
    assert np.array_equal(rows.value, overall_ratio(PUBLISHED_RATIOS["BA"](one_vs_rest(counts)))[0])
    votes = read(example, "Mitigated", "votes")
    assert votes.groupby("idx").votes.sum().eq(4).all()
    right = votes[votes["class"] == votes.ground_truth].votes.sum()
    assert right == (runs.prediction == runs.ground_truth).sum()


@pytest.fixture
def labelled(tmp_path):
    """Two arms of two runs, multi-label, two protected attributes of which one has three groups."""
    rng, arms = np.random.default_rng(5), {}
    groups = {"sex": np.arange(30) % 2, "race": np.arange(30) % 3}
    truth = rng.integers(0, 2, (30, 4))
    for seed, arm in enumerate(("seed0.ulp", "seed1.ulp")):
        paths = {str(run): str(tmp_path / f"{arm}-{run}.parquet") for run in range(2)}
        for path in paths.values():
            write_predictions(path, np.arange(30), truth, rng.integers(0, 2, (30, 4)) & [1, 1, 1, 0], groups)
        arms[arm] = {"seed": seed, "predictions": paths}
    return arms


def test_multilabel_tables_of_several_arms_and_attributes(labelled, tmp_path):
    write_technique(tmp_path, "C-Base", labelled)
    metrics, counts, votes, testset, resampled, persons = (
        pq.read_table(tmp_path / f"{name}.parquet").to_pandas() for name in TABLES
    )
    assert metrics.attribute.unique().tolist() == ["sex", "race"]
    assert metrics[metrics.attribute == "race"].reading.unique().tolist() == ["strict"]
    assert metrics.drop_duplicates(["arm", "seed"])[["arm", "seed"]].values.tolist() == [
        ["seed0.ulp", 0], ["seed1.ulp", 1],
    ]  # fmt: skip
    assert len(counts) == 2 * 2 * (2 + 3) * 4
    assert counts[["tp", "fp", "fn", "tn"]].to_numpy().sum() == 2 * 2 * 2 * 30 * 4
    assert len(votes) == 2 * 30 * 4 and votes.votes.max() <= 2
    for table in (testset, resampled, persons):
        assert set(zip(table.arm, table.attribute, strict=True)) == set(zip(counts.arm, counts.attribute, strict=True))
    undefined = metrics[(metrics.metric == "DI") & (metrics.target == 3) & (metrics.reading == "strict")]
    assert undefined.value.isna().all() and (undefined.n_undefined == 1).all()


# metrics.ipynb


@pytest.fixture(autouse=True)
def kernels_find_fitlib(monkeypatch):
    """Kernels run in another folder, where a relative PYTHONPATH leads nowhere."""
    root = str(NOTEBOOK.parents[1])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))


def execute(folder, **parameters):
    return papermill.execute_notebook(
        str(NOTEBOOK), str(folder / "executed.ipynb"), parameters, progress_bar=False, kernel_name="python3", cwd=folder
    )


def printed(executed):
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    texts = [
        output.get("text") or output["data"].get("text/html") or output["data"]["text/plain"] for output in outputs
    ]
    return "\n".join(texts)


def test_the_notebook_runs_by_hand_with_its_defaults(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    text = printed(execute(tmp_path))
    assert "simulated" in text and "All seven agree" in text and "spreads most" in text
    (folder,) = tmp_path.glob("fitlib-*")
    assert {path.name for path in folder.glob("*.parquet")} == {f"{name}.parquet" for name in TABLES}


def test_the_notebook_writes_the_tables_of_a_batch(example, tmp_path):
    out = tmp_path / "Mitigated"
    arms = arms_of(example, "Mitigated")
    text = printed(execute(tmp_path, technique="Mitigated", out_dir=str(out), predictions=arms))
    assert "simulated" not in text and "fitlib-" not in text
    for name in TABLES:
        written = Path(example["folder"], "techniques", "Mitigated", f"{name}.parquet")
        assert (out / f"{name}.parquet").read_bytes() == written.read_bytes()


def test_the_notebook_tells_what_is_undefined_and_never_says_nan(labelled, tmp_path):
    groups = {"n_groups": {"sex": 2, "race": 3}, "groups": {}, "n_classes": 4, "classes": list("abcd")}
    text = printed(execute(tmp_path, technique="C", out_dir=str(tmp_path / "C"), predictions=labelled, **groups))
    assert "DI is undefined for up to 1 of 4 classes" in text
    assert "Arm seed1.ulp:" in text
    assert "nan" not in text.lower()


def test_the_notebook_crosses_attributes(labelled, tmp_path):
    groups = {"n_groups": {"sex": 2, "race": 3}, "groups": {}, "n_classes": 4, "cross": [["sex", "race"]]}
    execute(tmp_path, technique="C", out_dir=str(tmp_path / "C"), predictions=labelled, **groups)
    counts = pq.read_table(tmp_path / "C" / "counts.parquet").to_pandas()
    assert counts.attribute.unique().tolist() == ["sex", "race", "sex x race"]
    crossed = counts[counts.attribute == "sex x race"]
    assert (
        sorted(crossed.group.unique()) == list(range(6))
        and crossed.tp.sum() == counts[counts.attribute == "sex"].tp.sum()
    )


def test_one_run_is_said_to_show_no_spread(example, tmp_path):
    arms = {"ulp": {"seed": 0, "predictions": {"0": example["predictions"]["Base"]["unknown"]["0"]}}}
    text = printed(execute(tmp_path, out_dir=str(tmp_path / "out"), predictions=arms))
    assert "one run cannot show how far apart runs are" in text and "Constant" not in text


def test_the_notebook_is_committed_clean_short_and_parameterised():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert 12 <= len(notebook.cells) <= 30 and notebook.metadata.kernelspec.name == "python3"
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert max(len(cell.source.splitlines()) for cell in code) <= 12
    (parameters,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert all(": " in line and "  # " in line for line in parameters.source.splitlines())
    source = "\n".join(cell.source for cell in code)
    assert not any(package in source for package in ("torch", "seaborn", "scipy", "statsmodels"))
