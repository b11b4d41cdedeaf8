"""Numbers as people read them."""

from __future__ import annotations

import pytest

from fitlib.formatting import points, power, probability
from fitlib.report.vocabulary import data_name, epoch, retraining_conditions


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.0321, "−3.21"),
        (4e-5, "0.004"),
        (1e-9, "1.0×10⁻⁷"),
        (float("nan"), "not estimable"),
        (None, "not estimable"),
    ],
)
def test_points(value: float | None, text: str) -> None:
    assert points(value) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(3.3e-9, "3.3×10⁻⁹"), (0.0312, "0.031"), (0.25, "0.25"), (0.999, "> 0.99"), (1.0, "1"), (float("nan"), "no test")],
)
def test_probability(p: float, text: str) -> None:
    assert probability(p) == text


def test_power_is_never_certainty() -> None:
    assert power(1.0) == "> 0.99" and power(float("nan")) == "–"


def test_retraining_is_named_as_far_as_the_seed_is_known() -> None:
    arm = {"arm": "ulp", "role": "main", "seed": 0, "kind": "emulated"}
    assert retraining_conditions({"arms": [arm]}) == "with the same seed"
    unknown = {"arms": [{**arm, "kind": "unknown", "seed": None}]}
    assert retraining_conditions(unknown) == "under the same conditions (seed not recorded)"


@pytest.mark.parametrize(("data", "name"), [({"name": "toy"}, "toy"), ({"name": "unknown"}, ""), ({}, "")])
def test_a_data_set_without_a_name_gets_none(data: dict, name: str) -> None:
    assert data_name({"data": data}) == name


def test_a_table_or_folder_of_one_s_own_is_named_by_itself() -> None:
    assert data_name({"data": {"name": "table", "file": "$DATA/people.csv"}}) == "people.csv"
    assert data_name({"data": {"name": "images", "root": "faces/"}}) == "faces"
    assert data_name({"data": {"name": "celeba", "root": "faces"}}) == "celeba"


def test_the_epoch_that_predicts_is_the_one_that_the_training_selects() -> None:
    last, best = {"technique": "A", "select": "last"}, {"technique": "B", "select": "best-f1"}
    assert epoch({"source": "fitlib", "techniques": [last]}) == ", last epoch"
    assert epoch({"source": "fitlib", "techniques": [best]}) == ", epoch with the best validation macro-F1"
    assert epoch({"source": "fitlib", "techniques": [last, best]}) == (
        ", last epoch (A) or epoch with the best validation macro-F1 (B)"
    )
    assert epoch({"source": "elsewhere", "techniques": [last]}) == ""
