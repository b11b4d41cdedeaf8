"""Predictions in any usual form are normalised, or refused in one line with place and problem."""

import json

import numpy as np
import pandas as pd
import pytest

from fitlib.datasets.tabular.label_encoding import Vocabulary, key_of
from fitlib.errors import InputError
from fitlib.ingest.choices import Choices
from fitlib.ingest.column_roles import parse_column_roles, roles_of
from fitlib.ingest.normalise import default_name, normalise_predictions
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.predictions import stack

N = 60
CLASSES, GENDERS, RACES = np.array(["denied", "approved"]), np.array(["f", "m", "x"]), np.array(["a", "b"])


def table(seed: int = 0) -> pd.DataFrame:
    """One run with common column names; the score is that of "approved"."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    truth, gender, race = fixed.integers(0, 2, N), fixed.integers(0, 3, N), fixed.integers(0, 2, N)
    guess = np.where(rng.random(N) < 0.2, 1 - truth, truth)
    targets = {"id": np.arange(N) + 100, "y_true": CLASSES[truth], "y_pred": CLASSES[guess]}
    return pd.DataFrame(
        {**targets, "gender": GENDERS[gender], "race": RACES[race], "proba": 0.25 + guess / 2, "age": 1}
    )


def four(change=lambda t: t, everywhere=False) -> dict[str, pd.DataFrame]:
    """Two runs of two techniques; `change` spoils A/r1, or all files."""
    runs = {f"{name}/r{i}.csv": table(10 * i + len(name)) for name in ("A", "Bee") for i in range(2)}
    return {name: change(t) if everywhere or name == "A/r1.csv" else t for name, t in runs.items()}


def lay(folder, files, **how):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            path.write_text(content)
        elif path.suffix == ".parquet":
            content.to_parquet(path, index=False)
        else:
            content.to_csv(path, index=False, **how)
    return folder


def read(tmp_path, files, choices=None, **how):
    """mapping.json, and the predictions written for each technique."""
    folder, paths = lay(tmp_path / "mine", files, **how), ExperimentPaths(tmp_path / "out")
    found, write = normalise_predictions(folder, paths, choices or Choices())
    write()
    written = {name: sorted((paths.root / "predictions" / name).iterdir()) for name in found["runs"]}
    return found, {name: stack(dict(enumerate(files))) for name, files in written.items()}


def notes_of(found) -> str:
    return " ".join(found["notes"])


def test_text_becomes_numbers_that_are_the_same_in_all_files(tmp_path):
    found, runs = read(tmp_path, four())
    assert found["classes"] == ["approved", "denied"]
    assert found["groups"] == {"gender": ["f", "m", "x"], "race": ["a", "b"]}
    expected = table(1)
    assert (runs["A"].ground_truth == (expected.y_true == "denied")).all()
    assert (runs["A"].prediction[0] == (expected.y_pred == "denied")).all()
    assert (runs["A"].protected["gender"] == expected.gender.map({"f": 0, "m": 1, "x": 2})).all()
    for note in ("y_true is the ground truth", "gender is the protected attribute gender", "Columns not used: age."):
        assert note in notes_of(found)
    assert "Classes: 0 is approved, 1 is denied." in found["notes"]


def test_fitlibs_own_headings_and_numbers_stay_as_they_are_without_notes(tmp_path):
    plain = pd.DataFrame({"idx": range(4), "ground_truth": [0, 1, 2, 0], "prediction_result": [0, 1, 2, 2]})
    found, runs = read(tmp_path, {"T/a.csv": plain.assign(protected_label=[0, 1, 0, 1])})
    assert found["classes"] == ["0", "1", "2"] and found["groups"] == {"protected": ["0", "1"]}
    assert found["notes"] == [] and runs["T"].prediction.tolist() == [[0, 1, 2, 2]]


def test_numbers_that_do_not_count_from_zero_are_mapped(tmp_path):
    signs = {"denied": -1, "approved": 1}
    files = four(lambda t: t.assign(y_true=t.y_true.map(signs), y_pred=t.y_pred.map(signs)), everywhere=True)
    found, runs = read(tmp_path, files)
    assert found["classes"] == ["-1", "1"] and "Classes: 0 is -1, 1 is 1." in found["notes"]
    assert (runs["A"].ground_truth == (table().y_true == "approved")).all()


def test_one_in_any_spelling_is_one_class(tmp_path):
    def spelt(t, kind):
        return t.assign(y_true=(t.y_true == "approved") * 1, y_pred=kind(t.y_pred == "approved"))

    kinds = {
        "A/r0.parquet": lambda v: (v * 1).astype(str),
        "A/r1.parquet": lambda v: v,
        "A/r2.parquet": lambda v: v * 1.0,
    }
    found, runs = read(tmp_path, {name: spelt(table(3), kind) for name, kind in kinds.items()})
    assert found["classes"] == ["0", "1"] and "'1' and 'True' are read as one class." in found["notes"]
    assert (runs["A"].prediction == runs["A"].prediction[0]).all()


@pytest.mark.parametrize(
    "how", [{"sep": ";", "decimal": ","}, {"sep": "\t"}, {"encoding": "utf-16"}, {"encoding": "cp1252"}]
)
def test_other_separators_and_encodings_are_read_alike_and_noted(tmp_path, how):
    accents = lambda t: t.assign(gender=t.gender.replace("x", "né"))  # noqa: E731
    found, runs = read(tmp_path, four(accents, everywhere=True), **how)
    assert found["groups"]["gender"] == ["f", "m", "né"] and runs["A"].score.max() == 0.75
    assert ("Separator" in notes_of(found)) == ("sep" in how) and ("Encoding" in notes_of(found)) == ("encoding" in how)


def test_rows_in_another_order_are_matched_by_idx(tmp_path):
    _, expected = read(tmp_path / "straight", four())
    shuffled, runs = read(tmp_path / "shuffled", four(lambda t: t.sample(frac=1, random_state=0)))
    assert (runs["A"].prediction == expected["A"].prediction).all() and (runs["A"].score == expected["A"].score).all()
    assert "Rows put in the order of A/r0.csv, matched by idx (in 1 of 4 files)." in shuffled["notes"]


def test_text_may_name_the_rows(tmp_path):
    name = lambda t: t.assign(id="img " + t.id.astype(str))  # noqa: E731
    files = four(name, everywhere=True)
    files["Bee/r1.csv"] = files["Bee/r1.csv"].sample(frac=1, random_state=1)
    _, runs = read(tmp_path, files)
    assert (runs["Bee"].prediction[1] == (table(13).y_pred == "denied")).all()


def test_without_idx_rows_are_matched_by_position_with_a_note(tmp_path):
    found, runs = read(tmp_path, four(lambda t: t.drop(columns="id"), everywhere=True))
    assert "rows are matched by their place" in notes_of(found) and runs["A"].idx.tolist() == list(range(N))


def test_row_numbers_of_pandas_are_the_idx(tmp_path):
    frames = four(lambda t: t.drop(columns="id").iloc[::-1])
    frames = {k: t.drop(columns="id", errors="ignore") for k, t in frames.items()}
    found, runs = read(tmp_path, {name: t.to_csv() for name, t in frames.items()})
    assert (runs["A"].prediction[1] == (table(11).y_pred == "denied")).all() and "idx" in notes_of(found)


@pytest.mark.parametrize("to_one_file", [False, True])
def test_one_file_with_columns_run_and_technique_holds_all_runs(tmp_path, to_one_file):
    parts = [table(i).assign(run=i, model=name) for name in ("m1", "m2") for i in range(12)]
    folder = lay(tmp_path / "mine", {"all.csv": pd.concat(parts).sample(frac=1, random_state=0)})
    paths = ExperimentPaths(tmp_path / "out")
    found, write = normalise_predictions(folder / "all.csv" if to_one_file else folder, paths, Choices())
    write()
    assert [run["run"] for run in found["runs"]["m2"]] == [str(i) for i in range(12)]
    last = pd.read_parquet(tmp_path / "out/predictions/m2/run-11.parquet").sort_values("idx")
    assert (last.prediction.to_numpy() == (table(11).y_pred == "denied")).all()


def test_files_directly_in_the_folder_are_one_technique(tmp_path):
    found, _ = read(tmp_path, {f"run{i}.csv": table(i) for i in (2, 10, 1)})
    assert [run["file"] for run in found["runs"]["mine"]] == ["run1.csv", "run2.csv", "run10.csv"]
    assert default_name(tmp_path / "my results (2)") == "my-results-2"


def test_tables_that_are_not_read_are_listed(tmp_path):
    found, _ = read(tmp_path, {**four(), "summary.csv": table(), "A/notes.txt": "x"})
    assert "Not read: A/notes.txt and summary.csv." in found["notes"]


def test_several_label_lists_come_through(tmp_path):
    lists = pd.DataFrame({"idx": range(4), "sex": [0, 1, 0, 1]})
    lists["ground_truth"] = ["[0, 1]", "[1, 1]", "[0, 0]", "[1, 0]"]
    found, runs = read(tmp_path, {"T/a.csv": lists.assign(prediction="[1, 1]")})
    assert runs["T"].multilabel and found["classes"] == ["0", "1"]
    assert runs["T"].ground_truth.tolist() == [json.loads(cell) for cell in lists.ground_truth]


# Scores


def test_a_score_belongs_to_the_class_that_it_is_higher_for(tmp_path):
    found, runs = read(tmp_path, four())
    assert "Scores read as those of class approved: they are higher where it is predicted." in found["notes"]
    assert np.allclose(runs["A"].score[0], 1 - table(1).proba)  # the file's is of approved, ours of the later class


@pytest.mark.parametrize(("column", "of_denied"), [("proba_approved", False), ("P(denied)", True), ("score", None)])
def test_the_name_of_a_column_of_scores_gives_the_class(tmp_path, column, of_denied):
    files = four(lambda t: t.assign(proba=0.5 + t.index % 2 / 4).rename(columns={"proba": column}), everywhere=True)
    found, runs = read(tmp_path, files)
    score = 0.5 + np.arange(N) % 2 / 4
    if of_denied is not None:
        assert np.allclose(runs["A"].score[0], score if of_denied else 1 - score) and "columns say" in notes_of(found)


def test_scores_of_every_class_are_put_in_the_order_of_the_classes(tmp_path):
    both = lambda t: t.rename(columns={"proba": "score_b"}).assign(score_a=0.1, score_c=0.2)  # noqa: E731
    to = {"denied": "a", "approved": "b"}
    third = lambda t: both(t.assign(y_true=t.y_true.map(to).where(t.id != 105, "c"), y_pred=t.y_pred.map(to)))  # noqa: E731
    _, runs = read(tmp_path, four(third, everywhere=True))
    assert runs["A"].score.shape == (2, N, 3) and np.allclose(runs["A"].score[0][0], [0.1, table(1).proba[0], 0.2])


def test_a_score_that_cannot_be_used_is_noted(tmp_path):
    found, runs = read(tmp_path, four(), Choices(classes=("denied", "unclear", "approved")))
    assert runs["A"].score is None and "Scores not used: one number a row, but there are 3 classes." in found["notes"]


def test_scores_as_text_are_numbers(tmp_path):
    frame = table().assign(proba=table().proba.astype(str))
    assert read(tmp_path, {"T/a.parquet": frame})[1]["T"].score.max() == 0.75


# Classes that nobody is of


def test_declared_classes_may_be_predicted_though_never_true(tmp_path):
    files = four(lambda t: t.assign(y_pred=t.y_pred.where(t.id != 109, "unclear")))
    found, runs = read(tmp_path, files, Choices(classes=("denied", "unclear", "approved")))
    assert found["classes"] == ["denied", "unclear", "approved"] and runs["A"].prediction[1][9] == 1


def test_labels_that_differ_in_case_only_are_noted(tmp_path):
    found, _ = read(tmp_path, four(lambda t: t.assign(race=t.race.where(t.id % 5 > 0, t.race.str.upper())), True))
    assert found["groups"]["race"] == ["A", "B", "a", "b"] and "'A' and 'a' differ in case" in notes_of(found)


# Nothing is done twice


def test_the_same_files_and_choices_are_read_once(tmp_path, monkeypatch):
    first, _ = read(tmp_path, four())
    monkeypatch.setattr("fitlib.ingest.normalise.Reader", None)
    found, write = normalise_predictions(tmp_path / "mine", ExperimentPaths(tmp_path / "out"), Choices())
    write()
    assert found == first
    with pytest.raises(TypeError):
        normalise_predictions(
            tmp_path / "mine", ExperimentPaths(tmp_path / "out"), Choices(classes=("denied", "approved"))
        )


# Refusals


def test_files_without_a_line_of_names_are_read_with_those_given(tmp_path):
    files = {f"A/r{i}.data": table(i).to_csv(index=False, header=False) for i in range(2)}
    with pytest.raises(InputError, match=r"line 1.*--names A,B"):
        read(tmp_path, files)
    found, _ = read(tmp_path, files, Choices(names=tuple(table().columns)))
    named, _ = read(tmp_path / "named", {f"A/r{i}.csv": table(i) for i in range(2)})
    assert [found[part] for part in ("classes", "groups", "rows")] == [named[k] for k in ("classes", "groups", "rows")]


def with_commas(t):
    """Scores with decimal commas, one of them with an exponent."""
    cells = [f"{score:.6e}" if row == 3 else f"{score:.4f}" for row, score in enumerate(t.proba / 4)]
    return t.assign(proba=[cell.replace(".", ",") for cell in cells])


def test_decimal_commas_with_exponents_are_scores(tmp_path):
    found, stacked = read(tmp_path, four(with_commas, everywhere=True), sep=";")
    assert np.allclose(stacked["A"].score[0], 1 - table(1).proba / 4, atol=1e-4)
    assert "decimal comma in 1 column (proba)" in notes_of(found).lower()


def at(column, value, row=103):
    return lambda t: t.assign(**{column: t[column].where(t.id != row, value)})


def percent(t):
    return t.assign(proba=[f"{100 * p:.0f}%" for p in t.proba])


BAD = {
    "twice the same idx": (lambda t: t.assign(id=t.id.clip(upper=150)), ["id", "150", "same idx", "9 rows"]),
    "fewer rows": (lambda t: t.head(50), ["idx = 150", "10 rows of", "A/r0.csv missing"]),
    "other rows": (lambda t: t.assign(id=t.id + 7), ["idx = 160", "7 rows not in", "7 of its rows missing"]),
    "another truth": (
        lambda t: t.assign(y_true=t.y_true.to_numpy()[::-1]),
        ["ground_truth", "differs from", "first at idx"],
    ),
    "missing prediction": (
        lambda t: at("y_pred", None)(at("y_pred", "")(t)),
        ["y_pred", "missing in 1 of 60", "row 3"],
    ),
    "missing truth": (at("y_true", None), ["y_true", "missing in 1 of 60 rows", "the first row 3"]),
    "missing group": (at("race", "?"), ["race", "missing in 1 of 60 rows", "'?' read as missing"]),
    "one group": (lambda t: t.assign(race="a"), ["protected.race", "differs from"]),
    "hundreds of groups": (
        lambda t: pd.concat([t, t]).assign(id=range(2 * N), race=range(2 * N)),
        ["race", "120 different"],
    ),
    "never true": (
        at("y_pred", "maybe"),
        ["prediction = 'maybe'", "never in the ground truth", "1 row", "row 3", "--classes"],
    ),
    "another case": (at("y_pred", "Denied"), ["'Denied'", "did you mean 'denied'?"]),
    "scores as predictions": (lambda t: t.assign(y_pred=t.proba + 0.01), ["y_pred", "no class", "--column score"]),
    "percent": (percent, ["proba = ", "percent sign", "0 to 1"]),
    "scores of text": (at("proba", "high"), ["proba = 'high'", "not a number", "row 3"]),
    "another column": (lambda t: t.drop(columns="race"), ["protected.race", "r1.csv does not"]),
    "no scores": (lambda t: t.drop(columns="proba"), ["score", "of two runs only", "A/r0.csv"]),
    "no truth": (
        lambda t: t.drop(columns="y_true"),
        ["ground_truth", "missing", "--column ground_truth=NAME", "y_pred"],
    ),
    "two truths": (lambda t: t.assign(label=1), ["y_true and label could each", "--column ground_truth=y_true"]),
    "text for idx": (lambda t: t.assign(id="a" + t.id.astype(str)), ["id = 'a100'", "text, but not in", "A/r0.csv"]),
    "no rows": (lambda t: t.head(0), ["no rows"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_one_line(tmp_path, case):
    change, named = BAD[case]
    with pytest.raises(InputError) as error:
        read(tmp_path, four(change))
    text = str(error.value)
    assert "A/r1.csv" in text and "\n" not in text and not (tmp_path / "out").exists()
    assert [part for part in named if part not in text] == []


FOLDERS = {
    "runs without a column": ({"all.csv": pd.concat([table()] * 3)}, ["every idx is there 3 times", "--column run="]),
    "no files": ({"A/report.html": "x"}, ["no predictions in it"]),
    "the same name twice": ({"A/r0.csv": table(), "A/r0.parquet": table()}, ["r0.parquet", "same name"]),
    "lists in one technique": (
        {"A/r.csv": table(), "B/r.csv": table().assign(y_true="[0, 1]", y_pred="[1, 1]")}, ["lists", "one class a row"]
    ),
    "nothing protected": ({"A/r.csv": table()[["id", "y_true", "y_pred"]]}, ["protected", "--column protected=NAME"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_cannot_be_used_is_one_line(tmp_path, case):
    files, named = FOLDERS[case]
    with pytest.raises(InputError) as error:
        read(tmp_path, files)
    assert [part for part in named if part not in str(error.value)] == []


# Roles and values


def test_columns_given_win_over_headings_and_usual_names():
    given = parse_column_roles(["ground_truth=két éve", "protected=Sex", "protected.origin=race"])
    found = roles_of("f", ["id", "két éve", "y_true", "y_pred", "Sex", "race", "gender"], given, ())
    assert found == given | {"idx": "id", "prediction": "y_pred"}
    assert given == {"ground_truth": "két éve", "protected.Sex": "Sex", "protected.origin": "race"}
    with pytest.raises(InputError, match="did you mean 'y_true'"):
        roles_of("f", ["y_true", "y_pred"], {"ground_truth": "Y-true"}, ())


@pytest.mark.parametrize("given", ["y_true", "truth=y", "prediction.a=b", "idx="])
def test_what_is_no_role_and_column_is_refused(given):
    with pytest.raises(InputError, match="write ROLE=NAME with a role of idx, ground_truth"):
        parse_column_roles([given])


@pytest.mark.parametrize(
    ("column", "role"),
    [
        ("score", "score"),
        ("y_prob", "score"),
        ("proba_-1", "score.-1"),
        ("prob.>50K", "score.>50K"),
        ("P(yes)", "score.yes"),
    ],
)
def test_columns_of_scores_are_found_by_their_names(column, role):
    assert role in roles_of("f", ["y_true", "y_pred", "sex", column], {}, ())
    assert not any("score" in r for r in roles_of("f", ["y_true", "y_pred", "sex", "problem", "price", "p"], {}, ()))


def test_one_value_has_one_key():
    assert {key_of(v) for v in (1, 1.0, True, "1", "1.0", "true", np.float64(1).item())} == {1}
    assert key_of("01") == "01" and key_of(" yes ") == "yes" and key_of("1e3") == "1e3"


def test_numbers_come_before_text_and_in_their_order():
    words = Vocabulary("class", 10)
    for value in ("b", 10, "a", 2, -1):
        words.code(value)
    found = words.finish()
    assert found.names == ("-1", "2", "10", "a", "b") and found.numbers.tolist() == [4, 2, 3, 1, 0]
