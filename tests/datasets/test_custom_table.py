"""Data set `table`: columns become inputs, classes, groups and parts, and every step is noted."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from fitlib.cli.main import main
from fitlib.datasets.tabular.splitting import TEST, TRAIN, VALIDATION, draw_parts
from fitlib.errors import InputError, RunFailed
from fitlib.experiment.evidence import experiment_plan
from fitlib.experiment.parse import make_experiment, read_experiment
from fitlib.experiment.registry.datasets import DATASETS
from fitlib.experiment.training_options import Training
from fitlib.report.provenance import notes
from fitlib.storage.code_digest import imported_modules
from fitlib.training.loop import Generators, load_data, make_method, train
from fitlib.training.noise import NoNoise
from fitlib.training.run_outputs import save_run

torch.set_num_threads(1)
TABLE = DATASETS["table"]
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FITLIB_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def people(tmp_path):
    """Options of a table of 400 persons, `columns` replacing or adding columns; other options on top."""

    def make(columns: dict | None = None, **options: object) -> dict:
        rng = np.random.default_rng(0)
        sex, age = rng.choice(["f", "m"], 400), rng.integers(18, 80, 400)
        town, paid = rng.choice(["Aix", "Bonn", "Cork"], 400), rng.normal(size=400).round(3)
        income = np.where(age / 40 + paid > 1.2, "high", "low")
        data = {"sex": sex, "age": age, "town": town, "paid €": paid, "income": income, **(columns or {})}
        rows = zip(*({name: list(v) for name, v in data.items()}.values()), strict=True)
        text = "\n".join([",".join(data), *(",".join(map(str, row)) for row in rows)])
        (tmp_path / "people.csv").write_text(text + "\n", encoding="utf-8")
        given = {"file": str(tmp_path / "people.csv"), "target": "income", "protected": "sex", **options}
        return {"name": "table", **TABLE.options(**given).model_dump()}

    return make


def all_notes(data: dict) -> str:
    return "\n".join(load_data(data).notes)


def refused(data: dict) -> str:
    """The one line with which a plan refuses the data."""
    with pytest.raises(InputError) as caught:
        TABLE.describe({k: v for k, v in data.items() if k != "name"})
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- inputs


def test_numbers_are_standardised_and_categories_one_hot_on_the_training_part(people):
    made = load_data(people())
    assert made.train.x.shape[1] == 2 + 3 and made.train.x.dtype == np.float32 and made.normalisation is None
    assert made.train.x[:, :2].mean(0) == pytest.approx([0, 0], abs=1e-6)
    assert made.train.x[:, :2].std(0) == pytest.approx([1, 1], abs=1e-6)
    assert set(np.unique(made.train.x[:, 2:])) == {0, 1} and (made.test.x[:, 2:].sum(1) == 1).all()
    assert (
        made.classes == ("high", "low") and made.groups == ("f", "m") and made.attribute_groups == {"sex": ("f", "m")}
    )


def test_nothing_is_fitted_on_the_test_part(people):
    part = np.where(np.arange(400) < 300, "train", "test")
    plain = load_data(people({"part": part}, split="part"))
    wild = np.where(part == "test", 1e6, np.random.default_rng(0).normal(size=400).round(3))
    first = load_data(people({"part": part, "paid €": wild}, split="part"))
    wild = np.where(part == "test", -1e9, wild)
    second = load_data(people({"part": part, "paid €": wild, "town": ["Aix"] * 300 + ["Rome"] * 100}, split="part"))
    assert len(plain.train) == 300 and np.array_equal(first.train.x[:, :2], second.train.x[:, :2])
    assert not np.array_equal(first.test.x[:, 1], second.test.x[:, 1])


def test_missing_and_infinite_numbers_become_the_median_with_a_mark_and_are_counted(people):
    data = people({"score": [("" if i % 20 == 0 else "inf" if i % 20 == 1 else i) for i in range(400)]})
    made = load_data(data)
    score, mark = made.train.x[:, 2], made.train.x[:, 3]
    assert set(np.unique(mark)) == {0, 1}
    assert np.unique(score[mark == 1]) == pytest.approx(np.median(score[mark == 0]), abs=1e-6)
    assert "marks them: score (40, 20 of them infinite)" in "\n".join(made.notes)
    text = refused({**data, "missing": "refuse"})
    assert "feature = 'score': 40 of 400 rows without a value (20 infinite)" in text


def test_missing_categories_are_a_category_and_unseen_ones_are_none(people):
    part = np.where(np.arange(400) < 300, "train", "test")
    town = ["Rome" if i == 399 else "" if i % 20 == 0 else "Aix" if i % 2 else "Bonn" for i in range(400)]
    data = people({"town": town, "part": part}, split="part")
    made = load_data(data)
    assert made.train.x.shape[1] == 2 + 3 and made.test.x[-1, 2:].sum() == 0
    assert "a category of their own: town (20)" in all_notes(data)
    assert "category that the training part does not show: town (1)" in all_notes(data)


def test_rare_categories_stand_together(people):
    data = people({"town": [f"t{min(i % 40, 30)}" for i in range(400)]}, most_categories=5)
    assert load_data(data).train.x.shape[1] == 2 + 5
    assert "beside the 4 most frequent ones: town (31)" in all_notes(data)


def test_codes_tell_the_same_categories_as_one_hot_columns(people):
    part = np.where(np.arange(400) < 300, "train", "test")
    columns = {"part": part, "town": ["Rome" if i == 399 else "Aix" if i % 2 else "Bonn" for i in range(400)]}
    hot, codes = (load_data(people(columns, split="part", encoding=e)) for e in ("one-hot", "codes"))
    assert codes.categories == (3,) and hot.categories == () and codes.train.x.shape[1] == 3
    assert np.array_equal(codes.train.x[:, :2], hot.train.x[:, :2])
    assert np.array_equal(codes.train.x[:, 2] - 1, hot.train.x[:, 2:].argmax(1)) and codes.test.x[-1, 2] == 0


def test_dates_constants_identifiers_and_row_numbers_are_left_out_and_told(people):
    more = {
        "day": [f"2024-01-{1 + i % 28:02}" for i in range(400)],
        "country": ["FR"] * 400,
        "name": [f"person {i}" for i in range(400)],
        "case": range(1000, 1400),
        "code": [i % 3 for i in range(400)],
    }
    data = people(more, categorical=["code"])
    text = all_notes(data)
    assert load_data(data).train.x.shape[1] == 2 + 3 + 3
    assert "4 features: age, town, paid €, code" in text
    for left in ("dates or times: day", "training part: country", "in every row: name", "number the rows: case"):
        assert left in text


def test_features_are_chosen_by_name_and_the_target_is_never_one(people):
    assert "2 features: age, town" in all_notes(people(features=["age", "town"]))
    dropped = all_notes(people(drop=["paid €"]))
    assert "2 features: age, town" in dropped and "no feature, because data.drop names them: paid €" in dropped
    assert "it is the target" in refused(people(features=["age", "income"]))
    assert "did you mean town" in refused(people(features=["twon"])) and "did you mean age" in refused(
        people(drop=["agee"])
    )
    assert "no column is left" in refused(people(drop=["age", "town", "paid €"]))


def test_protected_columns_are_features_only_if_that_is_declared(people):
    data = people()
    assert "protected columns are no features (protected_as_features: false): sex" in all_notes(data)
    assert "set protected_as_features: true" in refused(people(features=["age", "sex"]))
    with_sex = people(protected_as_features=True)
    assert load_data(with_sex).train.x.shape[1] == load_data(data).train.x.shape[1] + 2
    assert "prediction needs them: sex" in all_notes(with_sex)
    uses = {experiment(d).techniques[0].uses_protected for d in (data, with_sex)}
    assert uses == {"no", "prediction"}


def test_a_feature_that_tells_the_class_alone_is_pointed_out(people):
    rng = np.random.default_rng(1)
    salary = rng.normal(size=400)
    data = people(
        {"income": np.where(salary > 0, "high", "low"), "salary": salary, "band": np.where(salary > 0, "B", "A")}
    )
    assert "from one feature alone, salary, band: is it known before" in all_notes(data)
    assert "alone" not in all_notes(people())


# ---- parts


def test_drawn_parts_keep_the_shares_of_every_class_and_group_and_are_the_same_for_a_seed(people):
    made, again, other = (load_data(people(split_seed=s, validation_share=0.2)) for s in (0, 0, 1))
    whole = np.concatenate([2 * p.y + p.protected for p in (made.train, made.test, made.validation)])
    for part, share in ((made.test, 0.3), (made.validation, 0.2)):
        counts = np.bincount(2 * part.y + part.protected, minlength=4)
        assert np.abs(counts - share * np.bincount(whole, minlength=4)).max() <= 0.5
    assert np.array_equal(made.test.unit, again.test.unit) and not np.array_equal(made.test.unit, other.test.unit)


def test_a_unit_lies_in_one_part(people):
    made = load_data(people({"household": [f"h{i // 4}" for i in range(400)]}, unit="household"))
    assert len(np.unique(made.test.unit)) * 4 == len(made.test)
    assert not set(made.test.unit) & set(made.train.unit)
    assert "by household" in "\n".join(made.notes)


def test_small_strata_have_a_row_for_training_first_and_one_for_testing_second():
    part = draw_parts(np.array([0, 1, 1, 2, 2, 2]), np.arange(6), 0.1, 0.1)
    assert part[0] == TRAIN and sorted(part[1:3]) == [TRAIN, TEST] and sorted(part[3:]) == [TRAIN, VALIDATION, TEST]


def test_a_column_tells_the_parts(people):
    part = np.array(["train", "dev", "test", ""])[np.arange(400) % 4]
    data = people({"fold": part}, split="fold")
    made = load_data(data)
    assert (len(made.train), len(made.test), made.validation) == (200, 100, None)
    assert "100 rows without a value of fold" in all_notes(data) and "the rows with fold dev, train" in all_notes(data)
    assert len(load_data(people({"fold": part}, split="fold", validation="dev")).validation) == 100
    text = refused(people({"fold": part}, split="fold", test=["tset"]))
    assert "test (fold) = 'tset': unknown; did you mean test" in text
    folds = people({"fold": np.arange(400) % 5 + 1}, split="fold")
    assert "known: 1, 2, 3, 4, 5" in refused(folds)
    assert len(load_data({**folds, "test": [5]}).test) == 80
    assert "no row is left for the training part" in refused({**folds, "test": [1, 2, 3, 4, 5]})


def test_limits_keep_the_first_rows_of_the_parts(people):
    whole, small = load_data(people()), load_data(people(limit=50, test_limit=40))
    assert np.array_equal(small.train.unit, whole.train.unit[:50])
    assert np.array_equal(small.test.unit, whole.test.unit[:40])


def test_rows_that_stand_in_both_parts_are_counted(people):
    part = ["train"] * 200 + ["test"] * 200
    rows = np.arange(400) % 250  # rows 250 to 399 repeat rows 0 to 149
    columns = {
        "part": part,
        "sex": np.where(rows % 2, "f", "m"),
        "age": rows,
        "paid €": rows / 7,
        "town": ["Aix"] * 400,
    }
    columns["income"] = np.where(rows % 3, "high", "low")
    assert "150 of 200 test rows equal a training row in all features and in the class" in all_notes(
        people(columns, split="part")
    )
    assert "equal a training row" not in all_notes(people())


# ---- targets and groups that are not fit, and rows that are left out


def test_rows_without_class_or_group_are_left_out_and_counted(people):
    sex = np.where(np.arange(400) % 20 == 0, "", np.where(np.arange(400) % 2, "f", "m"))
    income = np.where(np.arange(400) % 40 == 1, "NA", np.where(np.arange(400) % 3, "low", "high"))
    made = load_data(people({"sex": sex, "income": income}))
    assert len(made.train) + len(made.test) == 370
    text = "\n".join(made.notes)
    assert "20 rows without a value of the protected attribute sex left out" in text
    assert "10 rows without a value of the target income left out" in text and "370 of 400 rows are used" in text


@pytest.mark.parametrize(
    ("columns", "options", "problem"),
    [
        ({"income": np.linspace(0, 1, 400)}, {}, "target = 'income': it is continuous"),
        ({"sex": ["f"] * 400}, {}, "protected = 'sex': it has only the value f: one group only"),
        ({"sex": [f"s{i % 200}" for i in range(400)]}, {}, "200 different values, more than 100 groups"),
        ({"sex": ["x"] + ["f", "m", "f"] * 133}, {}, "group of the test part = 'x': it has no row; merge it"),
        ({}, {"target": "incme"}, "target = 'incme': unknown; did you mean income"),
        ({}, {"protected": ["sex", "gender"]}, "protected = 'gender': unknown"),
        ({}, {"protected": "income"}, "this column is also the target"),
        ({}, {"split": "prt"}, "split = 'prt': unknown"),
    ],
)
def test_bad_columns_are_refused_in_one_line_when_the_experiment_is_planned(people, columns, options, problem):
    assert problem in refused(people(columns, **options))


def test_a_file_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"file": "none.csv", "target": "a", "protected": "b"}
    for function in (TABLE.describe, TABLE.source_files, TABLE.load_dataset):
        with pytest.raises(InputError, match=r"none\.csv.*no such file"):
            function(options)


def test_a_dollar_in_a_column_s_name_is_no_variable_of_the_environment(people):
    data = people({"pay in $k": np.arange(400) % 7}, target="pay in $k", positive=["> 3"])
    assert load_data(data).classes == ("<= 3", "> 3")


# ---- several attributes, all the way to predictions, plan and report


def experiment(data: dict, network: object = "mlp", analysis: dict | None = None, **training: object):
    techniques = {"Base": {"method": "baseline"}, "DI": {"method": "domain-independent", "inference": "sum"}}
    fields = {
        "data": data,
        "network": network,
        "techniques": techniques,
        "baseline": "Base",
        "analysis": analysis or {},
    }
    return make_experiment({**fields, "training": training}, "file.yaml", "own")


def test_all_attributes_are_in_the_predictions_and_methods_use_the_first(people, tmp_path):
    data = people(protected=["sex", "town", ["sex", "town"]], drop=["town"])
    made = load_data(data)
    method = make_method({"name": "domain-independent"}, {"name": "mlp"}, Training(epochs=1), made, Generators.of(0))
    assert method.problem.n_groups == 2
    trained = train(made, method, NoNoise(0, 0), Generators.of(0))
    save_run(tmp_path, trained, made, {"DI": "conditional"}, {"fingerprint": "", "parts": {}})
    columns = pq.read_table(tmp_path / "predictions" / "DI.parquet")
    named = [name for name in columns.column_names if name.startswith("protected")]
    assert named == ["protected.sex", "protected.town", "protected.sex x town"]
    crossed = 3 * columns["protected.sex"].to_numpy() + columns["protected.town"].to_numpy()
    assert np.array_equal(columns["protected.sex x town"].to_numpy(), crossed)
    assert len(made.train.take(np.array([3, 1])).attributes["town"]) == 2
    assert {name for name, _ in made.test.arrays()} >= {"protected", "attributes.town"}


def test_the_plan_for_the_statistics_names_groups_tells_notes_and_numbers_the_favourable_class(people):
    made = experiment(people(), analysis={"favourable": "low"})
    declared = {"declared_hash": "", "finished_runs_at_declaration": 0}
    plan = experiment_plan(made, made.families[0], [], declared)
    assert plan["analysis"]["favourable"] == 1 and made.declared["analysis"]["favourable"] == "low"
    assert plan["groups"] == {"sex": ["f", "m"]} and plan["classes"] == ["high", "low"]
    assert plan["notes"] == list(load_data(people()).notes)
    assert notes(plan)[0].startswith("Data: ") and "400 of 400 rows are used" in notes(plan)[0]
    assert notes({**plan, "notes": []}) == [] == notes({})


@pytest.mark.parametrize(
    ("favourable", "problem"),
    [("hgh", "'hgh': unknown; did you mean high"), (2, "class outside the range"), (-1, "greater than or equal to 0")],
)
def test_a_favourable_class_that_is_not_there_is_refused(people, favourable, problem):
    with pytest.raises(InputError, match=f"file.yaml: analysis.favourable = .*{problem}"):
        experiment(people(), analysis={"favourable": favourable})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"network": "small-cnn"}, "network = 'small-cnn': it needs images, data set table has none; use mlp"),
        ({"shift": 2}, "training.shift = 2: it is for images"),
    ],
)
def test_what_needs_images_is_refused_for_tables(people, given, problem):
    with pytest.raises(InputError, match=problem):
        experiment(people(), **given)


def test_the_run_that_encodes_has_the_fingerprint_of_all_others(people):
    data = people()
    code = f"""
        import sys
        from fitlib.experiment.families import describe
        describe({data!r})
        assert "sklearn" not in sys.modules and "torch" not in sys.modules
        from fitlib.recording.fingerprint import environment, source_digest
        from fitlib.training.loop import load_data
        load_data({data!r})
        print("sklearn" in sys.modules, source_digest(), environment("cpu"))
    """
    shown = [subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)], text=True) for _ in range(2)]
    assert shown[0] == shown[1] and shown[0].startswith("False")
    assert "fitlib.datasets.tabular.encoding" in imported_modules(["fitlib.datasets.custom_table"])  # it is in the key


def test_an_encoding_that_fails_is_one_line_and_leaves_no_entry(people, monkeypatch):
    data = people()
    monkeypatch.setattr("fitlib.datasets.custom_table.sys.executable", "false")
    with pytest.raises(RunFailed, match="encoding failed"):
        load_data(data)
    monkeypatch.undo()
    load_data(data)


def test_adult_and_compas_are_read_as_declared(data_dir):
    found = [read_experiment(ROOT / "params" / f"{name}.yaml") for name in ("adult", "compas")]
    adult, compas = (load_data(made.trainings[0].settings["data"]).check() for made in found)
    assert (len(adult.train), len(adult.test)) == (32561, 16281) and adult.test.y.mean() == pytest.approx(
        0.2362, abs=1e-3
    )
    assert adult.classes == ("<=50K", ">50K") and adult.groups == ("Female", "Male")
    assert len(compas.train) + len(compas.test) == 6172 and compas.groups[:2] == ("African-American", "Caucasian")
    assert compas.attribute_groups["sex"] == ("Female", "Male")


def test_the_plan_tells_what_was_counted_before_anything_is_trained(people, tmp_path, capsys):
    data = people()
    experiment = {"data": data, "network": "mlp", "techniques": {"B": {"method": "baseline"}}}
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(experiment))
    assert main(["plan", str(tmp_path / "e.yaml"), "--outputs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    kept = load_data(data).notes
    assert kept and lines[: len(kept)] == [f"data: {note}" for note in kept]
