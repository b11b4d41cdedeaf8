"""Predictions in another code than the ground truth are refused with the mapping that translates them."""

import shlex

import numpy as np
import pandas as pd
import pytest

import fitlib
from fitlib.cli.arguments import value_map
from fitlib.errors import InputError
from fitlib.ingest.choices import Choices
from tests.ingest.test_normalise import notes_of, read

CODES = {
    "numbers for text": (["<=50K", ">50K"], [0, 1], "--map='0=<=50K' --map='1=>50K'"),
    "-1 and 1 for 0 and 1": ([0, 1], [-1, 1], "--map=-1=0"),
    "booleans for yes and no": (["no", "yes"], [False, True], "--map=False=no --map=True=yes"),
    "1 and 2 for 0 and 1": ([0, 1], [1, 2], "--map=1=0 --map=2=1"),
}


def files(true, predicted):
    """Two runs; the predictions agree with the truth in all but one of eight rows."""
    place = np.arange(8) % 2
    wrong = [np.where(np.arange(8) == run, 1 - place, place) for run in range(2)]
    columns = {"y_true": np.array(true)[place], "sex": ["F", "F", "M", "M"] * 2}
    return {f"B/r{run}.csv": pd.DataFrame(columns | {"y_pred": np.array(predicted)[p]}) for run, p in enumerate(wrong)}


@pytest.mark.parametrize("case", CODES)
def test_the_offered_mapping_makes_the_predictions_right(tmp_path, case):
    true, predicted, offered = CODES[case]
    with pytest.raises(InputError, match="another code than the ground truth") as refused:
        read(tmp_path, files(true, predicted))
    assert offered in str(refused.value)
    options = [part.removeprefix("--map=") for part in shlex.split(offered)]
    found, stacked = read(tmp_path, files(true, predicted), Choices(map=value_map(options)))
    assert found["classes"] == list(map(str, true)) and "read as given by --map" in notes_of(found)
    assert (stacked["B"].prediction == stacked["B"].ground_truth).mean() == 7 / 8


def test_declared_classes_do_not_hide_that_nothing_agrees(tmp_path):
    with pytest.raises(InputError, match="another code"):
        read(tmp_path, files(["<=50K", ">50K"], [0, 1]), Choices(classes=("<=50K", ">50K", "0", "1")))


@pytest.mark.parametrize("given", [["1"], ["=a"], ["1="], ["1=a", "1=b"]])
def test_what_is_no_mapping_is_refused(given):
    with pytest.raises(InputError, match="--map"):
        value_map(given)


def test_a_mapped_value_that_no_prediction_has_is_refused(tmp_path):
    with pytest.raises(InputError, match="no prediction has this value"):
        read(tmp_path, files([0, 1], [0, 1]), Choices(map={"7": "1"}))


@pytest.mark.parametrize("case", CODES)
def test_arrays_in_two_codes_are_refused(case):
    true, predicted, _ = CODES[case]
    place = np.arange(8) % 2
    with pytest.raises(InputError, match=r"another code than y_true.*write the predictions with the values of y_true"):
        fitlib.analyze(np.array(true)[place], np.array(predicted)[place], sensitive_features=place)


def test_the_same_arrays_in_one_code_are_analysed():
    place = np.arange(8) % 2
    assert fitlib.analyze(place, place[::-1], sensitive_features=np.repeat([0, 1], 4)).plan["classes"] == ["0", "1"]
