"""The page of all experiments says what their reports say, whatever state they are in."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest

from fitlib.report.figures.verdict import shown_metric
from fitlib.report.glance import read_effects
from fitlib.report.notebook_display import markdown
from fitlib.report.overview import experiments, read_verdict, rows_of, write_overview
from fitlib.storage.lock import locked
from fitlib.storage.paths import ExperimentPaths
from fitlib.tables.schemas import write_csv
from tests.support.page_examples import Page, without_script
from tests.support.report_examples import SCRIPT, Experiment, experiment, without, without_record


def write_executed_notebook(folder: Path, found: Experiment, verdict: str) -> None:
    """Write what the page reads of an executed statistics notebook."""
    folder.mkdir(parents=True)
    messages = {"output_type": "display_data", "data": {"text/markdown": f"{markdown(verdict)}\n\nAnother sentence."}}
    cells = [
        {"cell_type": "markdown", "source": ["# Title"]},
        {"cell_type": "markdown", "source": ["## The verdict"]},
        {"cell_type": "code", "source": [], "outputs": [messages]},
    ]
    parameters = {"plan": found.plan, "evidence": found.evidence}
    notebook = {"cells": cells, "metadata": {"papermill": {"parameters": parameters}}}
    (folder / "statistics.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    (folder / "report.html").write_text("report")


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    write_executed_notebook(tmp_path / "good", experiment(runs=6), "S-T1 is fairer.")
    write_executed_notebook(tmp_path / "odd", without(experiment(runs=5), "S-T1", 2, "ValueError"), SCRIPT)
    write_executed_notebook(tmp_path / "outside", without_record(experiment()), "No verdict.")
    write_executed_notebook(tmp_path / "two" / "families" / "S", experiment(), "First family.")
    write_executed_notebook(tmp_path / "two" / "families" / "N", experiment(), "Second family.")
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "experiment.yaml").write_text("name: begun\n")
    (tmp_path / "two" / "experiment.yaml").write_text("name: two\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "statistics.ipynb").write_text("{")
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_every_experiment_has_a_row_and_other_folders_none(outputs: Path) -> None:
    names = [row["name"] for folder in experiments(outputs) for row in rows_of(folder)]
    assert names == ["begun", "broken", "good", "odd", "outside", "two: N", "two: S"]


def test_state_n_noise_and_verdict_are_those_of_the_report(outputs: Path) -> None:
    rows = {row["name"]: row for folder in experiments(outputs) for row in rows_of(folder)}
    good = rows["good"]
    assert (good["state"], good["techniques"], good["n"]) == ("all 24 runs done", "3", "6")
    assert (good["noise"], good["seeds"], good["verdict"]) == ("ulp (emulated)", "0", "S-T1 is fairer.")
    assert "1 failed" in rows["odd"]["state"] and rows["outside"]["noise"] == "not recorded"
    assert rows["begun"]["state"] == "no run yet" and rows["begun"]["verdict"] == "no report yet"
    assert rows["broken"]["n"] == "–" and rows["two: N"]["verdict"] == "Second family."


def test_links_lead_to_pages_that_are_there(outputs: Path) -> None:
    page = Page(write_overview(outputs))
    links = [attrs["href"] for attrs in page.all("a") if not attrs["href"].startswith("#")]
    assert "good/report.html" in links and "two/families/S/report.html" in links
    assert all((outputs / link).is_file() for link in links)


def test_the_newest_experiment_comes_first_with_its_date(outputs: Path) -> None:
    for name, end in (
        ("good", "2026-11-30T23:00:00"),
        ("odd", "2099-12-01T01:00:00"),
        ("outside", "2026-12-01T02:00:00"),
    ):
        path = outputs / name / "statistics.ipynb"
        notebook = json.loads(path.read_text(encoding="utf-8"))
        notebook["metadata"]["papermill"]["end_time"] = end
        path.write_text(json.dumps(notebook), encoding="utf-8")
    page = Page(write_overview(outputs))
    order = [page.text.index(day) for day in ("2099-12-01", "2026-12-01", "2026-11-30")]
    assert order == sorted(order) and page.text.index("odd") < page.text.index("outside") < page.text.index("good")


def test_effects_are_those_of_the_comparisons_on_the_metric_of_the_report(tmp_path: Path) -> None:
    found = experiment(runs=6)
    write_executed_notebook(tmp_path / "one", found, "Found.")
    tables = tmp_path / "one" / "tables"
    tables.mkdir()
    for name in ("comparisons", "summary"):
        write_csv(getattr(found, name), tables / f"{name}.csv")
    metric, effects = read_effects(tables, found.plan)
    assert metric == shown_metric(found.comparisons, found.plan)
    compared = found.comparisons[found.comparisons["metric"] == metric].set_index("technique")
    for effect in effects[1:]:
        row = compared.loc[effect.technique]
        numbers = [float(text.replace("−", "-")) for text in re.findall(r"[−+]?[\d.]+", effect.text)]
        ends = ("difference", "simultaneous_low", "simultaneous_high")
        assert numbers == pytest.approx([100 * row[end] for end in ends], abs=0.006)
        assert effect.text.endswith(row["verdict"]) and effect.least <= effect.mean <= effect.most
    page = Page(write_overview(tmp_path))
    assert effects[0].text == "baseline" and effects[1].text in page.text
    assert page.all("svg")[0]["aria-label"].startswith(metric) and len(page.all("circle")) == 3


def test_a_recomputed_study_is_no_unfinished_experiment(tmp_path: Path) -> None:
    (tmp_path / "paper").mkdir()
    cells = [{"cell_type": "markdown", "source": ["# The published study, recomputed\n", "text"]}]
    noted = {"papermill": {"end_time": "2026-12-01T02:00:00+00:00"}}
    (tmp_path / "paper" / "paper.ipynb").write_text(json.dumps({"cells": cells, "metadata": noted}))
    (tmp_path / "paper" / "report.html").write_text("report")
    (row,) = rows_of(tmp_path / "paper")
    assert (row["state"], row["verdict"], row["date"]) == (
        "recomputed",
        "The published study, recomputed.",
        "2026-12-01",
    )
    assert {"href": "paper/report.html"} in Page(write_overview(tmp_path)).all("a")


def test_verdict_is_text(outputs: Path) -> None:
    page = Page(write_overview(outputs))
    assert SCRIPT in page.text and "<script" not in without_script(page)


def test_running_experiment_says_so(outputs: Path) -> None:
    paths = ExperimentPaths(outputs / "begun")
    (paths.root / "runs" / "a" / "ulp" / "run-00").mkdir(parents=True)
    (paths.root / "runs" / "a" / "ulp" / "run-00" / "record.json").write_text("{}")
    with locked(paths):
        assert rows_of(paths.root)[0]["state"] == "running, 1 done"


def test_the_verdict_is_read_paragraph_by_paragraph(tmp_path: Path) -> None:
    from tests.support.page_examples import executed_notebook

    path = executed_notebook(experiment(runs=5), tmp_path)
    paragraphs = read_verdict(path)
    assert re.match(r"On this test set, S-T1 cuts disparate impact by [\d.]+ points", paragraphs[0])
    outcome = re.compile(r"At seed 0, on this test set, S-T1 (is|has|cannot) .* S-Base.* on ")
    assert sum(outcome.match(text) is not None for text in paragraphs) == 1
    assert len(paragraphs) == len(set(paragraphs)) > 3 and paragraphs == [html.unescape(text) for text in paragraphs]
    assert read_verdict(path.with_name("none.ipynb")) == []


def test_no_experiment_gives_an_empty_list(tmp_path: Path) -> None:
    assert "0 in this folder" in Page(write_overview(tmp_path)).text
