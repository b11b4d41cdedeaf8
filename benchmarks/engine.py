"""The batch at 10,000 runs (made, nothing is trained), and two workers against one.

    python benchmarks/engine.py            # plan, status and aggregation at 2,500 and 10,000 runs
    python benchmarks/engine.py --jobs     # throughput of --jobs 2 against --jobs 1, results compared

Plan and status are timed as commands, Python's start and imports included. Aggregation is everything from the runs'
predictions to one long table of all their metrics. Its peer is pandas, which reads the same metrics from one file
for each run, as a batch would leave them that keeps results by run.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from faults import TRAINING
from measure import machine, median, met, spread, table

from fitlib.execution.analysis_inputs import ExperimentAnalysis
from fitlib.experiment.declaration import declare
from fitlib.experiment.evidence import experiment_plan
from fitlib.experiment.parse import read_experiment
from fitlib.experiment.plan import Plan, PlannedRun
from fitlib.metrics.long_tables import technique_tables
from fitlib.storage.atomic_files import append_line, json_text
from fitlib.storage.paths import ExperimentPaths
from fitlib.storage.predictions import stack
from fitlib.storage.records import write_record
from fitlib.tables.all_tables import gather

TECHNIQUES, ROWS = 25, 200
COMMAND = [sys.executable, "-m", "fitlib"]


# 10,000 runs


def make(folder: Path, runs: int) -> Plan:
    """An experiment of `TECHNIQUES` own trainings and so many runs in all, every one of them finished."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made.py").write_text(TRAINING)
    techniques = {f"T{i:02d}": {"parameters": {"share": round(0.1 + i / 100, 2)}} for i in range(TECHNIQUES)}
    fields = {"callable": "made:train", "techniques": techniques, "baseline": "T00", "control_runs": 0}
    fields |= {"runs": runs // TECHNIQUES, "classes": ["no", "yes"], "groups": {"sex": ["f", "m"]}}
    (folder / "e.yaml").write_text(yaml.safe_dump(fields, sort_keys=False))
    os.chdir(folder)
    experiment, paths = read_experiment(Path("e.yaml")), ExperimentPaths(folder / "outputs" / "e")
    paths.root.mkdir(parents=True)
    declare(experiment, paths)
    plan = Plan(experiment, paths)
    for run in plan.runs:
        finish(run, paths)
    return plan


def finish(run: PlannedRun, paths: ExperimentPaths) -> None:
    """Let a run stand as if it had been executed."""
    folder, technique = run.folder, next(iter(run.spec.techniques))
    (folder / "predictions").mkdir(parents=True)
    fixed, drawn = np.random.default_rng(7), np.random.default_rng([run.index, hash(technique) % 1000])
    truth, group = fixed.integers(0, 2, ROWS), fixed.integers(0, 2, ROWS)
    columns = {"idx": np.arange(ROWS), "ground_truth": truth, "prediction": truth ^ (drawn.random(ROWS) < 0.2)}
    pq.write_table(pa.table({**columns, "protected.sex": group}), folder / "predictions" / f"{technique}.parquet")
    names = [f"predictions/{technique}.parquet", "fingerprint.json", "names.json", "train.ipynb"]
    for name in names[1:]:
        (folder / name).write_text(json_text({"parts": {}, "fingerprint": "", "name": name}))
    write_record(folder, "train", run.key_parts, names)
    append_line(paths.timings, f"{run.name},1.00")


def aggregate(plan: Plan) -> pd.DataFrame:
    """From the predictions of all runs to one table of all metrics: metrics by technique, gathered over techniques."""
    experiment, paths = plan.experiment, plan.paths
    (family,) = experiment.families
    analysis, arm = ExperimentAnalysis(plan), experiment.main_arms[0].name
    for technique in family.techniques:
        inputs = analysis._technique_inputs(family, technique)
        files = {int(run): Path(path) for run, path in inputs.predictions[technique][arm]["predictions"].items()}
        tables = technique_tables(technique, {arm: (0, stack(files, 2, {"sex": 2}))}, drawn=False)
        paths.technique(technique).mkdir(parents=True, exist_ok=True)
        for name, frame in tables.items():
            frame.to_parquet(paths.technique(technique) / f"{name}.parquet")
    facts = experiment_plan(experiment, family, [], {"declared_hash": "", "finished_runs_at_declaration": 0})
    return gather(paths.root, facts)["metrics"]


def by_run(metrics: pd.DataFrame, folder: Path) -> float:
    """Seconds in which pandas reads the same metrics from one file for each run."""
    for number, (_, rows) in enumerate(metrics.groupby(["technique", "run"], sort=False)):
        rows.to_parquet(folder / f"{number:05d}.parquet")
    start = time.perf_counter()
    read = pd.concat([pd.read_parquet(path) for path in sorted(folder.glob("*.parquet"))], ignore_index=True)
    seconds = time.perf_counter() - start
    assert len(read) == len(metrics)
    return seconds


def command(*arguments: str, repetitions: int = 5) -> tuple[list[float], float, float]:
    """Seconds of a command by the clock, the fewest of the processor, and the most MiB that it held."""
    seconds, processor = [], []
    for _ in range(repetitions):
        start, used = time.perf_counter(), _processor()
        subprocess.run([*COMMAND, *arguments], check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
        processor.append(_processor() - used)
    probe = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL); "
    probe += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    told = subprocess.run([sys.executable, "-c", probe, *COMMAND, *arguments], capture_output=True, check=True)
    return seconds, min(processor), int(told.stdout) / 1024


def _processor() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def scale(numbers: list[int]) -> None:
    """Time and memory at each number of runs."""
    rows = []
    for runs in numbers:
        with tempfile.TemporaryDirectory() as folder:
            plan = make(Path(folder) / "made", runs)
            last = runs == max(numbers)
            for name, arguments in (("plan", ("plan", "e.yaml")), ("status", ("status", "e"))):
                seconds, used, held = command(*arguments)
                target = met(median(seconds) < 2 and held < 1024, "< 2 s, < 1 GiB") if last else ""
                told = (spread(seconds), f"{used:.2f} s", f"{held:.0f} MiB", "", target)
                rows.append([f"{runs:,}", f"fitlib {name}", *told])
            start, used = time.perf_counter(), time.process_time()
            metrics = aggregate(plan)
            own, used = time.perf_counter() - start, time.process_time() - used
            (Path(folder) / "by-run").mkdir()
            peer = by_run(metrics, Path(folder) / "by-run")
            held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            techniques = [{"technique": t.name} for t in plan.experiment.techniques]
            start = time.perf_counter()
            gather(plan.paths.root, {"techniques": techniques, "arms": []})
            gathered = time.perf_counter() - start
            target = met(own < 20 and held < 1024, "< 20 s, < 1 GiB") if last else ""
            told = (f"{own:.2f} s", f"{used:.2f} s", f"{held:.0f} MiB", "", target)
            rows.append([f"{runs:,}", "predictions to all metrics", *told])
            ratio = f"{peer / gathered:.1f} × (pandas by run: {peer:.2f} s)"
            rows.append([f"{runs:,}", "reading all metrics", f"{gathered:.2f} s", "", "", ratio, ""])
    print(table(["runs", "what", "by the clock", "processor", "resident", "faster", "target"], rows))


# Two workers


def batch(folder: Path, jobs: int, runs: int) -> tuple[float, dict[str, bytes]]:
    """Seconds of an experiment of made runs that compute for a second each, and its tables."""
    folder.mkdir()
    busy = "    end = time.process_time() + 1\n    while time.process_time() < end:\n        pass\n"
    (folder / "made.py").write_text(TRAINING.replace("    time.sleep(0.05)\n", busy))
    fields = {"callable": "made:train", "techniques": {"A": {}}, "runs": runs, "control_runs": 0}
    (folder / "e.yaml").write_text(yaml.safe_dump(fields))
    start = time.perf_counter()
    subprocess.run([*COMMAND, "run", "e.yaml", "--jobs", str(jobs)], cwd=folder, check=True, capture_output=True)
    seconds = time.perf_counter() - start
    events = pd.read_json(folder / "outputs/e/events.jsonl", lines=True)
    trained = events[events["kind"] == "train"]
    seconds = (trained["time"].max() - trained["time"].min()) if len(trained) else seconds
    return float(seconds), {p.name: p.read_bytes() for p in sorted((folder / "outputs/e/tables").iterdir())}


def throughput(runs: int = 16, rounds: int = 3) -> None:
    """Runs a minute of one worker and of two, in turn."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for number in range(rounds):
            for jobs in (1, 2):
                taken, tables = batch(Path(folder) / f"{number}-{jobs}", jobs, runs)
                seconds[jobs].append(taken)
                results.append(tables)
    equal = "byte-equal" if all(tables == results[0] for tables in results) else "DIFFER"
    ratio = min(seconds[1]) / min(seconds[2])
    rows = [[f"--jobs {jobs}", spread(taken), f"{60 * runs / min(taken):.0f}", ""] for jobs, taken in seconds.items()]
    rows[1][-1] = f"{ratio:.2f} × ({met(ratio >= 1.7, '≥ 1.7')}), tables {equal}"
    print(table(["workers", f"{runs} runs of a second", "runs a minute", "against one"], rows))


def main() -> None:
    """Print the tables of benchmarks/README.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[2_500, 10_000], help="in all, of 25 techniques")
    parser.add_argument("--jobs", action="store_true", help="two workers against one")
    options = parser.parse_args()
    throughput() if options.jobs else scale(options.runs)
    print(f"\n{machine('pandas', 'pyarrow')}")


if __name__ == "__main__":
    main()
