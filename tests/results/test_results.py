"""One object for results in memory and on disk: its report is the command's page, and it needs no notebook."""

import re
import subprocess
import sys

import pandas as pd
import pytest

import fitlib
from fitlib.errors import InputError
from fitlib.results.example import example_results
from fitlib.tables.planning import how_many
from tests.results.test_analysis import binary, write_files
from tests.support.simulated import write_simulated

SOURCE = re.compile(r' All columns: <a href="[^"]*">[^<]*</a>\.')
LINK = re.compile(r'(<td[^>]*>)<a href="[^#"][^"]*">([^<]*)</a>')
TRAIL = re.compile(r'<p class="trail">.*?</p>\n')
NAMED = re.compile(r"(<title>)mine · |(?<=<p>)<b>mine</b> · \d{4}-\d\d-\d\d · ")
NOTES = re.compile(r"<li>Data: .*?</li>")  # how files were read, which arrays need not be
BLOCKED = """
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    names = {"torch", "IPython", "ipywidgets", "nbconvert", "nbformat", "papermill", "jupyter_client", "sklearn"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import fitlib
"""


@pytest.fixture(scope="module")
def results():
    return example_results()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return fitlib.load(write_simulated(tmp_path_factory.mktemp("place") / "outputs"))


def without_links(page):
    return TRAIL.sub("", LINK.sub(r"\1\2", SOURCE.sub("", page)))


def without_name(page):
    """The page without name and date of the experiment, which arrays do not have."""
    found, number = NAMED.subn(r"\1", page)
    assert number == 2
    return found


def test_the_report_is_the_page_of_the_command_up_to_links(tmp_path, fitlib_command):
    given, command = binary()
    write_files(tmp_path / "mine", given)
    done = fitlib_command("analyze", "mine", *command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    on_disk = fitlib.load("mine", tmp_path / "outputs")
    expected = without_links(on_disk.report().read_text(encoding="utf-8"))
    copied = on_disk.report(tmp_path / "copy.html").read_text(encoding="utf-8")
    made = fitlib.analyze(**given, baseline="Plain").report(tmp_path / "made.html").read_text(encoding="utf-8")
    assert copied == expected
    assert NOTES.sub("", made) == NOTES.sub("", without_name(expected)) and len(NOTES.findall(made)) == 1


def test_a_page_made_in_memory_leads_nowhere_else(results, tmp_path):
    page = results.report(tmp_path / "page.html").read_text(encoding="utf-8")
    assert {link[0] for link in re.findall(r'href="([^"]*)"', page)} == {"#"}
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_results_in_memory_need_neither_torch_nor_a_notebook(tmp_path):
    code = BLOCKED + (
        "given = [0, 1] * 20, {'A': [[0, 1, 1, 0] * 10, [0, 1] * 20], 'B': [[0, 1] * 20, [0, 1, 1, 1] * 10]}\n"
        "results = fitlib.analyze(*given, sensitive_features=['a', 'b', 'b', 'a'] * 10, baseline='A')\n"
        "results.report('page.html'), results._repr_html_(), results.plot.heat_map(), results.how_many()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_results_on_disk_need_neither_torch_nor_a_notebook(loaded, tmp_path):
    code = BLOCKED + (
        f"results = fitlib.load({str(loaded.root)!r}); results.report('page.html'); results.plot.effects()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_loaded_results_are_results(results, loaded):
    assert isinstance(loaded, fitlib.Results) and isinstance(results, fitlib.Results)
    common = {"verdict", "tables", "summary", "comparisons", "risk", "metrics", "plan", "evidence", "plot", "report"}
    for of in (results, loaded):
        assert common | {"how_many"} <= set(dir(of))
        assert len(of.summary) and of.comparisons.caption and of.risk.caption and "n = " in of.metrics.caption


def test_a_report_needs_a_path_only_in_memory(results, loaded):
    with pytest.raises(InputError, match=r"results.report: path = None: results in memory have no page"):
        results.report()
    assert loaded.report() == loaded.root / "report.html"


def test_the_notebook_shows_verdict_figure_and_folded_table(results):
    page = results._repr_html_()
    assert all(sentence[:40] in page for sentence in results.verdict)
    assert page.index('src="data:image/svg+xml;base64,') < page.index("<details>") < page.index("At a glance.</b>")
    assert re.search(r'alt="Every run on DI\. Lowest mean: Fairer', page) and "<code>comparisons</code>" in page


def test_numbers_of_runs_are_those_of_the_table(results):
    expected = how_many(results.comparisons, results.tables["over_seeds"], dict(results.plan), [8], ["Same"], ["DP"])
    found = results.how_many("DP", "Same", numbers=[8])
    pd.testing.assert_frame_equal(pd.DataFrame(found), expected, check_exact=True)
    assert len(found) and "runs" in found.caption
    pd.testing.assert_frame_equal(pd.DataFrame(results.how_many()), pd.DataFrame(results.tables.planning))


BAD = {
    "metric": ({"metrics": ["XX"]}, "results.how_many: metrics = 'XX': unknown"),
    "technique": ({"techniques": "Plain"}, "results.how_many: techniques = 'Plain': unknown"),
    "smallest effect": ({"smallest_effect": -1}, "results.how_many: smallest_effect = -1: invalid value"),
    "level": ({"level": 5}, "results.how_many: level = 5: not between 0 and 1"),
    "numbers": ({"numbers": [1]}, r"results.how_many: numbers = \[1\]: not numbers of runs"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_planned_is_refused_in_one_line(results, case):
    given, message = BAD[case]
    with pytest.raises(InputError, match=message):
        results.how_many(**given)
