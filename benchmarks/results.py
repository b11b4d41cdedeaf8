"""The tables of docs/results.md, from the tables of finished experiments.

python benchmarks/results.py outputs/adult … [--metrics DI EOTP] [--attribute sex] [--study outputs/paper]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

POINTS = 100  # metrics and accuracies are shares in the tables, percentage points here


def points(value: float, digits: int = 1) -> str:
    """A share in percentage points."""
    return f"{POINTS * value:.{digits}f}"


def between(low: float, high: float, digits: int = 1) -> str:
    """An interval in percentage points; nothing where there is none."""
    return "" if pd.isna(low) else f" [{points(low, digits)}, {points(high, digits)}]"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, without the column of the attribute where there is but one."""
    place = header.index("attribute")
    if len({row[place] for row in rows}) < 2:
        header, *rows = ([*line[:place], *line[place + 1 :]] for line in (header, *rows))
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def over_runs(row: pd.Series) -> str:
    """SD [95 % interval] of a quantity over runs, or that it never changed."""
    if row["maxdiff"] == 0:
        return f"constant in all {row['n']} runs"
    return points(row["sd"], 2) + between(row["sd_low"], row["sd_high"], 2)


def spread(summary: pd.DataFrame, metrics: list[str]) -> str:
    """For each technique: accuracy and each metric, mean [95 % interval], SD [95 % interval] and MaxDiff over runs."""
    overall = summary[(summary["target"] == "overall") & summary["group"].isna()]
    rows = []
    for (technique, attribute), own in overall.groupby(["technique", "attribute"], sort=False):
        accuracy = own[own["metric"] == "accuracy"].iloc[0]
        right = points(accuracy["mean"]) + (f" (SD {points(accuracy['sd'], 2)})" if accuracy["maxdiff"] else "")
        for metric in metrics:
            row = own[own["metric"] == metric].iloc[0]
            mean = points(row["mean"]) + (between(row["mean_low"], row["mean_high"]) if row["maxdiff"] else "")
            rows.append([technique, attribute, right, metric, mean, over_runs(row), points(row["maxdiff"])])
    return markdown(["technique", "attribute", "accuracy", "metric", "mean", "SD over runs", "MaxDiff"], rows)


def compared(comparisons: pd.DataFrame, metrics: list[str], study: dict[tuple[str, str], str]) -> str:
    """For each technique against its baseline: difference, interval, corrected p, verdict, reversal, the study's."""
    rows = []
    for _, row in comparisons[comparisons["metric"].isin(metrics)].iterrows():
        difference = points(row["difference"]) + between(row["difference_low"], row["difference_high"])
        p = "" if pd.isna(row["p_mean_holm"]) else f"{row['p_mean_holm']:.2g}"
        reversal = "" if pd.isna(row["reversal"]) else f"{points(row['reversal'])} %"
        told = [
            row["technique"],
            str(row["attribute"]),
            row["metric"],
            difference,
            p,
            row["verdict_unadjusted"],
            reversal,
        ]
        rows.append([*told, study.get((row["technique"], row["metric"]), "")] if study else told)
    header = ["technique", "attribute", "metric", "difference", "p (Holm)", "verdict", "reversed pairs of runs"]
    return markdown([*header, "the study"] if study else header, rows)


def labels(folder: Path | None) -> dict[tuple[str, str], str]:
    """The study's own labels of the mean tests ("-" less bias, "+" more, NS), by technique and metric."""
    if folder is None:
        return {}
    found = pd.read_csv(folder / "tables" / "labels.csv")
    return {(row["technique"], row["metric"]): row["label_mean"] for _, row in found.iterrows()}


def main() -> None:
    """Print the tables of every experiment that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", type=Path, nargs="+")
    parser.add_argument("--metrics", nargs="+", default=["DP", "DI", "EOFP", "EOTP", "BA"])
    parser.add_argument("--attribute", help="of several protected attributes, this one only")
    parser.add_argument("--study", type=Path)
    options = parser.parse_args()
    for folder in options.experiments:
        summary, comparisons = (pd.read_csv(folder / "tables" / f"{name}.csv") for name in ("summary", "comparisons"))
        if options.attribute:
            summary, comparisons = (t[t["attribute"] == options.attribute] for t in (summary, comparisons))
        print(f"### {folder.name}: n = {summary['n'].min()} to {summary['n'].max()} runs\n")
        print(spread(summary, options.metrics))
        print(compared(comparisons, options.metrics, labels(options.study)))


if __name__ == "__main__":
    main()
