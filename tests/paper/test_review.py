"""The published numbers judged by both protocols, as in the project's register of quirks; and simulated numbers."""

import numpy as np
import pandas as pd
import pytest

from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.paper import findings_on_tests, study
from fitlib.paper.findings_on_metrics import label_changes
from fitlib.paper.review import Review, agreement, equal_rows, samples
from fitlib.paper.simulated_numbers import simulate
from fitlib.tables import schemas


def review_of(numbers: study.StudyNumbers) -> Review:
    return Review(**vars(numbers), baselines=study.BASELINES)


@pytest.fixture(scope="module")
def published(data_dir) -> Review:
    return review_of(study.read(data_dir / "paper"))


@pytest.fixture(scope="module")
def example() -> Review:
    return review_of(simulate(np.random.default_rng(1)))


def finding(review: Review, quirk: str):
    (found,) = findings_on_tests.findings(review, quirk)
    return found.frame.set_index(found.frame.columns[0]), " ".join(found.sentences)


# The register, recomputed


def test_forced_zeros_of_eofp_are_found_and_the_labels_that_they_moved(published):
    frame, text = finding(published, "Q4")
    touched = frame.loc[frame["forced"] != "0", "forced"].astype(float)
    assert (touched.min(), touched.max()) == (1.1, 5.4)
    assert label_changes(published, "EOFP") == ["C-A5: −, NS becomes −, +", "I-R3: +, + becomes +, NS"]
    assert "The same move with the smallest and with the largest weight" in text and "EOTP stays as published" in text


def test_di_of_unpredicted_classes_as_in_the_register(published):
    frame, text = finding(published, "Q5")
    coco = frame.loc[frame.index.str.startswith("C"), "Unpredicted a run"].astype(float)
    assert (coco.min(), coco.max()) == (1.2, 2.7)
    assert frame.loc["C-Base", ["DI", "as 0"]].tolist() == ["48.61", "46.08"]
    assert frame.loc["C-R2", ["DI", "as 0"]].tolist() == ["46.59", "43.19"]
    assert "C-A5: −, NS becomes −, +;" in text and "C-A5: −, NS becomes NS, NS." in text


def test_ba_goes_back_to_its_class_as_in_the_register(published):
    frame, _ = finding(published, "Q6")
    pairs = frame.loc[["C-R1", "C-R2", "C-A4", "C-A5"], ["MaxDiff", "in place"]].astype(float).round(1)
    assert pairs["MaxDiff"].tolist() == [49.1, 99.0, 66.0, 65.4]
    assert pairs["in place"].tolist() == [50.0, 100.0, 66.7, 66.7]
    assert list(frame.index) == ["C-Base", "C-R1", "C-R2", "C-R3", "C-A4", "C-A5", "I-R1", "I-R2", "I-R3"]


def test_accuracy_variance_turns_for_two_techniques_and_no_cost_changes(published):
    frame, text = finding(published, "Q7")
    assert frame[["Published", "both / mean", "both raw"]].T.to_dict("list") == {
        "S-UC": ["−", "+", "+"],
        "S-GR": ["−", "+", "+"],
    }
    assert "15 cases as published, 15 on raw" in text


def test_corrections_leave_what_the_register_says(published):
    frame, text = finding(published, "Q13")
    rows = frame.loc["Variance: on values/mean, as published"]
    assert rows.tolist() == ["154", "66", "14", "51"]
    assert "0 mean labels of 154 would differ." in text and "S: SPSF ∝ DP and FPSF ∝ EOFP" in text


def test_fpsf_weights_as_in_the_register(published):
    frame, _ = finding(published, "Q18")
    expected = {"S": (0.45, 0.45), "C": (0.43, 0.50), "I": (0.50, 0.50), "A": (0.15, 0.25), "N": (0.22, 0.26)}
    for task, ends in expected.items():
        assert frame.loc[task].astype(float).tolist() == pytest.approx(ends, abs=0.0051)
    assert list(frame.index) == list(expected)


def test_counts_of_techniques_and_of_variance_labels(published):
    frame, _ = finding(published, "Q23")
    assert frame["Techniques"].tolist() == ["13", "15", "9"]
    _, text = finding(published, "Q24")
    assert "53 as published, 38 on raw values; 31 without" in text and "36 cases as published, 20 on raw" in text
    assert text.endswith("From + to − on all metrics: S-DI2.")
    _, text = finding(published, "Q20")
    assert "N-Base is constant in all 16 runs" in text and "7 of 7 variance labels" in text


def test_headline_claims_hold_but_for_the_number_of_techniques(published):
    claims = findings_on_tests.claims(published).set_index("Claim")
    assert claims.index[claims["Same"] == "no"].tolist() == ["Techniques with a variance label +"]
    assert findings_on_tests.claims_summary(claims.reset_index()) == (
        "4 of 5 headline claims come out the same; not so: Techniques with a variance label +."
    )


def test_most_significant_labels_are_smaller_than_a_point(published):
    table = published.table
    counts = table.groupby(["label_mean", "verdict"]).size()
    assert (counts["-", "fairer"], counts["-", "equivalent"], counts["+", "equivalent"]) == (45, 53, 25)
    assert not ((table["label_mean"] == "-") & (table["verdict"] == "less fair")).any()
    small = table["verdict"] == "equivalent"
    assert (table.loc[small, ["difference_low", "difference_high"]].abs() < 0.0125).all(axis=None)


def test_published_rows_are_found_in_the_tables_made(published, data_dir, tmp_path):
    numbers = study.StudyNumbers(published.overall, published.per_class, published.performance)
    made = study.write_tables(numbers, tmp_path)
    assert agreement(made, data_dir / "paper") == {"stat_tests": (98, 98), "raw_data": (112, 112)}


# The table


def test_the_table_has_its_schema_and_reads_back_equal(example, tmp_path):
    schemas.write_csv(example.table, tmp_path / "review.csv")
    pd.testing.assert_frame_equal(schemas.read_csv(tmp_path / "review.csv", "review"), example.table, check_exact=True)
    assert len(example.table) == 22 * 7 and example.table.columns.tolist() == list(schemas.REVIEW)


def test_agreement_is_whether_label_and_verdict_are_the_same(example):
    same = {("-", "fairer"), ("-", "lower, size open"), ("+", "less fair"), ("+", "higher, size open")}
    same |= {("NS", "equivalent"), ("NS", "open")}
    pairs = zip(example.table["label_mean"], example.table["verdict"], strict=True)
    assert [pair in same for pair in pairs] == (example.table["agreement_mean"] == "yes").tolist()
    assert set(example.table["agreement_mean"]) == {"yes", "no"}


def test_a_constant_baseline_enters_no_variance_test(example):
    rows = example.table[example.table["baseline"] == "N-Base"]
    assert rows["p_variance_raw"].isna().all() and set(rows["label_variance_raw"]) == {"no test"}
    assert rows["note"].str.contains("constant in all 16 runs").all()
    assert example.table.loc[example.table["baseline"] != "N-Base", "p_variance_raw"].notna().all()


def test_each_task_is_corrected_over_its_own_distinct_metrics(example):
    for baseline, rows in example.table.groupby("baseline"):
        distinct = rows[rows["redundant_with"] == ""]
        assert set(rows["family_size"]) == {len(distinct)}, baseline
        smallest = distinct["p_exact"].min()
        assert distinct["p_holm"].min() == pytest.approx(min(1, smallest * len(distinct)))
    repeated = example.table[example.table["redundant_with"] == "DP"]
    first = example.table[example.table["metric"] == "DP"].set_index("technique").loc[repeated["technique"]]
    assert len(repeated) and repeated["p_holm"].tolist() == first["p_holm"].tolist()


def test_differences_are_technique_minus_baseline_over_common_classes(example):
    row = example.table.set_index(["technique", "metric"]).loc[("C-R1", "DI")]
    b, t = samples(example, "C-R1", "DI")
    assert row["difference"] == pytest.approx(t.mean() - b.mean()) and row["n"] == b.size + t.size == 32
    swapped = Review(example.overall, example.per_class, example.performance, {"C-Base": "C-R1"}).table
    assert swapped.loc[swapped["metric"] == "DI", "difference"].item() == pytest.approx(-row["difference"])


def test_what_stays_as_published_is_noted(example):
    notes = example.table.set_index(["technique", "metric"])["note"]
    assert notes["I-R2", "BA"].endswith("composition as published (Q12)") and notes["I-A4", "BA"] == ""
    zeros = any((example.per_class[t]["EOTP"] == 0).any() for t in ("C-Base", "C-R1"))
    assert (notes["C-R1", "EOTP"] == "zeros as published (Q4)") == zeros


# Findings


def test_every_finding_consists_of_sentences_without_nan(example):
    for found in findings_on_tests.findings(example):
        cells = found.frame.astype(str).to_numpy().ravel().tolist()
        text = " ".join([*found.sentences, *cells, found.method])
        assert "nan" not in text.lower().split() and all(s[0].isupper() or s[0].isdigit() for s in found.sentences)
        assert all(s.endswith(".") for s in (*found.sentences, found.method))
    assert [f.quirk for f in findings_on_tests.findings(example, "Q6", "Q4")] == ["Q6", "Q4"]


def test_numbers_without_defects_have_no_findings():
    rng = np.random.default_rng(0)
    values = {t: {m: rng.uniform(0.2, 0.4, size=(8, 3)) for m in BIAS_METRICS} for t in ("S-Base", "S-GR", "S-DI2")}
    overall = {t: {m: x.mean(axis=1) for m, x in metrics.items()} for t, metrics in values.items()}
    performance = {t: rng.uniform(0.7, 0.8, size=8) for t in values}
    review = Review(overall, values, performance, {"S-GR": "S-Base", "S-DI2": "S-Base"})
    first_sentences = {f.quirk: f.sentences[0] for f in findings_on_tests.findings(review, "Q4", "Q5", "Q6", "Q20")}
    assert (
        first_sentences["Q4"] == "No value was forced to zero."
        and first_sentences["Q5"] == "Every class is predicted in every run."
    )
    assert (
        first_sentences["Q6"] == "No value of BA is out of place."
        and first_sentences["Q20, Q8"] == "No baseline is constant."
    )


def test_views_show_a_cell_per_technique_and_metric(example):
    view = findings_on_tests.labels_and_verdicts(example.table)
    assert view.columns.tolist() == ["Technique", *BIAS_METRICS]
    assert view["Technique"].tolist() == list(study.BASELINES) and view.notna().all(axis=None)
    costs = findings_on_tests.costs_view(example.costs)
    assert (costs["Bias fell"].astype(int) == costs["any of them"].astype(int) + costs["none"].astype(int)).all()


def test_captions_have_n_what_varied_and_that_numbers_are_simulated(example):
    text = findings_on_tests.caption(example, note="SIMULATED numbers.")
    assert text.startswith("SIMULATED numbers. n = 16 runs per technique. Varied: ") and "Fixed: one seed." in text


def test_rows_are_equal_only_at_their_place():
    assert equal_rows([["a", "1"], ["b", "2"]], [["a", "1"], ["b", "2"], ["c", "3"]]) == (2, 2)
    assert equal_rows([["a", "1"], ["b", "2"]], [["b", "2"], ["a", "1"]]) == (0, 2)
    assert equal_rows([["a", "1"], ["b", "2"]], [["a", "1"]]) == (1, 2)
