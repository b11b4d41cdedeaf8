"""Rows of comparisons over seeds."""

from fitlib.tables.schemas import OVER_SEEDS, table_of


def over_row(metric="DP", technique="T0", verdict="fairer", n_seeds=8, n_runs=2, **changes):
    from fitlib.statistics.nested_design import qualification, scope

    row = {
        "technique": technique, "baseline": "S-Base", "noise": "ulp", "kind": "emulated", "reading": "strict",
        "attribute": "protected", "metric": metric, "n_classes": 10, "seeds": "; ".join(map(str, range(n_seeds))),
        "n_seeds": n_seeds, "n_runs": n_runs, "mean_baseline": 0.05, "mean_technique": 0.02, "difference": -0.03,
        "low": -0.04, "high": -0.02, "smallest_effect": 0.01, "verdict": verdict, "alpha": 0.05,
        "qualification": qualification(n_seeds, n_runs), "scope": scope(n_seeds, n_runs), "p": 0.001, "p_holm": 0.002,
        "p_bh": 0.002, "p_by": 0.004, "p_signed_rank": 0.0078, "p_signed_rank_smallest": 0.0078, "power": 0.6,
        "family_size": 2, "redundant_with": "", "sd_difference": 0.01, "sd_seed_baseline": 0.01,
        "sd_run_baseline": 0.005, "sd_seed_technique": 0.0, "sd_run_technique": 0.004, "fit": "yes", "note": "",
        "verdict_unadjusted": verdict, "simultaneous_low": -0.045, "simultaneous_high": -0.015, "level": 0.02,
        "verdicts_together": 2, "primary": "", "warnings": "",
    }  # fmt: skip
    return row | changes


def over(*rows):
    return table_of(list(rows), OVER_SEEDS)
