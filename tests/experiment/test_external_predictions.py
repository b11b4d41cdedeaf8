"""The plan of predictions made elsewhere: favourable class, copies."""

from fitlib.experiment.external_predictions import _class_number, _copies


def test_a_class_is_found_by_its_name_or_number():
    assert [_class_number(given, ["-1", "1"]) for given in ("-1", "1", "1.0", "0")] == [0, 1, 1, None]
    assert [_class_number(given, ["no", "yes"]) for given in ("yes", "1", "2", "Yes")] == [1, 1, None, None]


def test_files_that_are_copies_are_reported():
    sentences = _copies({"A": ["x", "y"], "B": ["x", "x", "x"], "C": ["x", "x", "y"]}, ["A", "B", "C"])
    assert sentences[0].startswith("B: only 1 of 3 files differ (SHA-256)") and "enter no test" in sentences[0]
    assert sentences[1].startswith("C: only 2 of 3 files differ") and "count every file as a run" in sentences[1]
