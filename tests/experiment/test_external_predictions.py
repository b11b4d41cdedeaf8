"""The plan of predictions made elsewhere: favourable class, copies."""

from fitlib.experiment.external_predictions import ARM, _class_number, _copies


def test_a_class_is_found_by_its_name_or_number():
    assert [_class_number(given, ["-1", "1"]) for given in ("-1", "1", "1.0", "0")] == [0, 1, 1, None]
    assert [_class_number(given, ["no", "yes"]) for given in ("yes", "1", "2", "Yes")] == [1, 1, None, None]


def test_runs_that_decide_alike_are_reported():
    digests = {"A": ["x", "y"], "B": ["x", "x", "x"], "C": ["x", "x", "y"]}
    first, second = _copies({name: {ARM: of} for name, of in digests.items()}, ["A", "B", "C"])
    assert first.startswith("B: only 1 of 3 runs differ in any decision (SHA-256)") and "enter no test" in first
    assert second.startswith("C: only 2 of 3 runs differ") and "count every one as a run" in second
