"""fitlib init: from an unknown table to an experiment file that can be planned."""

import csv

import numpy as np
import pyarrow as pa
import pytest

from fitlib.cli.main import main
from fitlib.datasets.tabular import column_guesses, column_vocabulary
from fitlib.errors import InputError
from fitlib.experiment.init_from_table import describe_guesses, experiment_file, inspect_table, scalar, write_experiment
from fitlib.experiment.parse import make_experiment
from fitlib.yaml_files import parse_yaml

HARD_NAMES = [
    "Durée du séjour",
    'größe "brutto": in €',
    "it's # not a comment",
    "- a, [b] {c}",
    "&anchor *alias !tag",
    "%percent @at `tick`",
    "yes",
    "null",
    "1e5",
    "2020-01-01",
    "Name: {x: 1}",
    "😀 mood",
    "a\u2028b\\n",
]


def table_of(tmp_path, columns, name="people.csv"):
    """Write columns {name: values} as CSV; its path."""
    path = tmp_path / name
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def people(rows=600, seed=0, **more):
    """Columns of a made-up table: a date, a constant, an identifier, missing values, a string target, three groups."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["divers", "männlich", "weiblich"], rows, p=[0.2, 0.4, 0.4])
    score = np.round(rng.normal(size=rows) + (group == "weiblich"), 3)
    return {
        "Kunden-Nr.": [f"K{i:06d}" for i in range(rows)],
        "Geburts datum": [f"{d:02d}.{m:02d}.1980" for d, m in rng.integers(1, 12, (rows, 2))],
        "Geschlecht": group.tolist(),
        "Punkte (Prüfung)": ["" if i % 7 == 0 else value for i, value in enumerate(score.tolist())],
        "Stadt, Bezirk": rng.choice(["Nord", "Süd", "?"], rows).tolist(),
        "Konstante": ["x"] * rows,
        **{name: rng.choice([f"{name} 1", "b", "c"], rows).tolist() for name in HARD_NAMES},
        "Kredit bewilligt": np.where(score + rng.normal(size=rows) > 0.4, "ja", "nein").tolist(),
        **more,
    }


@pytest.fixture
def looked(tmp_path):
    """A function that looks over a table of columns."""
    return lambda columns, target=None, protected=(): inspect_table(
        table_of(tmp_path, columns), target, list(protected)
    )


def planned(found, path):
    """The experiment that the file of what was found describes."""
    return make_experiment(parse_yaml(experiment_file(found, "people", path)), str(path), "people")


def test_an_unknown_table_becomes_an_experiment_that_can_be_planned(looked, tmp_path):
    found = looked(people())
    assert found.target.look.name == "Kredit bewilligt"
    assert [guess.look.name for guess in found.protected] == ["Geschlecht"]
    assert found.favourable[0] == "ja"
    assert list(found.dropped) == ["Kunden-Nr.", "Geburts datum", "Konstante"]
    names = {feature.name for feature in found.features}
    assert names == {"Punkte (Prüfung)", "Stadt, Bezirk", *(" ".join(name.split()) for name in HARD_NAMES)}
    experiment = planned(found, tmp_path / "p.yaml")
    (family,) = experiment.families
    assert list(family.classes) == ["ja", "nein"]
    assert {name: list(of) for name, of in family.groups.items()} == {"Geschlecht": ["divers", "männlich", "weiblich"]}
    assert len(experiment.techniques) == 6


def test_two_groups_and_two_classes_get_the_penalties_of_the_favourable_class(looked, tmp_path):
    found = looked(people(sex=["a", "b"] * 300), protected=["sex"])
    experiment = planned(found, tmp_path / "p.yaml")
    assert len(experiment.techniques) == 8
    methods = [spec.settings["method"] for spec in experiment.trainings]
    assert [method["positive"] for method in methods if "positive" in method] == [0, 0]  # "ja" comes before "nein"


@pytest.mark.parametrize("name", [*HARD_NAMES, "~", "", " x ", "a: b", "0x1F", "1_000", "012", "é" * 200, "tab\there"])
def test_every_name_is_read_back_from_yaml_as_it_was(name):
    assert parse_yaml(f"- {scalar(name)}") == [name]
    assert parse_yaml(f"{{{scalar(name)}: [{scalar(name)}, 1]}}") == {name: [name, 1]}
    assert "\n" not in scalar(name)


def test_hard_names_stay_valid_yaml_in_every_role(tmp_path):
    for place, name in enumerate(HARD_NAMES):
        columns = {name: ["u", "v"] * 200, HARD_NAMES[place - 1]: [1, 2, 3, 4] * 100, "z": list(range(0, 1200, 3))}
        found = inspect_table(table_of(tmp_path, columns), name, [HARD_NAMES[place - 1]])
        data = parse_yaml(experiment_file(found, "n", tmp_path / "it's.yaml"))["data"]
        assert data["target"] == " ".join(name.split())
        assert data["protected"] == [" ".join(HARD_NAMES[place - 1].split())]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Sex", "sex"),
        ("patient_gender", "sex"),
        ("GeschlechtKunde", "sex"),
        ("Sexo del solicitante", "sex"),
        ("RAC1P", "race"),
        ("Ethnicité", "race"),
        ("ethnic group", "race"),
        ("Religionszugehörigkeit", "religion"),
        ("isDisabled", "disability"),
        ("Staatsangehörigkeit", "nationality"),
        ("Âge", "age"),
        ("性别", "sex"),
        ("language", None),
        ("marital-status", None),
        ("average", None),
        ("trace", None),
    ],
)
def test_protected_attributes_are_known_by_name_in_several_languages(name, kind):
    assert column_vocabulary.kind_of_attribute(name) == kind


@pytest.mark.parametrize(
    "name", ["target", "Label", "y", "two_year_recid", "bewilligt", "Résultat", "loan_status", "objetivo"]
)
def test_targets_are_known_by_name_in_several_languages(looked, name):
    found = looked({"sex": ["a", "b"] * 100, name: ["u", "u", "v", "v"] * 50, "other": ["m", "n", "n", "m"] * 50})
    assert found.target.look.name == name
    assert found.target.others == ("other",)


def test_a_column_that_says_it_is_protected_is_believed(looked):
    columns = {"y": ["yes", "no"] * 50, "protected": ["a", "a", "b", "b"] * 25, "u": [1, 2, 3, 4, 5] * 20}
    assert [guess.look.name for guess in looked(columns).protected] == ["protected"]


def test_a_target_is_known_by_its_type_where_names_say_nothing(looked):
    columns = {"sex": ["a", "b"] * 100, "thing": ["u", "u", "v", "v"] * 50, "n": list(range(0, 600, 3))}
    assert looked(columns).target.why == "the only column with two values"
    columns["more"] = ["m", "n", "n", "m"] * 50
    assert looked(columns).target.look.name == "more"


NO_TARGET = {"sex": ["a", "b"] * 50, "u": [0, 1] * 50, "v": [0, 1] * 50, "n": [1, 2, 3, 4] * 25}
NO_ATTRIBUTE = {"q": ["a", "b"] * 50, "w": ["d", "e", "f", "g"] * 25, "label": ["x", "y"] * 50}


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (NO_TARGET, "target; candidates: u, v; name"),
        (NO_ATTRIBUTE, "attribute; candidates: q, w; name"),
        ({"age sex y": ["30 f 1", "40 m 0"]}, "only one column was found"),
    ],
)
def test_where_nothing_can_be_guessed_one_line_names_the_candidates(tmp_path, capsys, columns, words):
    path = table_of(tmp_path, columns)
    assert main(["init", str(path), "--out", str(tmp_path / "p.yaml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "p.yaml").exists()


@pytest.mark.parametrize(
    ("column", "values", "favourable"),
    [
        ("income", [">50K", "<=50K"], ">50K"),
        ("hired", ["1", "0"], "1"),
        ("loan approved", ["True", "False"], "True"),
        ("y", ["yes", "no"], "yes"),
        ("credit_risk", ["good", "bad"], "good"),
        ("default", ["yes", "no"], "no"),
        ("fraud", ["1", "0"], "0"),
        ("Churn", ["False", "True"], "False"),
        ("two_year_recid", ["0", "1"], "0"),
        ("dropout", ["a", "b"], None),
        ("y", ["1", "0"], None),
        ("hypertension", ["yes", "no"], None),
        ("label", ["b", "a"], None),
    ],
)
def test_the_favourable_class_is_guessed_only_where_it_is_clear(looked, tmp_path, column, values, favourable):
    found = looked(people(**{column: (values * 300)[:600]}), column)
    assert found.favourable[0] == favourable
    declared = parse_yaml(experiment_file(found, "n", tmp_path / "p.yaml"))["analysis"]["favourable"]
    assert declared == favourable
    if favourable is not None:
        assert list(found.classes)[found.positive] == favourable


def test_numbers_are_cut_at_the_median_where_they_are_the_target(looked, tmp_path):
    found = looked(people(wage=[float(i % 97) + 0.5 for i in range(600)]), "wage")
    assert found.cut == "> 46.5"
    (family,) = planned(found, tmp_path / "p.yaml").families
    assert list(family.classes) == list(found.classes) == ["<= 46.5", "> 46.5"]
    skewed = looked(people(wage=[0] * 100 + [float(i) for i in range(100)] + [1000] * 400), "wage")
    assert skewed.cut == "> 99" and min(skewed.classes.values()) > 0


def test_an_age_becomes_ranges_and_other_numbers_thirds(looked, tmp_path):
    rng = np.random.default_rng(0)
    columns = people(Alter=rng.integers(18, 80, 600).tolist(), n=rng.normal(size=600).tolist())
    del columns["Geschlecht"]
    found = looked(columns)
    assert found.groups[0].bins == [25, 45]
    assert list(planned(found, tmp_path / "p.yaml").families[0].groups["Alter"]) == ["< 25", "25 to < 45", ">= 45"]
    found = looked(columns, protected=["n"])
    assert len(found.groups[0].sizes) == 3
    assert max(found.groups[0].sizes.values()) - min(found.groups[0].sizes.values()) < 10


def test_rare_groups_are_put_together_or_left_out_so_that_each_has_members_in_both_parts(looked, tmp_path):
    race = ["A"] * 300 + ["B"] * 200 + [f"r{i % 9}" for i in range(90)] + ["s"] * 10
    found = looked(people(race=race), protected=["race"])
    assert found.groups[0].sizes == {"A": 300, "B": 200, "other": 100}
    assert list(planned(found, tmp_path / "p.yaml").families[0].groups["race"]) == ["A", "B", "other"]
    found = looked(people(race=["A"] * 300 + ["B"] * 290 + ["s"] * 10), protected=["race"])
    assert found.groups[0].merged == {"A": ["A"], "B": ["B"]}
    assert found.groups[0].left_out == ("s",)
    assert any("too rare, left out: s" in line for line in describe_guesses(found))


def test_small_tables_and_attributes_with_gaps_are_taken_where_there_is_nothing_else(looked, tmp_path):
    tiny = looked({"sex": ["m", "f"] * 20, "x": list(range(0, 120, 3)), "y": [0, 1, 1, 0] * 10})
    assert tiny.groups[0].sizes == {"f": 20, "m": 20}
    gaps = {"gender": ["m", "f", ""] * 200, "z": [0.5, 1, 2, 3, 4] * 120, "outcome": ["u", "v", "v", "u"] * 150}
    assert [guess.look.name for guess in looked(gaps).protected] == ["gender"]
    assert [guess.look.name for guess in looked({**gaps, "race": ["a", "b", "c"] * 200}).protected] == ["race"]
    assert any("200 rows without it left out" in line for line in describe_guesses(looked(gaps)))


def test_groups_that_one_part_lacks_are_refused(tmp_path):
    columns = {
        "sex": ["m"] * 70 + ["f"] * 30,
        "set": ["train"] * 70 + ["test"] * 30,
        "x": [1, 2] * 50,
        "y": [1, 0] * 50,
    }
    with pytest.raises(InputError, match="2 rows in each part"):
        inspect_table(table_of(tmp_path, columns), "y", [])


def test_a_table_without_features_is_refused(tmp_path):
    columns = {"sex": ["m", "f"] * 50, "c": ["k"] * 100, "id": list(range(100)), "y": [0, 1, 1, 0] * 25}
    with pytest.raises(InputError, match=r"no column is left as a feature \(c: the same value in every row; id: "):
        inspect_table(table_of(tmp_path, columns), None, [])


def test_a_column_that_names_the_parts_is_used(looked, tmp_path):
    part = ["Train", "Train", "Test", "val"] * 150
    found = looked(people(**{"Which part": part}))
    data = parse_yaml(experiment_file(found, "n", tmp_path / "p.yaml"))["data"]
    assert (data["split"], data["test"], data["validation"]) == ("Which part", ["Test"], ["val"])
    assert "test_share" not in data
    assert planned(found, tmp_path / "p.yaml")


def test_persons_with_several_rows_are_a_test_unit(looked, tmp_path):
    found = looked(people(**{"Patienten-ID": [i // 3 for i in range(600)]}))
    assert found.unit.name == "Patienten-ID"
    assert planned(found, tmp_path / "p.yaml")
    assert looked(people(**{"Patienten-ID": [5 * i for i in range(600)]})).unit is None


def test_what_tells_the_target_and_what_numbers_the_rows_is_left_out(looked):
    columns = people()
    yes = np.array(columns["Kredit bewilligt"]) == "ja"
    rng = np.random.default_rng(1)
    columns["Entscheidungscode"] = np.where(yes, rng.choice(["a", "b"], 600), "c").tolist()
    columns["Betrag"] = (np.where(yes, 1000.5, 0) + rng.normal(size=600)).tolist()
    columns["row id"] = rng.permutation(np.arange(600) * 7).tolist()
    columns["Anmerkung"] = [f"text {i * 2 // 3}" for i in range(600)]
    dropped = looked(columns).dropped
    assert "tells the target" in dropped["Entscheidungscode"]
    assert "tells the target" in dropped["Betrag"]
    assert "identifier" in dropped["row id"]
    assert "free text" in dropped["Anmerkung"]
    assert "Punkte (Prüfung)" not in dropped


def test_numbers_called_codes_are_categories(looked):
    found = looked(people(Branche=[i % 7 for i in range(600)], Kinder=[i % 4 for i in range(600)]))
    assert [look.name for look in found.categorical] == ["Branche"]


def test_the_command_writes_once_tells_its_guesses_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table_of(tmp_path, people(), "Kunden (größte).csv")
    assert main(["init", "Kunden (größte).csv"]) == 0
    output = capsys.readouterr().out
    for words in (
        "target: Kredit bewilligt (guessed",
        "protected: Geschlecht (guessed",
        "ja (guessed",
        "Konstante (the same",
    ):
        assert words in output
    assert "'?' read as missing" in output
    written = tmp_path / "params" / "Kunden-grosste.yaml"
    assert f"fitlib run {written.relative_to(tmp_path)}" in output
    assert main(["plan", str(written)]) == 0
    assert main(["init", "Kunden (größte).csv"]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["init", "Kunden (größte).csv", "--replace", "--target", "yes", "--protected", "Stadt, Bezirk"]) == 0
    data = parse_yaml(written.read_text())["data"]
    assert (data["target"], data["protected"]) == ("yes", ["Stadt, Bezirk"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "Kredit bewiligt"], "did you mean"),
        (["--target", "Konstante"], "fewer than two values"),
        (["--target", "Geburts datum"], "dates and lists are no classes"),
        (["--protected", "Geburts datum"], "no groups"),
        (["--protected", "Konstante"], "fewer than two of its values (1)"),
        (["--protected", "Kredit bewilligt"], "it is the target"),
        (["--protected", "Geschlecht", "--protected", "Geschlecht"], "given twice"),
        (["--protected", "Kunden-Nr."], "fewer than two of its values (600)"),
    ],
)
def test_impossible_wishes_are_refused_in_one_line(tmp_path, capsys, arguments, words):
    path = table_of(tmp_path, people())
    assert main(["init", str(path), "--out", str(tmp_path / "p.yaml"), *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_path_that_an_experiment_file_would_change_is_refused(tmp_path):
    with pytest.raises(InputError, match="rename the table"):
        write_experiment(table_of(tmp_path, people(), "a$b.csv"), None, [], tmp_path / "p.yaml")


def test_looks_know_kinds_missing_values_and_counts():
    look = column_guesses.profile_column("n", pa.chunked_array([pa.array([2.0, None, 1.0, 2.0])]))
    assert (look.kind, look.missing, look.counts) == ("whole", 1, ((1.0, 1), (2.0, 2)))
    assert look.codes.tolist() == [1, -1, 0, 1]
    assert column_guesses.profile_column("n", pa.chunked_array([pa.array([0.5])])).kind == "number"
    assert column_guesses.profile_column("n", pa.chunked_array([pa.array([[0, 1]])])).kind == "other"
    assert column_guesses.profile_column("n", pa.chunked_array([pa.array([None, None], pa.string())])).distinct == 0


def test_the_public_tables_are_understood(data_dir, tmp_path):
    expected = {
        "adult.csv": ("income", ["sex", "race"], ">50K"),
        "compas_filtered.csv": ("two_year_recid", ["sex", "race"], "0"),
        "ACSIncome_100k.csv.gz": ("PINCP", ["SEX", "RAC1P"], "1"),
    }
    for name, (target, protected, favourable) in expected.items():
        found = inspect_table(data_dir / "data" / "tabular" / name, None, [])
        assert found.target.look.name == target
        assert [guess.look.name for guess in found.protected] == protected
        assert found.favourable[0] == favourable


def test_the_last_column_of_two_values_goes_before_a_part_of_a_name(looked):
    columns = {
        "income_share": [1, 2, 3, 4] * 30,
        "month": [1, 2, 3] * 40,
        "sex": ["F", "M"] * 60,
        "credit": [1, 2, 2] * 40,
    }
    assert looked(columns).target.look.name == "credit"
    assert looked({"income": [1, 2] * 60, **columns}).target.look.name == "income"
    assert looked(columns | {"credit": [1, 2, 3] * 40}).target.look.name == "income_share"
    assert looked({"default_history": [0, 0, 1] * 40, **columns}).target.look.name == "credit"
    assert looked({"two_year_recid": [0, 0, 1] * 40, **columns}).target.look.name == "two_year_recid"


def test_columns_that_nearly_tell_the_target_and_names_of_persons_are_pointed_out(looked, tmp_path):
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 200)
    leak, noise = np.where(np.arange(200) < 4, 1 - target, target), np.where(rng.random(200) < 0.2, 1 - target, target)
    columns = {
        "first": [f"Name {i}" for i in rng.integers(0, 20, 200)],
        "visit_id": rng.integers(0, 150, 200).tolist(),
        "sex": ["F", "M"] * 100,
        "before": leak.tolist(),
        "noisy": noise.tolist(),
        "recid": target.tolist(),
    }
    found = looked(columns, "recid")
    lines = describe_guesses(found)
    assert "left out: first (names or contacts of persons)" in lines
    careful = [line for line in lines if line.startswith("careful")]
    assert [line.split(",")[0] for line in careful] == ["careful: visit_id", "careful: before"]
    assert "in 196 of 200 rows" in careful[1]
    text = experiment_file(found, "n", tmp_path / "p.yaml")
    assert "before nearly tells the target" in text and parse_yaml(text)["data"]["drop"] == ["first"]


def test_names_given_for_a_table_without_any_are_written_down(tmp_path):
    path = tmp_path / "people.data"
    path.write_text("".join(f"{20 + i % 7}, {'FM'[i % 2]}, {'yes' if i % 3 else 'no'}\n" for i in range(90)))
    with pytest.raises(InputError, match="--names"):
        inspect_table(path, None, [])
    found = inspect_table(path, None, [], ["age", "sex", "hired"])
    declared = parse_yaml(experiment_file(found, "n", tmp_path / "p.yaml"))["data"]
    assert declared["names"] == ["age", "sex", "hired"] and found.favourable[0] == "yes"
    (family,) = planned(found, tmp_path / "p.yaml").families
    assert list(family.classes) == ["no", "yes"]
