"""JupyterLab itself, started and driven once: open explore.ipynb, run all, change a widget, see the figure change."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fitlib.experiment.notebooks import notebook_path
from tests.support.browser import chromium, programs
from tests.support.simulated import write_simulated

ROOT = Path(__file__).parents[2]
WAIT = 120  # seconds until something must be there; a loaded machine is slow


@pytest.fixture
def project(tmp_path):
    """A project of its own with the notebook and an experiment: JupyterLab saves what it opens."""
    folder = tmp_path / "project"
    write_simulated(folder / "outputs")
    (folder / "notebooks").mkdir()
    shutil.copy(notebook_path("explore"), folder / "notebooks")
    return folder


@pytest.fixture
def lab(project, tmp_path):
    """Address of a JupyterLab that runs on the project as `make lab` starts it."""
    programs()  # else the test is skipped before anything is started
    settings = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    log = tmp_path / "lab.log"
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", "--IdentityProvider.token=secret"]
    options += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command = [sys.executable, "-m", "jupyter", "lab", f"--ServerApp.root_dir={project}", *options]
    with log.open("w") as stream:
        server = subprocess.Popen(command, stdout=stream, stderr=stream, env={**os.environ, **settings}, cwd=project)
    try:
        yield f"{until(lambda: address(log))}/lab/tree/notebooks/explore.ipynb?token=secret"
    finally:
        server.terminate()  # its kernels end with it
        server.wait(30)


def address(log: Path) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
    return found.group() if found else ""


def until(made, wait: float = WAIT):
    """The first result that is not empty; what stumbles while a page is still being built is tried again."""
    from selenium.common.exceptions import WebDriverException

    end = time.monotonic() + wait
    while True:
        problem = "nothing came"
        try:
            if result := made():
                return result
        except WebDriverException as error:
            problem = error.msg
        assert time.monotonic() < end, f"waited {wait} s: {problem}"
        time.sleep(0.2)


class Lab:
    """JupyterLab in a browser."""

    def __init__(self, driver, pictures: Path):
        self.driver, self.pictures = driver, pictures

    def find(self, css: str, text: str = ""):
        """The first element of this selector that holds the text; waits until there is one."""
        return until(lambda: next((e for e in self.all(css) if text in e.text), None))

    def all(self, css: str) -> list:
        return self.driver.find_elements("css selector", css)

    def menu(self, name: str, entry: str) -> None:
        """Choose an entry of the menu bar."""
        self.find(".lm-MenuBar-itemLabel", name).click()
        self.find(".lm-Menu-itemLabel", entry).click()

    def choose(self, name: str, option: str) -> None:
        """Choose an option of the drop-down with this label."""
        from selenium.webdriver.support.select import Select

        widget = next(e for e in self.all(".widget-dropdown") if e.text.startswith(name))
        Select(widget.find_element("css selector", "select")).select_by_visible_text(option)

    def picture(self, alt: str) -> str:
        """The source of the figure whose text alternative begins so."""
        return self.find_attribute(f'img[alt^="{alt}"]', "src")

    def find_attribute(self, css: str, name: str) -> str:
        return until(lambda: self.all(css) and self.all(css)[0].get_attribute(name))

    def photograph(self, name: str) -> None:
        self.driver.save_screenshot(str(self.pictures / f"{name}.png"))


@pytest.mark.slow
def test_the_notebook_runs_in_jupyterlab_and_its_figures_follow_the_widgets(lab, tmp_path):
    pictures = Path(os.environ.get("FITLIB_PICTURES", tmp_path))
    with chromium(tmp_path / "profile", 1500, 6000) as driver:  # so tall that every cell is on the screen
        page = Lab(driver, pictures)
        driver.get(lab)
        page.find(".jp-Notebook .jp-MarkdownCell", "Explore an experiment")
        page.menu("Run", "Run All Cells")
        first = page.picture("Dot plot of DI by technique")
        page.find(".jp-OutputArea-output", "by technique, metric and class")  # e.tables describes what each table is
        assert "Experiments: sim" in page.find(".jp-OutputArea-output", "Experiments:").text
        page.photograph("lab-1-run")

        page.choose("class", "3")
        second = page.picture("Dot plot of DI, class 3 by technique")
        assert first and second and first != second

        before = page.picture("Accuracy of run-00")
        page.find(".jupyter-button", "run-03").click()
        assert page.picture("Accuracy of run-03") != before
        link = page.find("a", "executed notebook of run-03")
        page.photograph("lab-2-changed")
        link.click()
        page.find(".jp-Notebook", "print('trained')")  # the executed notebook itself, in a tab of its own
        page.photograph("lab-3-run")

        errors = [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
        assert not [message for message in errors if "ipywidgets" in message or "widget" in message.lower()]


def test_make_lab_starts_jupyterlab_on_the_whole_project():
    done = subprocess.run(["make", "-n", "lab", "LAB_OPTIONS=--port=1"], cwd=ROOT, capture_output=True, text=True)
    line = next(line for line in done.stdout.splitlines() if "jupyter lab" in line)
    assert f'root_dir="{ROOT}"' in line and "notebooks/explore.ipynb" in line and line.endswith("--port=1")
