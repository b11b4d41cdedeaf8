"""The report and the other pages: readable without network, script, colour or mouse, whatever the names are."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from fitlib.execution.run_notebook import execute
from fitlib.experiment.code_inspection import fitlib_imports
from fitlib.experiment.notebooks import notebook_path
from fitlib.metrics.bias_metrics import BIAS_METRICS
from fitlib.report import notebook_display, pages, scope
from fitlib.report.figures import style as plots
from fitlib.report.markdown_html import formula, markdown_html
from fitlib.report.sections import differences, identity, impact, methods, runs, variation, verdict
from fitlib.tables.schemas import SCHEMAS
from tests.support.page_examples import NOTEBOOK, Page, executed_notebook, report_page, without_script, write_metrics
from tests.support.report_examples import (
    SCRIPT,
    Experiment,
    constant,
    digest,
    experiment,
    with_parts,
    without,
    without_record,
)

NASTY = [SCRIPT, "a & b", "$x^2$ *bold* [link](https://evil.example)"]


@pytest.fixture(scope="module")
def nasty(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A report in which class, group and attribute names try to be markup."""
    found = experiment(classes=NASTY, attributes={SCRIPT: [SCRIPT, "$y$"]}, favourable=0, runs=5)
    return report_page(found, tmp_path_factory.mktemp("nasty"))


# One report with a kernel, as a batch makes it


def usual_batch() -> Experiment:
    return experiment(techniques=4, runs=16, classes=[str(c) for c in range(10)])


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    parameters = write_metrics(usual_batch(), folder)
    execute(NOTEBOOK, folder / "statistics.ipynb", parameters, {"PYTHONPATH": str(NOTEBOOK.parent.parent)})
    pages.write_report(folder / "statistics.ipynb", folder / "report.html")
    return folder


def test_executed_notebook_writes_tables_and_figures(batch: Path) -> None:
    tables = {p.name for p in (batch / "tables").iterdir()}
    figures = {p.name for p in (batch / "figures").iterdir()}
    assert tables == {*(f"{name}.csv" for name in SCHEMAS if name != "review"), "metrics.parquet", "datapackage.json"}
    names = (
        "verdict",
        "distributions",
        "runs-and-spread",
        "impact-ratio-sides",
        "comparisons",
        "effects",
    )
    names += ("how-many-runs", "plane", "per-class")
    assert figures == {f"{name}.{kind}" for name in names for kind in ("svg", "png")}


def test_report_of_64_runs_is_below_5_megabytes(batch: Path) -> None:
    assert (batch / "report.html").stat().st_size < 5e6


def test_cells_run_here_as_they_do_in_a_kernel(batch: Path, tmp_path: Path) -> None:
    with_kernel = (batch / "report.html").read_text(encoding="utf-8")
    dated = re.findall(r"<p>(\d{4}-\d\d-\d\d · )digits", with_kernel)
    assert report_page(usual_batch(), tmp_path).source == with_kernel.replace(*dated, "")


def test_notebook_runs_by_hand_on_a_simulated_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    page = report_page(None, tmp_path)
    assert "the predictions below are simulated, and no model was trained" in page.text
    assert "whether they were identical is unknown" in page.text


# Properties of every report


def test_nothing_is_loaded_and_only_the_named_script_may_run(nasty: Page) -> None:
    assert nasty.all("script") == [{}] and not nasty.all("link") and not nasty.all("iframe")
    script = re.search(r"<script>(.*?)</script>", nasty.source, re.DOTALL).group(1)
    digest_of_it = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest_of_it}';" in nasty.source
    assert all(image["src"].startswith("data:image/") for image in nasty.all("img"))
    assert not re.search(r"url\(|@import|javascript:|\son\w+=", without_script(nasty))
    assert not re.search(r"fetch|XMLHttp|import\b|eval|innerHTML|localStorage|document\.write", script)
    assert not [attrs for _, attrs in nasty.elements if str(attrs.get("href", "")).startswith(("http", "//"))]
    assert "default-src 'none'" in nasty.source


def test_pictures_inside_load_nothing_either(nasty: Page) -> None:
    for image in nasty.all("img"):
        svg = base64.b64decode(image["src"].split(",", 1)[1]).decode()
        assert "<script" not in svg and not re.search(r'href="(?!#)|url\((?!#)', svg)


def test_names_are_text(nasty: Page) -> None:
    assert "<script" not in without_script(nasty)
    for name in NASTY:
        assert name in nasty.text
    assert not [a for a in nasty.all("a") if "evil.example" in a["href"]]


def test_headings_are_in_order_and_listed(nasty: Page) -> None:
    levels = [int(tag[1]) for tag, _ in nasty.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    anchors = {attrs["id"] for attrs in nasty.all("h2")}
    assert {a["href"][1:] for a in nasty.all("a") if a["href"].startswith("#")} == anchors | {"content"}


def test_landmarks_tables_and_pictures_can_be_heard(nasty: Page) -> None:
    assert len(nasty.all("main")) == 1 and len(nasty.all("nav")) == 1
    assert len(nasty.all("caption")) == len(nasty.all("table")) > 8
    assert all(attrs.get("scope") in {"col", "row", "rowgroup"} for attrs in nasty.all("th"))
    assert nasty.all("img") and all(len(image["alt"]) > 40 for image in nasty.all("img"))
    assert {"lang": "en"} in nasty.all("html")


def test_the_conditions_stand_once_and_captions_repeat_only_others(nasty: Page) -> None:
    stated = re.compile(r"n = (\d+) runs per technique\. Varied: noise ulp \(emulated\)\. Fixed: seed 0, .*test set")
    (common,) = re.findall(r'<p class="conditions">(.*?)</p>', nasty.source, re.DOTALL)
    captions = re.findall(r"<caption>.*?</caption>|<figcaption>.*?</figcaption>", nasty.source, re.DOTALL)
    usual = stated.match(common)
    others = [found[1] for found in map(stated.search, captions) if found]
    assert usual and len(captions) > 10 and usual[1] not in others
    assert not [text for text in captions if "n = " in text and not stated.search(text)]


def test_code_is_hidden_unless_asked_for(batch: Path, tmp_path: Path) -> None:
    assert "tables_of" not in (batch / "report.html").read_text(encoding="utf-8")
    pages.write_report(batch / "statistics.ipynb", tmp_path / "code.html", show_code=True)
    assert "tables_of" in Page(tmp_path / "code.html").text


def test_favourable_class_is_told_with_its_rule(nasty: Page) -> None:
    assert "29 CFR 1607.4(D)" in nasty.text and "four fifths" in nasty.text


def blank(figure: Figure, folder: Path, stem: str) -> tuple[Path, Path]:
    """In the place of `plots.save`, whose files other tests look at."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.svg"
    path.write_text("<svg/>")
    return path, path


def never_predicted(name: str, predicted: np.ndarray) -> np.ndarray:
    """The technique S-T1 predicts class 2 in no run, the others in every second run."""
    kept = np.arange(len(predicted)) % 2 == 0 if name != "S-T1" else np.zeros(len(predicted), bool)
    return np.where((predicted == 2) & ~kept[:, None], 0, predicted)


CASES = {
    "undefined": (
        lambda: experiment(alter=never_predicted),
        ["1 class (2) had undefined values of DI", "S-T1 against S-Base leaves out class 2 for DI and BA"],
    ),
    "27 techniques": (
        lambda: experiment(techniques=27, runs=5),
        ["of 26 techniques,", "S-T26", "130 tests", "Part 1 of 2."],
    ),
    "one run": (lambda: experiment(runs=1), ["too few runs", "not estimable", "cannot be seen"]),
    "one technique": (lambda: experiment(techniques=1), ["There is no comparison: nothing stands against S-Base."]),
    "failed": (
        lambda: without(experiment(), "S-T1", 2, "ValueError: loss is not finite"),
        [
            "1 of 24 planned runs did not finish",
            "run-02 failed: ValueError: loss is not finite",
            "among overall values of 5 runs",
        ],
    ),
    "not FIT": (
        lambda: with_parts(experiment(), "S-T1", 2, initial_weights=digest("another")),
        [
            "not FIT runs (initial weights differs between runs)",
            "initial weights differs in run-02",
            "refuted for 1 of 3",
        ],
    ),
    "constant": (
        lambda: experiment(alter=constant("S-T1")),
        ["constant in all 6 runs", "bit-identical in 6 of 6 runs"],
    ),
    "elsewhere": (
        lambda: without_record(experiment()),
        ["whether they were identical is unknown", "noise not recorded"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_unusual_experiments_read_correctly(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, phrases = CASES[case]
    monkeypatch.setattr(plots, "save", blank)
    page = report_page(make(), tmp_path)
    for phrase in phrases:
        assert phrase in page.text, phrase
    assert not re.search(r"\b(nan|NaN|inf|<NA>)\b|0\.000? ± 0\.00", page.text)
    assert all("nan" not in image["alt"].lower().split() for image in page.all("img"))


# Where a page stands


def test_a_page_names_its_experiment_its_conditions_and_its_neighbours(tmp_path: Path) -> None:
    source = executed_notebook(experiment(runs=5), tmp_path)
    around = {"back": (("All experiments", "../index.html"),), "on": (("Everything executed", "index.html"),)}
    pages.write_report(source, tmp_path / "report.html", name=SCRIPT, **around)
    page = Page(tmp_path / "report.html")
    assert f"<title>{html.escape(SCRIPT)} · Fairness over" in page.source
    line = f"{SCRIPT} · digits-s · 3 techniques × 5 runs · seed 0 · noise ulp (emulated) · page by fitlib"
    assert line in page.text and re.search(r"· plan \w{12}\b", page.text)
    assert {"href": "../index.html"} in page.all("a") and {"href": "index.html"} in page.all("a")


def test_a_page_claims_nothing_that_was_not_recorded(tmp_path: Path) -> None:
    found = without_record(experiment(runs=5))
    facts = scope.of_experiment({**found.plan, "source": "predictions made elsewhere"}).facts
    sizes, *rest = [fact for fact in facts if fact != "digits-s"]
    assert sizes == "3 techniques × at most 5 runs" and rest[1:] == ["noise not recorded", scope.written_by()]
    failed = without(experiment(runs=5), "S-T1", 2, "ValueError")
    assert "3 techniques × 5 planned runs" in scope.of_experiment(failed.plan, failed.evidence).facts
    assert scope.notebook_scope({"metadata": {}}) == scope.NOWHERE


def test_names_cannot_turn_the_text_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "save", blank)  # fonts lack these characters
    names = ["a\u202eb", "c\x1b[2Jd", "e\u2066f", "\u200eg", "h\x9bi"]
    page = report_page(experiment(classes=names, runs=5), tmp_path)
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]", page.source)
    assert "a\\u202eb" in page.text and "\\u200eg" in page.text


# Pieces


def test_markdown_of_a_text_shows_that_text() -> None:
    for text in (*NASTY, "# not a heading", "1 < 2 & 3 > 2", "https://a.example `x` \\ ~~x~~ | a |"):
        shown = markdown_html(notebook_display.markdown(f"x {text}"))
        body = re.sub(r"</?p>", "", shown).strip()
        assert "<" not in body and html.unescape(body) == f"x {text}"


def test_tables_merge_equal_neighbours_and_link_relative_addresses_only() -> None:
    frame = pd.DataFrame({"A": ["x", "x", SCRIPT], "B": ["1", "2", "3"]})
    text = notebook_display.table_html("Title", frame, "n = 1. About", links={"B": ["runs/a b/1.html", "", ""]})
    assert 'scope="rowgroup" rowspan="2">x<' in text and "&lt;script&gt;" in text
    assert '<a href="runs/a%20b/1.html">1</a>' in text
    for bad in ("javascript:alert(1)", "https://a.example/", "//a.example", "/etc/passwd"):
        with pytest.raises(ValueError, match="not a relative address"):
            notebook_display.address(bad)


def test_notebook_is_rendered_once_and_again_only_if_it_changed(batch: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "train.ipynb", tmp_path / "train.html"
    source.write_bytes((batch / "statistics.ipynb").read_bytes())
    assert pages.render_notebook(source, target, "../../assets")
    before = target.read_bytes()
    assert not pages.render_notebook(source, target, "../../assets") and target.read_bytes() == before
    source.write_bytes(source.read_bytes().replace(b"The verdict", b"The outcome"))
    assert pages.render_notebook(source, target, "../../assets") and target.read_bytes() != before
    page = Page(target)
    assert page.all("link") == [{"rel": "stylesheet", "href": "../../assets/fitlib.css"}]
    assert "tables_of" in page.text and not page.all("script")


def test_outputs_of_any_notebook_neither_run_nor_load(tmp_path: Path) -> None:
    output = nbformat.v4.new_output
    cell = nbformat.v4.new_code_cell("print('<b>')", outputs=[
        output("stream", name="stdout", text="<b>\n"),
        output("display_data", {"application/javascript": "alert(1)", "text/plain": "<Javascript>"}),
        output("display_data", {"image/png": "aGk=", "text/plain": "x"}),
        output("error", ename="E", evalue="<i>", traceback=["\x1b[31m<i>\x1b[0m"]),
    ])  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    pages.render_notebook(tmp_path / "a.ipynb", tmp_path / "a.html", "assets")
    page = Page(tmp_path / "a.html")
    assert "<b>" in page.text and "<i>" in page.text and "<Javascript>" in page.text
    assert not page.all("script") and not page.all("b") and page.all("img")[0]["alt"]


def test_formulas_are_pictures_with_their_source_as_text(tmp_path: Path) -> None:
    cell = nbformat.v4.new_markdown_cell(r"Of $\left\lvert \frac{q}{n} \right\rvert$ and $\undefined{x}$.")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "a.ipynb")
    pages.render_notebook(tmp_path / "a.ipynb", tmp_path / "a.html", "assets")
    page = Page(tmp_path / "a.html")
    assert [image["alt"] for image in page.all("img")] == [r"\left\lvert \frac{q}{n} \right\rvert"]
    assert r"\undefined{x}" in page.text and formula("q") == formula("q")


def test_index_lists_state_links_and_notes_as_text(tmp_path: Path) -> None:
    rows = [
        {"group": "Results", "task": "report", "state": "done", "links": [("report", "report.html")]},
        {
            "group": SCRIPT,
            "task": SCRIPT,
            "state": "failed",
            "links": [],
            "note": "ValueError: <b>",
            "notebook": tmp_path,
        },
    ]
    pages.write_assets(tmp_path / "assets")
    pages.write_index(tmp_path / "index.html", rows, title="Everything")
    page = Page(tmp_path / "index.html")
    assert "1 done, 1 failed." in page.text and SCRIPT in page.text and "ValueError: <b>" in page.text
    assert "<script" not in without_script(page) and {"href": "report.html"} in page.all("a")
    assert (tmp_path / "assets" / "fitlib.css").is_file()
    assert all(attrs["scope"] in {"col", "row"} for attrs in page.all("th"))


def test_index_folds_long_groups_unless_something_in_them_failed(tmp_path: Path) -> None:
    rows = [{"group": group, "task": str(i), "state": "done"} for group in ("sound", "broken") for i in range(9)]
    rows[-1]["state"] = "failed"
    pages.write_index(tmp_path / "index.html", [*rows, {"group": "short", "task": "report", "state": "done"}])
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<details><summary><h2[^>]*>(.*?)</h2>", text) == ["sound: 9 done"]
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", text) == ["sound: 9 done", "broken", "short"]
    assert text.count("<details>") == text.count("</details>") == 1


def test_tables_of_tests_are_left_out_where_nothing_was_tested() -> None:
    same = experiment(alter=lambda name, values: values[:1].repeat(len(values), axis=0)).comparisons
    assert (
        differences.tests_view(same, {}).empty
        and differences.spread_view(same, {}).empty
        and len(differences.effects_view(same, {}))
    )


def test_views_hold_text_only() -> None:
    found = experiment(runs=4)
    shown_views = [
        verdict.glance_view(found.plan, found.evidence, found.comparisons),
        identity.trainings_view(found.plan, found.evidence),
        identity.parts_view(found.plan, found.evidence),
        variation.summary_view(found.summary, found.plan),
        differences.effects_view(found.comparisons, found.plan),
        differences.tests_view(found.comparisons, found.plan),
        differences.spread_view(found.comparisons, found.plan),
        impact.risk_view(found.risk, found.plan),
        runs.runs_view(found.runs, found.plan),
        methods.metrics_view(found.summary, found.plan),
    ]
    for view in shown_views:
        assert len(view) and view.map(lambda cell: isinstance(cell, str) and cell.lower() != "nan").all(axis=None)
    assert list(methods.metrics_view(found.summary, found.plan)["Metric"]) == list(BIAS_METRICS)


def test_the_visual_side_does_not_import_torch() -> None:
    modules = ", ".join([*fitlib_imports(notebook_path("metrics")), *fitlib_imports(NOTEBOOK), "fitlib.report.pages"])
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=NOTEBOOK.parent.parent, check=False).returncode == 0


def test_many_rows_of_risk_are_those_below_in_most_runs_and_undefined_ones_have_dashes() -> None:
    found = experiment()
    risk = found.risk.assign(violated=range(len(found.risk)))
    shown = impact.risk_view(risk, found.plan, most=3)
    assert shown["Runs below"].tolist() == [f"{k} of 6" for k in risk["violated"].tail(3)]
    assert "those below 0.8 in most runs" in impact.caption_risk(found.plan, risk, 3)
    empty = found.risk.assign(n=0, p_violated=None, p_disagree=None, ratio_mean=None, ratio_min=None, ratio_max=None)
    assert set(impact.risk_view(empty, found.plan)["lowest to highest"]) == {"–"}


def test_without_a_plan_there_is_nothing_to_deviate_from() -> None:
    found = experiment()
    plan = {**found.plan, "declared_before_first_run": False, "deviations": []}
    answers = verdict.glance_view(plan, [], found.comparisons).set_index("Question")["Answer"]
    assert answers["Deviations from the plan"] == "no plan to deviate from"


def test_parts_that_differ_between_arms_name_their_arm() -> None:
    found = experiment()
    arms = [found.plan["arms"][0], {**found.plan["arms"][0], "arm": "seed1.ulp", "seed": 1}]
    main = [e for e in found.evidence if e["arm"] == "ulp"]
    other = [{**e, "arm": "seed1.ulp", "parts": {**e["parts"], "data order": "another"}} for e in main]
    view = identity.parts_view({**found.plan, "arms": arms}, [*main, *other])
    assert "all, arm seed1.ulp" in set(view.loc[view["Value"] == "another", "Training"])
