"""The command `fitlib`: thin, lazy, and polite about mistakes."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import fitlib
from fitlib.errors import FitlibError, InputError, RunFailed

if TYPE_CHECKING:
    from fitlib.experiment.model import Experiment

ROLES = "idx, ground_truth, prediction, protected, protected.ATTRIBUTE, score, score.CLASS, unit, run, technique"


_interrupts: list[int] = []


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; exit status 0 done, 1 something failed, 2 wrong usage or invalid parameters."""
    options = parser().parse_args(arguments)
    _interrupts.clear()
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job is not to hear it
        signal.signal(signal.SIGINT, _interrupt)
    try:
        return options.command(options)
    except InputError as error:
        print(f"fitlib: {error}", file=sys.stderr)
        return 2
    except FitlibError as error:
        print(f"fitlib: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nfitlib: interrupted; finished runs are kept, the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"fitlib: {error}; free space or rights, then say the same command again", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="fitlib", description="Is this model fair, or was I lucky with this run?")
    top.add_argument("--version", action="version", version=f"fitlib {fitlib.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, work: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=work)
        sub.add_argument("--outputs", type=Path, default=Path("outputs"), help="folder of all experiments (outputs)")
        return sub

    for name, work, text in (
        ("plan", _plan, "every task and why it will run"),
        ("run", _run, "train, measure, compare, report: whatever is not done yet"),
    ):
        sub = command(name, work, text)
        sub.add_argument("file", type=Path, metavar="params/X.yaml", help="the experiment file")
        sub.add_argument("--only", action="append", default=[], metavar="TECHNIQUE", help="just this technique's runs")
        sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a field of the file")
        sub.add_argument("--runs", type=_positive, metavar="N", help="number of runs per training")
    sub.add_argument("--jobs", type=_positive, metavar="N", help="runs at once (default: cores // threads)")
    sub.add_argument("--replace", action="store_true", help="move finished runs of other settings to superseded/")
    _add_conditions(sub)
    _add_init(command("init", _init, "a commented experiment file from a look at a table's columns"))
    sub = command("status", _status, "done, running, failed, left; time left")
    sub.add_argument("experiment", nargs="?", help="name of an experiment (default: all)")
    sub.add_argument("--watch", action="store_true", help="go on as long as somebody works on the experiment")
    sub = command("logs", _logs, "what a run told: its last lines, its error, what its cells and kernel wrote")
    sub.add_argument("experiment", help="name of an experiment")
    sub.add_argument("run", metavar="RUN", help="for example baseline/ulp/run-03, or the end of it, or a technique")
    sub = command("clean", _clean, "superseded and failed runs and what interrupted processes left; says what first")
    sub.add_argument("experiment", help="name of an experiment")
    sub.add_argument("--cache", action="store_true", help="also the cache of decoded data, which experiments share")
    sub.add_argument("--yes", action="store_true", help="do not ask")
    sub = command("report", _report, "metrics, statistics and report again from the runs that are there")
    sub.add_argument("experiment", help="name of an experiment")
    sub.add_argument("--show-code", action="store_true", help="show the code cells in report.html")
    sub = command("verify", _verify, "re-hash every artifact, derive every table again, check that runs were identical")
    sub.add_argument("experiment", help="name of an experiment, a folder, or FILE.zip as fitlib export wrote it")
    sub.add_argument("--root", type=_root_hash, metavar="HASH", help="the manifest's root hash, as somebody kept it")
    sub.add_argument("--full", action="store_true", help="derive again what is drawn at random, too")
    sub = command("export", _export, "one file to share: an RO-Crate with notebooks, tables, report, plan, software")
    sub.add_argument("experiment", help="name of an experiment, or the folder of one or of an analysis")
    sub.add_argument("--to", type=Path, required=True, metavar="FILE.zip", help="where to write")
    sub.add_argument("--predictions", action="store_true", help="with rows of persons, which can be personal data")
    _add_analyze(command("analyze", _analyze, "somebody else's predictions to the same tables and report"))
    _add_trace(command("trace", _trace, "first step, tensor and operator at which two runs part"))
    sub = command("techniques", _techniques, "methods, networks and noises that there are, one line each")
    sub.add_argument("--markdown", action="store_true", help="everything with all options, as docs/techniques.md")
    command("datasets", _datasets, "data sets that there are, what each needs and where it comes from")
    sub = command("paper", _paper, "the published study's tables and figures, recomputed from its published numbers")
    sub.add_argument("--data", type=Path, metavar="DIR", help="its numbers (else FITLIB_DATA_DIR/paper, or fetched)")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: outputs/paper)")
    return top


def _add_conditions(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--executor", default="local", metavar="NAME", help="local, dask or slurm (docs/batch.md)")
    sub.add_argument("--address", metavar="A", help="a running scheduler of Dask, for example tcp://host:8786")
    text = "a setting of the executor: per_gpu, resources, partition, time, gpus, array …"
    sub.add_argument("--with", action="append", default=[], dest="settings", metavar="KEY=VALUE", help=text)
    sub.add_argument("--timeout", type=_seconds, metavar="TIME", help="end a run after so long: 90s, 30m, 2h")
    sub.add_argument("--memory", type=_bytes, metavar="SIZE", help="end a run that holds more: 800M, 4G")
    sub.add_argument("--retries", type=_count, default=1, metavar="N", help="more attempts after a crash (1)")


def _add_analyze(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "folder", type=Path, metavar="DIR", help="DIR/<technique>/*.csv|parquet, a file per run; or a file"
    )
    sub.add_argument("--baseline", metavar="NAME", help="technique that the others are compared with")
    sub.add_argument("--favourable", metavar="CLASS", help="class that is good to get: four fifths is judged")
    sub.add_argument(
        "--column", action="append", default=[], metavar="ROLE=NAME", help=f"which column is what: {ROLES}"
    )
    sub.add_argument("--classes", type=_names, metavar="A,B", help="all classes, if some are never the ground truth")
    sub.add_argument("--cross", action="append", type=_names, metavar="A,B", help="also compare the groups of A and B")
    sub.add_argument("--smallest-effect", type=float, default=0.01, metavar="D", help="differences below do not matter")
    sub.add_argument("--alpha", type=float, default=0.05, metavar="A", help="level of the tests (0.05)")
    sub.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: outputs/<name of DIR>)")


def _add_trace(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("files", type=Path, nargs="+", metavar="FILE", help="params/X.yaml, or streams that --out wrote")
    sub.add_argument("--technique", metavar="T", help="whose training is traced (the baseline's)")
    sub.add_argument("--noise", metavar="N", help="name of a noise; its options: --set noise.step=5 (the file's)")
    sub.add_argument("--steps", type=_positive, metavar="K", help="compare at most so many steps (500)")
    sub.add_argument("--runs", type=_positive, default=2, metavar="R", help="trace the first R runs (2)")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a field of the file")
    sub.add_argument("--operators", action="store_true", help="record the operators of every step, as it happens")
    sub.add_argument("--out", type=Path, metavar="DIR", help="write digest streams, growth and culprits there")


def _add_init(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("table", type=Path, metavar="TABLE", help="CSV (.csv, .tsv, .txt, packed or not) or .parquet")
    sub.add_argument("--target", metavar="COLUMN", help="column to predict (default: guessed)")
    text = "protected attribute, several times for several (default: guessed)"
    sub.add_argument("--protected", action="append", default=[], metavar="COLUMN", help=text)
    sub.add_argument("--out", type=Path, metavar="FILE", help="where to write (default: params/<TABLE>.yaml)")
    sub.add_argument("--replace", action="store_true", help="write over an experiment file that is there")


def _init(options: argparse.Namespace) -> int:
    from fitlib.experiment.init_from_table import write_experiment

    told = write_experiment(options.table, options.target, options.protected, options.out, options.replace)
    print("\n".join(told))
    return 0


def _plan(options: argparse.Namespace) -> int:
    from fitlib.experiment.plan import Plan, selected

    experiment, paths = _experiment(options)
    states = selected(Plan(experiment, paths).states(), options.only)
    _tell_of_data(experiment, sys.stdout)
    width = max((len(run.name) for run, _ in states), default=0)
    for run, state in states:
        print(f"{run.name:<{width}}  {'done' if state.done else f'will run: {state.reason}'}")
    waiting = sum(not state.done for _, state in states)
    follow = (
        "metrics, statistics and report follow" if waiting else "metrics, statistics and report are brought up to date"
    )
    print(f"{waiting} of {len(states)} runs will be executed; {follow}.")
    return 0


def _tell_of_data(experiment: Experiment, stream: TextIO) -> None:
    """What was left out, filled in or guessed, and rows that stand in both parts: before anything is trained."""
    from fitlib.experiment.families import notes_on

    for note in dict.fromkeys(note for family in experiment.families for note in notes_on(family)):
        print(f"data: {note}", file=stream)


def _run(options: argparse.Namespace) -> int:
    experiment, paths = _experiment(options)
    from fitlib.execution.executors.base import Choice
    from fitlib.execution.limits import Limits
    from fitlib.execution.run_experiment import Conditions, default_jobs, run_experiment

    _tell_of_data(experiment, sys.stderr)
    choice = Choice(options.executor, options.address, tuple(options.settings))
    conditions = Conditions(choice, Limits(options.timeout, options.memory), options.retries)
    jobs = options.jobs or default_jobs(experiment.declared["threads"])
    outcome = run_experiment(experiment, paths, jobs, options.only, options.replace, conditions=conditions)
    return _conclude(options, paths, outcome)


def _report(options: argparse.Namespace) -> int:
    from fitlib.execution.progress import Progress
    from fitlib.execution.run_experiment import report_experiment

    experiment, paths = _declared(options, options.experiment)
    outcome = report_experiment(experiment, paths, os.cpu_count() or 1, Progress(), options.show_code)
    return _conclude(options, paths, outcome)


def _verify(options: argparse.Namespace) -> int:
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    from fitlib.audit.verify import summary, verify

    archive = Path(options.experiment)
    if archive.suffix == ".zip" and not archive.is_dir():
        from fitlib.audit.verify_archive import verify_archive

        found = verify_archive(archive, options.root, options.full)
    else:
        found = verify(_folder(options), options.root, options.full)
    for line in found.deviations:
        print(line)
    for line in [*found.remarks, *summary(found)]:
        print(line, file=sys.stderr)
    return 0 if found.intact else 1


def _folder(options: argparse.Namespace) -> Path:
    """The folder of an experiment (by its name) or of an analysis."""
    named = options.outputs / options.experiment
    root = named if named.is_dir() else Path(options.experiment)
    if not root.is_dir():
        known = ", ".join(_experiments(options.outputs)) or "none yet"
        raise InputError(str(options.outputs), "EXPERIMENT", options.experiment, "no such folder", f"there is: {known}")
    return root


def _export(options: argparse.Namespace) -> int:
    from fitlib.audit.export import export, told
    from fitlib.storage.paths import ExperimentPaths

    done = export(ExperimentPaths(_folder(options)), options.to, options.predictions)
    print("\n".join(told(done)))
    return 0


def _analyze(options: argparse.Namespace) -> int:
    from fitlib.execution.progress import Progress
    from fitlib.experiment.schema import Analysis, validated
    from fitlib.storage.paths import ExperimentPaths

    names = ("smallest_effect", "alpha", "cross")
    analysis = validated(Analysis, {name: getattr(options, name) for name in names}, "analyze")
    from fitlib.ingest.analyze import analyze
    from fitlib.ingest.column_roles import declared_roles
    from fitlib.ingest.normalise import Choices, default_name

    columns, classes = declared_roles(options.column), options.classes and tuple(options.classes)
    choices = Choices(columns, classes, options.favourable)
    name = default_name(options.folder) if options.folder.is_file() else options.folder.resolve().name
    out = options.out or options.outputs / name
    progress = Progress()
    outcome = analyze(options.folder, options.baseline, out, analysis, os.cpu_count() or 1, progress, choices)
    progress.close()
    return _conclude(options, ExperimentPaths(out), outcome)


def _paper(options: argparse.Namespace) -> int:
    from fitlib.paper.command import recompute

    made = recompute(options.data, options.out or options.outputs / "paper", lambda line: print(line, file=sys.stderr))
    for path in made:
        print(f"{path.stem}: {path}")
    return 0


def _trace(options: argparse.Namespace) -> int:
    from fitlib.tracing.command import run

    failed = run(options, print)
    if failed:
        raise RunFailed(failed)
    return 0


def _techniques(options: argparse.Namespace) -> int:
    from fitlib.experiment.registry import listing

    print(
        listing.markdown() if options.markdown else "\n".join(listing.techniques()),
        end="" if options.markdown else "\n",
    )
    return 0


def _datasets(options: argparse.Namespace) -> int:
    from fitlib.experiment.registry import listing

    print("\n".join(listing.datasets()))
    return 0


def _status(options: argparse.Namespace) -> int:
    from fitlib.execution.status import lines, watch
    from fitlib.experiment.plan import Plan

    names = [options.experiment] if options.experiment else _experiments(options.outputs)
    if not names:
        print(f"nothing in {options.outputs} yet: fitlib run params/quickstart.yaml")
    for name in names:
        plan = Plan(*_declared(options, name))
        if options.watch:
            watch(plan)
        print("\n".join(lines(plan)))
    return 0


def _logs(options: argparse.Namespace) -> int:
    from fitlib.execution.logs import logs
    from fitlib.experiment.plan import Plan

    plan = Plan(*_declared(options, options.experiment))
    print("\n".join(logs(plan, options.run)))
    return 0


def _clean(options: argparse.Namespace) -> int:
    from fitlib.execution.clean import clean, leftovers

    _, paths = _declared(options, options.experiment)
    found = leftovers(paths, options.cache)
    print("\n".join(str(one) for one in found) or "nothing to remove")
    if not found or not (options.yes or _agreed(f"remove these {len(found)}?")):
        return 0
    print(f"root hash of {paths.manifest.name}: {clean(paths, found)}")
    return 0


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        print("say --yes to remove them", file=sys.stderr)
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _experiment(options: argparse.Namespace) -> tuple:
    from fitlib.experiment.parse import read_experiment
    from fitlib.storage.paths import ExperimentPaths

    experiment = read_experiment(options.file, options.set, options.runs)
    names = [t.name for t in experiment.techniques]
    for name in options.only:
        if name not in names:
            raise InputError(str(options.file), "--only", name, "unknown technique", f"known: {', '.join(names)}")
    return experiment, ExperimentPaths(options.outputs / experiment.name)


def _experiments(outputs: Path) -> list[str]:
    return sorted(p.parent.name for p in outputs.glob("*/experiment.yaml"))


def _declared(options: argparse.Namespace, name: str) -> tuple:
    from fitlib.experiment.declaration import latest_plan
    from fitlib.experiment.parse import make_experiment
    from fitlib.storage.paths import ExperimentPaths

    paths = ExperimentPaths(options.outputs / name)
    declared = latest_plan(paths) if Path(name).name == name else None
    if declared is None:
        known = ", ".join(_experiments(options.outputs)) or "none yet"
        raise InputError(str(options.outputs), "EXPERIMENT", name, "no such experiment", f"there is: {known}")
    return make_experiment(declared, str(paths.declared), name), paths


def _conclude(options: argparse.Namespace, paths: object, outcome: object) -> int:
    from fitlib.execution import determinism_cost

    if paths.root.parent == options.outputs:
        from fitlib.report.overview import write_overview

        write_overview(options.outputs)
    reports = paths.reports()
    for line in determinism_cost.write(paths):
        print(line)
    for report in reports:
        print(f"report: {report}")
    if reports:
        print(f"root hash of {paths.manifest.name}: {outcome.root}")
    if outcome.failures:
        first = outcome.failures[0].strip().splitlines()
        where = f"find {paths.root} -name failed.json shows more"
        task = first[0].partition(": ")[0]
        problem = f"{len(outcome.failures)} failed, the first: {task}: {first[-1].removeprefix(f'{task}: ')}"
        raise RunFailed(f"{problem}; {where}; then say the same command again")
    return 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


def _root_hash(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a SHA-256: 64 hexadecimal digits, as fitlib run prints it")
    return text.lower()


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return value


def _count(text: str) -> int:
    return 0 if text.strip() == "0" else _positive(text)


def _seconds(text: str) -> float:
    return _amount(text, {"s": 1, "m": 60, "h": 3600}, "a time: 90s, 30m or 2h")


def _bytes(text: str) -> int:
    return int(_amount(text, {"M": 2**20, "G": 2**30}, "a size: 800M or 4G"))


def _amount(text: str, units: dict[str, int], wanted: str) -> float:
    found = re.fullmatch(rf"([0-9]+(?:\.[0-9]+)?)\s*([{''.join(units)}])", text)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return float(found[1]) * units[found[2]]


def _interrupt(signum: int, frame: object) -> None:
    """The first time end in order; the second time at once, with no kernel left."""
    if _interrupts:
        kernels = sys.modules.get("fitlib.execution.kernels.manager")
        if kernels:
            kernels.end_all()
        print("\x1b[?25h" if sys.stderr.isatty() else "", end="", file=sys.stderr)  # a live table hides the cursor
        os._exit(130)
    _interrupts.append(signum)
    raise KeyboardInterrupt
