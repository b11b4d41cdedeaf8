"""fitlib.metrics.individuals: churn, ambiguity, gaps between groups and their intervals."""

import itertools
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from fitlib.metrics import individuals as ind
from fitlib.metrics.long_tables import PERSON_COLUMNS
from fitlib.storage.predictions import write_table
from fitlib.tables import schemas
from fitlib.tables.individuals import individuals, thresholds
from tests.support.person_data import persons_of, plan_of, predictions, simulated

pytestmark = pytest.mark.filterwarnings("error")
quick = settings(max_examples=60, deadline=None)
runs_of_rows = some.integers(2, 7).flatmap(
    lambda n: some.lists(some.lists(some.integers(0, 3), min_size=n, max_size=n), min_size=1, max_size=6)
)


def rows_of(p, resamples: int = 200, seed: int = 0) -> dict:
    """(quantity, target, group, at) -> (value, low, high)."""
    found = ind.individual_rows(p, "sex", np.random.default_rng(seed), resamples)
    return {(r["quantity"], r["target"], r["group"], r["at"]): (r["value"], r["low"], r["high"]) for r in found}


# Churn and ambiguity


@quick
@given(runs_of_rows)
def test_churn_is_the_share_of_pairs_of_runs_that_disagree(rows: list[list[int]]) -> None:
    literal = [np.mean([a != b for a, b in itertools.combinations(row, 2)]) for row in rows]
    prediction = np.array(rows).T
    assert ind.churn(prediction, 4) == pytest.approx(literal)
    assert ind.churn_of_votes(ind.vote_counts(prediction, 4)) == pytest.approx(literal)
    assert ind.churn(prediction.astype(np.int8), 4) == pytest.approx(literal)


def test_churn_in_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    prediction = np.random.default_rng(0).integers(0, 5, (6, 101))
    whole = ind.churn(prediction, 5)
    monkeypatch.setattr(ind, "MOST_CELLS", 42)
    assert np.array_equal(ind.churn(prediction, 5), whole)


@quick
@given(runs_of_rows)
def test_ambiguity_is_the_mean_over_all_choices_of_runs(rows: list[list[int]]) -> None:
    votes, n = ind.vote_counts(np.array(rows).T, 4), len(rows[0])
    for m in range(2, n + 1):
        mixed = [len({row[i] for i in chosen}) > 1 for row in rows for chosen in itertools.combinations(range(n), m)]
        assert ind.ambiguity(votes, m) == pytest.approx(float(Fraction(sum(mixed), len(mixed))))
    assert ind.ambiguity(votes, 2) == pytest.approx(ind.churn_of_votes(votes).mean())


def test_too_few_runs_have_a_defined_answer() -> None:
    assert (
        np.isnan(ind.churn(np.zeros((1, 3), dtype=int), 2)).all()
        and ind.churn(np.zeros((3, 0), dtype=int), 2).size == 0
    )
    assert np.isnan(ind.churn_of_votes(np.array([[1, 0]]))).all() and np.isnan(ind.ambiguity(np.zeros((0, 2)), 2))
    for runs in (1, 4):
        with pytest.raises(ValueError, match="needs 2 to 3"):
            ind.ambiguity(np.array([[3, 0]]), runs)


# Groups


def test_a_group_is_not_blamed_for_its_harder_classes() -> None:
    """Class 1 flips in half of the runs, class 0 never; group 1 has more of class 1, and nothing else differs."""
    truth = np.array([0] * 30 + [1] * 10 + [0] * 10 + [1] * 30)
    group = np.repeat([0, 1], 40)
    prediction = np.where(truth == 1, np.arange(6)[:, None] % 2, 0)
    found = rows_of(predictions(prediction, truth, group))
    assert found["share never", None, 0, None][0] == 0.75 and found["share never", None, 1, None][0] == 0.25
    assert found["churn gap", None, 1, None][0] == pytest.approx(0)
    assert found["churn", None, 0, None][0] == pytest.approx(found["churn", None, None, None][0])


def test_gaps_of_two_groups_are_each_others_negative() -> None:
    found = rows_of(simulated(0))
    for target in (None, 0, 1):
        (a, low, high), (b, *ends) = (found["churn gap", target, g, None] for g in (0, 1))
        assert a == pytest.approx(-b) and (low, high) == pytest.approx((-ends[1], -ends[0]))
        own = [found["churn", target, g, None][0] for g in (0, 1)]
        assert a == pytest.approx(own[0] - own[1])


def test_a_class_that_one_group_lacks_is_left_out_of_the_gap() -> None:
    prediction = np.array([[0, 0, 2, 1], [0, 1, 0, 1], [0, 1, 2, 1]])
    found = rows_of(predictions(prediction, truth := np.array([0, 0, 2, 0]), [0, 1, 1, 1], classes=3))
    assert len(truth) == 4 and np.isnan(found["churn gap", 2, 1, None][0]) and np.isnan(found["churn", 1, 0, None][0])
    assert found["churn gap", None, 1, None][0] == pytest.approx(1 / 3)  # rows 1 and 3 against row 0


def test_labels_are_cells() -> None:
    rng = np.random.default_rng(0)
    labels, truth = rng.integers(0, 2, (5, 40, 3)), rng.integers(0, 2, (40, 3))
    found = rows_of(predictions(labels, truth))
    literal = ind.churn(labels.reshape(5, -1), 2).reshape(40, 3)
    assert found["churn", None, None, None][0] == pytest.approx(literal.mean())
    assert found["rows", None, None, None][0] == 120 and found["rows", 2, 0, None][0] == 20
    for label in range(3):
        assert found["churn", label, None, None][0] == pytest.approx(literal[:, label].mean())
    group, weight, means = np.arange(40) % 2, [], []
    for t in (0, 1):
        of = truth[:, 1] == t
        means.append(literal[of & (group == 0), 1].mean() - literal[of & (group == 1), 1].mean())
        weight.append(of.sum())
    assert found["churn gap", 1, 0, None][0] == pytest.approx(np.average(means, weights=weight))


# Intervals


def test_draws_count_pairs_of_different_runs_only() -> None:
    decisions = ind.decisions_of(simulated(3, runs=5, rows=30), "sex")
    varying = np.flatnonzero(decisions.disagreeing)
    drawn = np.array([[2, 0, 1, 1, 1], [5, 0, 0, 0, 0], [0, 3, 0, 2, 0]])
    found = ind._churn_of_draws(drawn, *ind._vote_columns(decisions, varying), varying.size)
    for weights, row in zip(drawn, found, strict=True):
        chosen = np.repeat(np.arange(5), weights)
        pairs = [(a, b) for a, b in itertools.combinations(chosen, 2) if a != b]
        literal = [
            np.mean([decisions.choice[a, i] != decisions.choice[b, i] for a, b in pairs]) if pairs else np.nan
            for i in varying
        ]
        assert row == pytest.approx(literal, nan_ok=True)


def test_resampling_has_no_bias() -> None:
    decisions = ind.decisions_of(simulated(4, runs=6), "sex")
    changed, size = ind.resample(decisions, np.random.default_rng(1), 800)
    rates = changed.sum(axis=(1, 2)) / size.sum(axis=(1, 2))
    true = decisions.disagreeing.mean() / 30
    assert np.nanmean(rates) == pytest.approx(true, abs=4 * np.nanstd(rates) / np.sqrt(800))
    assert (size.sum(axis=(1, 2)) == 400).all()


def test_a_unit_takes_all_its_rows_with_it() -> None:
    """Each person appears in both groups with the same decisions: the gap is 0 whichever persons are drawn."""
    half = (np.random.default_rng(0).random((6, 80)) < np.random.default_rng(1).random(80)).astype(int)
    both = np.concatenate([half, half], axis=1)
    group, unit = np.repeat([0, 1], 80), np.tile(np.arange(80) * 7, 2)
    paired, rows = (rows_of(predictions(both, None, group, u))["churn gap", None, 0, None] for u in (unit, None))
    assert paired[0] == rows[0] == 0 and np.isnan(paired[1]) and rows[1] < -0.02 < 0.02 < rows[2]


@pytest.mark.parametrize(("runs", "common"), [(5, 0.0), (8, 0.5)])
def test_intervals_cover_with_new_runs_and_persons(runs: int, common: float) -> None:
    """Runs share a shift of every score, so intervals over persons alone would be too short."""
    rng = np.random.default_rng(runs)

    def draw(n: int, rows: int):
        group = np.repeat([0, 1], rows // 2)
        score = rng.normal(0.5 * group, 2, rows) + common * rng.standard_normal((n, 2))[:, group]
        return predictions((score + 0.8 * rng.standard_normal((n, rows)) > 0).astype(int), None, group, classes=2)

    keys = [("churn", None, None, None), ("churn gap", None, 1, None)]
    large = rows_of(draw(300, 3000), resamples=2)
    drawn = [rows_of(draw(runs, 200), 150, seed) for seed in range(80)]
    for key in keys:
        hits = np.mean([found[key][1] <= large[key][0] <= found[key][2] for found in drawn])
        assert hits >= 0.88, f"{key}: nominal .95, Monte Carlo SE .024"


def test_nothing_is_claimed_where_nothing_varies_or_runs_are_few() -> None:
    same = rows_of(predictions(np.zeros((8, 10), dtype=int), classes=2))
    assert same["churn", None, None, None][0] == 0 and np.isnan(same["churn", None, None, None][1:]).all()
    assert same["ambiguity", None, None, 8][0] == 0 and same["share never", None, None, None][0] == 1
    two = rows_of(simulated(0, runs=2))
    assert two["churn", None, None, None][0] > 0 and np.isnan(two["churn", None, None, None][1])
    assert {key[0] for key in rows_of(simulated(0, runs=1))} == {"runs", "rows"}


def test_coin_flips_are_rows_on_which_half_of_the_pairs_disagree() -> None:
    one_against = [[0] * (16 - k) + [1] * k for k in (0, 1, 5, 6, 8)]  # churn 0, .125, .458, .5, .533
    found = rows_of(predictions(np.array(one_against).T))
    assert found["share coin flip", None, None, None][0] == pytest.approx(2 / 5)
    above = [found["share above", None, None, x][0] for x in ind.ABOVE]
    assert above == pytest.approx([0.8, 0.8, 0.6, 0.6, 0.6])
    assert found["churn quantile", None, None, 0.5][0] == pytest.approx(5 * 11 / 120)


# The table


def test_the_table_is_in_plan_order_and_the_same_every_time() -> None:
    techniques = {"B": simulated(1), "A": simulated(2, runs=5)}
    table = individuals(persons_of(**techniques), plan_of(("A", "B")))
    assert table["technique"].tolist() == ["A"] * 9 + ["B"] * 9
    assert table["target"].tolist()[:9] == ["overall"] * 3 + ["0"] * 3 + ["1"] * 3
    assert table["group"].isna().tolist()[:3] == [True, False, False]
    pd.testing.assert_frame_equal(table, individuals(persons_of(**techniques), plan_of(("A", "B"))))
    assert set(table["n_runs"]) == {5, 8}
    # churn's interval is too narrow below 8 runs
    assert (table["note"].str.startswith("interval too narrow") == (table["n_runs"] == 5)).all()


def test_ambiguity_is_compared_at_equal_n() -> None:
    table = individuals(persons_of(A=simulated(2, runs=5), B=simulated(1)), plan_of(("A", "B")))
    overall = table[table["group"].isna() & (table["target"] == "overall")]
    assert overall["ambiguity_runs"].tolist() == [5, 5]
    votes = [ind.vote_counts(p.prediction, 2) for p in (simulated(2, runs=5), simulated(1))]
    assert overall["ambiguity"].tolist() == pytest.approx([ind.ambiguity(v, 5) for v in votes])


def test_bit_identical_and_few_runs_are_told_in_the_note() -> None:
    evidence = [
        {"training": "train-A", "arm": "ulp", "run": run, "role": "main", "status": "done", "final_weights": "w",
         "predictions": {"A": "d" * 64}, "parts": {}, "fingerprint": "f"}
        for run in range(8)
    ]  # fmt: skip
    same = predictions(np.zeros((8, 10), dtype=int), np.arange(10) // 2 % 2, classes=2)
    table = individuals(persons_of(A=same), plan_of(("A",)), evidence)
    assert table["note"].str.startswith("predictions bit-identical in 8 of 8 runs (SHA-256)").all()
    constant = individuals(persons_of(A=same), plan_of(("A",)))
    assert constant["note"].eq("no decision changed in 8 runs: no interval").all() and constant["interval"].eq("").all()
    for runs, note in ((1, "not estimable: fewer than 2 runs"), (2, "interval not estimable: fewer than 3 runs")):
        assert individuals(persons_of(A=simulated(0, runs=runs)), plan_of(("A",)))["note"].eq(note).all()


def test_a_group_without_members_is_named_not_estimable() -> None:
    p = predictions(simulated(0).prediction, groups=3, group=np.arange(400) % 2)
    table = individuals(persons_of(A=p), plan_of(("A",), groups=("women", "men", "none")))
    empty = table[(table["group"] == 2) & (table["target"] == "overall")].iloc[0]
    assert (empty["rows"], empty["note"]) == (0, "not estimable: no rows")


def test_nothing_gives_an_empty_table() -> None:
    assert individuals(None, plan_of()).empty and individuals(persons_of(Other=simulated(0)), plan_of()).empty


def test_the_long_table_reads_back_from_its_file(tmp_path) -> None:
    made = persons_of(10, A=simulated(0, runs=4))
    write_table(tmp_path / "persons.parquet", made, "persons")
    read = pd.read_parquet(tmp_path / "persons.parquet")
    assert list(read.columns) == list(PERSON_COLUMNS)
    pd.testing.assert_frame_equal(individuals(read, plan_of(("A",))), individuals(made, plan_of(("A",))))
    pd.testing.assert_frame_equal(thresholds(read, plan_of(("A",))), thresholds(made, plan_of(("A",))))


def test_tables_read_back_equal_from_csv(tmp_path) -> None:
    made = persons_of(10, A=simulated(0))
    for name, table in {
        "individuals": individuals(made, plan_of(("A",))),
        "thresholds": thresholds(made, plan_of(("A",))),
    }.items():
        schemas.write_csv(table, tmp_path / name)
        pd.testing.assert_frame_equal(schemas.read_csv(tmp_path / name, name), table, check_exact=True)
