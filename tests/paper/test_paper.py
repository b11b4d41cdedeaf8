"""The study's tables are recomputed as published; its files are the published ones, or refused by name."""

import functools
import gc
import hashlib
import http.server
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
import pytest
import yaml

from fitlib.errors import InputError, RunFailed
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.paper import command, published_files, study
from fitlib.statistics.paper_protocol import COSTS, compare
from fitlib.statistics.significance import benjamini_hochberg, holm

# The published numbers


@pytest.fixture(scope="module")
def numbers(data_dir) -> study.StudyNumbers:
    return study.read(data_dir / "paper")


@pytest.fixture(scope="module")
def tables(numbers, tmp_path_factory) -> dict[str, Path]:
    return study.write_tables(numbers, tmp_path_factory.mktemp("paper"))


@pytest.fixture(scope="module")
def frames(tables) -> dict[str, pd.DataFrame]:
    tidy = ("labels", "costs", "venn", "overlap", "accuracy")
    return {name: pd.read_csv(tables[name], keep_default_na=False) for name in tidy}


def lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line]


@pytest.mark.parametrize(("name", "header", "rows", "known"), [("stat_tests", 1, 154, 98), ("raw_data", 2, 189, 112)])
def test_tables_are_the_published_ones_as_text(tables, data_dir, name, header, rows, known):
    made, expected = lines(tables[name]), lines(data_dir / "paper" / f"expected_{name}_S_C.csv")
    assert (len(made), len(expected)) == (rows + header, known + header)
    assert made[: len(expected)] == expected


def test_line_ends_are_the_published_ones(tables):
    assert b"\r" not in tables["stat_tests"].read_bytes()
    raw = tables["raw_data"].read_bytes()
    assert raw.count(b"\r\n") == raw.count(b"\n") == 191


def test_all_techniques_and_metrics_are_there_in_published_order(numbers):
    assert len(study.TECHNIQUES) == 27 and len(study.BASELINES) == 22
    for mapping in (numbers.overall, numbers.per_class):
        assert tuple(mapping) == study.TECHNIQUES
        assert all(tuple(metrics) == BIAS_METRICS for metrics in mapping.values())
    assert tuple(numbers.performance) == study.TECHNIQUES


def test_overall_values_are_means_over_the_classes(numbers):
    for technique, metrics in numbers.overall.items():
        for metric, values in metrics.items():
            assert values.shape == (16,)
            np.testing.assert_allclose(numbers.per_class[technique][metric].mean(axis=1), values, atol=1e-12)


def test_counts_of_variance_labels_are_the_known_ones(frames):
    rose = frames["labels"][frames["labels"]["label_variance"] == "+"]
    rose_raw = frames["labels"][frames["labels"]["label_variance_raw"] == "+"]
    assert (len(rose), rose["technique"].nunique()) == (53, 13)
    assert (len(rose_raw), rose_raw["technique"].nunique()) == (38, 9)
    assert (rose["technique"] == "N-Flow").sum() == 7  # by construction: N-Base is constant
    assert frames["labels"].query("label_mean == '+'")["technique"].nunique() == 15


def test_the_least_biased_technique_changes_its_sign_on_raw_variances(frames):
    labels = frames["labels"].query("technique == 'S-DI2'")
    assert set(labels["label_variance"]) == {"+"} and set(labels["label_variance_raw"]) == {"-"}


def test_few_of_the_published_variance_labels_survive_a_correction(frames):
    p, rose = frames["labels"]["p_variance"].astype(float), frames["labels"]["label_variance"] == "+"
    assert (p <= 0.05).sum() == 66
    assert ((holm(p) <= 0.05).sum(), (rose & (holm(p) <= 0.05)).sum()) == (14, 12)
    assert ((benjamini_hochberg(p) <= 0.05).sum(), (rose & (benjamini_hochberg(p) <= 0.05)).sum()) == (51, 43)


def test_counts_of_costs_are_the_known_ones(frames):
    by = frames["costs"].groupby("judged")
    assert by["cost_bias_variance"].sum().to_dict() == {"published": 36, "raw": 20}
    regions, fell = frames["venn"].groupby("judged")["pairs"].sum(), by["bias_decrease"].sum()
    assert regions.to_dict() == fell.to_dict()
    some = frames["venn"][frames["venn"][list(COSTS)].any(axis=1)].groupby("judged")["pairs"].sum()
    assert some.to_dict() == by["any"].sum().to_dict()


def test_only_two_accuracy_variance_labels_owe_their_sign_to_a_quirk(frames):
    accuracy = frames["accuracy"].set_index("technique")
    turned = accuracy[(accuracy["label_variance"] == "-") & (accuracy["label_variance_raw"] == "+")]
    assert turned.index.tolist() == ["S-UC", "S-GR"]


def test_performance_is_the_published_one(frames):
    accuracy = frames["accuracy"].set_index("technique")
    means = accuracy["mean"].astype(float)
    known = {"S-Base": 88.54, "S-DI2": 92.31, "C-R1": 0.4827, "I-A5": 0.3453, "A-L2": 0.7555, "N-Flow": 0.8882}
    for technique, mean in known.items():
        assert means[technique] == pytest.approx(mean, abs=5e-3 if mean > 1 else 5e-5)
    assert float(accuracy.loc["S-GR", "max"]) == pytest.approx(85.69)


def test_bad_overlap_is_overlap_where_bias_rose(frames):
    overlap, labels = frames["overlap"], frames["labels"]
    assert (overlap["overlap_bad"] == (overlap["overlap"] & (labels["label_mean"] == "+"))).all()
    assert 0 < overlap["overlap_bad"].sum() < overlap["overlap"].sum() < 154


def test_tables_hold_no_nan(tables):
    for path in tables.values():
        assert "nan" not in path.read_text(encoding="utf-8").lower(), path.name


def test_one_comparison_alone_is_the_row_of_the_table(numbers, frames):
    result = compare(numbers.overall["S-Base"]["DP"], numbers.overall["S-GR"]["DP"])
    row = frames["labels"].query("technique == 'S-GR' and metric == 'DP'").iloc[0]
    assert (float(row["p_mean"]), row["label_variance"]) == (result.p_mean, result.label_variance)


# Files


def test_every_published_file_is_listed_once_with_its_hash():
    names = list(published_files.hashes())
    assert len(names) == 27 + 27 * 16 + 5 == len(published_files.HASHES.read_text().splitlines())
    for technique in study.TECHNIQUES:
        assert f"raw_bias_numbers/overall/{technique}.yaml" in names
        assert sum(name.startswith(f"raw_bias_numbers/per_class/{technique}/") for name in names) == 16
    assert all(f"model_perf/{task.file}" in names for task in study.TASKS.values())


CONTENT = {
    "raw_bias_numbers/overall/S-Base.yaml": b"DP: [0.1]\n",
    "model_perf/cifar-10s.yaml": b"baseline/: [88.5]\n",
    **{f"raw_bias_numbers/per_class/S-Base/run_{i:02d}.yaml": b"DP: [0.%d]\n" % i for i in range(16)},
}


@pytest.fixture
def small(monkeypatch) -> None:
    """A study of a few files."""
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
    monkeypatch.setattr(published_files, "hashes", lambda: digests)
    monkeypatch.delenv("FITLIB_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def put(folder: Path, place=lambda name: name) -> Path:
    for name, content in CONTENT.items():
        path = folder / place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


@pytest.fixture
def server(tmp_path, monkeypatch, small):
    """The folder of a local server in place of the public repository."""
    root = put(tmp_path / "repository", published_files._remote)
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(published_files, "BASE_URL", f"http://127.0.0.1:{web.server_port}/")
        monkeypatch.setattr(published_files, "cache", lambda: tmp_path / "cache")
        yield root
        web.shutdown()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pooch leaves the response of a failed download open
        gc.collect()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def test_files_are_fetched_once_and_kept(server, tmp_path):
    lines_reported = []
    folder = published_files.locate(None, lines_reported.append)
    assert published_files.contents(folder) == CONTENT
    assert len(lines_reported) == 1 and f"{len(CONTENT)} files" in lines_reported[0]
    shutil.rmtree(server)
    assert published_files.locate(None, lines_reported.append) == folder == tmp_path / "cache"
    assert len(lines_reported) == 1


def test_folders_are_there_before_files_are_fetched_in_parallel(server, monkeypatch):
    there = []
    monkeypatch.setattr(
        pooch.Pooch, "fetch", lambda source, name, **_: there.append((source.abspath / name).parent.is_dir())
    )
    published_files.locate()
    assert there == [True] * len(CONTENT)


def test_an_altered_file_of_the_cache_is_fetched_again(server, tmp_path):
    folder = published_files.locate()
    (folder / "model_perf/cifar-10s.yaml").write_bytes(b"baseline/: [99.9]\n")
    assert published_files.contents(published_files.locate()) == CONTENT


def test_a_fetched_file_with_another_hash_is_never_kept(server, tmp_path):
    (server / "raw_bias_numbers/overall/S-Base.yaml").write_bytes(b"DP: [0.2]\n")
    with pytest.raises(RunFailed, match=r"overall/S-Base\.yaml: .*another SHA-256.*--data") as error:
        published_files.locate()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "cache/raw_bias_numbers/overall/S-Base.yaml").exists()


def test_a_file_that_the_server_does_not_have_is_named(server):
    (server / published_files._remote("model_perf/cifar-10s.yaml")).unlink()
    with pytest.raises(RunFailed, match=r"model_perf/cifar-10s\.yaml: cannot be fetched.*--data DIR"):
        published_files.locate()


def test_without_a_network_the_remedy_is_given_in_one_line(server, monkeypatch):
    monkeypatch.setattr(published_files, "BASE_URL", "http://127.0.0.1:9/")
    with pytest.raises(RunFailed, match=r"cannot be fetched.*FITLIB_DATA_DIR") as error:
        published_files.locate()
    assert "\n" not in str(error.value)


def test_a_local_copy_goes_before_the_cache(small, tmp_path, monkeypatch):
    monkeypatch.setattr(published_files, "cache", lambda: pytest.fail("the cache was asked"))
    put(tmp_path / "data/paper")
    monkeypatch.setenv("FITLIB_DATA_DIR", str(tmp_path / "data"))
    assert published_files.locate() == tmp_path / "data/paper"
    assert published_files.locate(put(tmp_path / "other")) == tmp_path / "other"


def test_a_checkout_of_the_public_repository_can_be_read(small, tmp_path):
    assert published_files.contents(put(tmp_path, published_files._remote)) == CONTENT


@pytest.mark.parametrize("given", ["--data", "FITLIB_DATA_DIR"])
def test_a_folder_that_is_not_there_is_named(small, tmp_path, monkeypatch, given):
    monkeypatch.setenv("FITLIB_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(InputError, match=rf"none.*{given}.*no such folder"):
        published_files.locate(tmp_path / "none" if given == "--data" else None)


def test_missing_altered_truncated_and_unreadable_files_are_named(small, tmp_path):
    path = put(tmp_path) / "model_perf/cifar-10s.yaml"
    for damage, problem in ((b"baseline/: [88.6]\n", "altered"), (path.read_bytes()[:-3], "truncated")):
        path.write_bytes(damage)
        with pytest.raises(InputError, match=rf"model_perf/cifar-10s\.yaml.*{problem}.*--data"):
            published_files.contents(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"model_perf/cifar-10s\.yaml'?: missing"):
        published_files.contents(tmp_path)
    path.mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        published_files.contents(tmp_path)


@pytest.mark.parametrize(
    "value", ["!!python/object/apply:os.system ['touch made']", "[!!python/name:os.system '']", "&a [1.0]\nDI: *a"]
)
def test_nothing_but_plain_lists_is_read_and_no_tag_is_followed(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="neither tags nor aliases"):
        study._parse(f"DP: {value}\n".encode())
    assert list(tmp_path.iterdir()) == []


def test_lists_are_read_as_the_safe_loader_reads_them(data_dir):
    content = (data_dir / "paper/raw_bias_numbers/overall/C-Base.yaml").read_bytes()
    expected = {key: np.array(values) for key, values in yaml.safe_load(content).items()}
    made = {key: np.array(values, dtype=np.float64) for key, values in study._parse(content).items()}
    assert list(made) == list(expected)
    assert all((made[key] == expected[key]).all() for key in made)


# The command


@pytest.mark.parametrize("damage", ["folder", "file"])
def test_wrong_data_end_the_command_with_2_and_one_line(fitlib_command, tmp_path, damage):
    folder = tmp_path / "numbers"
    if damage == "file":
        folder.mkdir()
    result = fitlib_command("paper", "--data", folder, cwd=tmp_path)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1 and str(folder) in result.stderr and "--data DIR" in result.stderr
    assert not (tmp_path / "outputs").exists()


def test_a_folder_with_other_files_is_not_written_to(small, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"--out.*not empty"):
        command.recompute(put(tmp_path / "numbers"), tmp_path / "out", print)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_a_file_is_neither_a_folder_of_numbers_nor_one_to_write_to(small, tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match=r"--data.*not a folder"):
        published_files.locate(file)
    for out in (file, file / "out"):
        with pytest.raises(InputError, match=r"--out.*not a folder"):
            command.recompute(put(tmp_path / "numbers"), out, print)


def test_papermill_is_there_without_the_slow_grammar_of_addresses():
    work = (
        "import sys; from fitlib.execution import run_notebook as p; p._papermill(); "
        "print('papermill' in sys.modules, p.ADDRESS_GRAMMAR in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True", "False"]


def notebook(path: Path, work: str) -> Path:
    import nbformat
    from nbformat import v4

    parameters = v4.new_code_cell('data_dir: str = ""\nout_dir: str = ""')
    parameters.metadata["tags"] = ["parameters"]
    cells = [v4.new_markdown_cell("# The study"), parameters, v4.new_code_cell(work)]
    kernel = {"name": "python3", "language": "python", "display_name": "Python 3"}
    path.write_text(nbformat.writes(v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})))
    return path


@pytest.mark.slow
def test_what_the_notebook_makes_replaces_what_an_earlier_one_made(small, tmp_path, monkeypatch):
    data, out = put(tmp_path / "numbers"), tmp_path / "out"
    work = "import pathlib\nout = pathlib.Path(out_dir, 'tables')\nout.mkdir()\n(out / 'a.csv').write_text('a')"
    monkeypatch.setattr(command, "notebook_path", lambda name: notebook(tmp_path / "paper.ipynb", work))
    (out / "tables").mkdir(parents=True)
    (out / "tables/old.csv").write_text("old")
    (out / "paper.ipynb").write_text("{}")
    made = command.recompute(data, out, print)
    assert [p.name for p in made] == ["tables", "paper.ipynb", "report.html"]
    assert sorted(p.name for p in out.iterdir()) == ["paper.ipynb", "report.html", "tables"]
    assert [p.name for p in (out / "tables").iterdir()] == ["a.csv"]


def test_a_notebook_that_fails_leaves_the_folder_as_it_was(small, tmp_path, monkeypatch):
    data, out = put(tmp_path / "numbers"), tmp_path / "out"
    monkeypatch.setattr(command, "notebook_path", lambda name: notebook(tmp_path / "paper.ipynb", "1 / 0"))
    with pytest.raises(RunFailed, match="ZeroDivisionError"):
        command.recompute(data, out, print)
    assert list(out.iterdir()) == []


@pytest.mark.slow
def test_the_command_leaves_tables_and_a_report(fitlib_command, data_dir, tmp_path):
    result = fitlib_command("paper", "--data", data_dir / "paper", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    out = tmp_path / "outputs/paper"
    assert len(lines(out / "tables/stat_tests.csv")) == 155
    assert (out / "report.html").is_file() and f"report: {out.relative_to(tmp_path)}/report.html" in result.stdout
