"""The pages in a real browser, offline: nothing is loaded, nothing fails, tables sort and filter, links lead somewhere.

Needs Chromium, chromedriver and axe-core: `make browser` brings them where it may.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from fitlib.report import pages as pages_report
from fitlib.report.overview import write_overview
from tests.support.hostile_html import COVERS, HOSTILE
from tests.support.page_examples import report_page
from tests.support.report_examples import SCRIPT, Experiment, experiment

selenium = pytest.importorskip("selenium.webdriver", reason="selenium is missing: pip install selenium")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
AXE = Path(__file__).parents[2] / ".venv" / "node_modules" / "axe-core" / "axe.min.js"
if not (BROWSER and DRIVER):
    pytest.skip(
        "Chromium or chromedriver is missing: apt-get install chromium chromium-driver", allow_module_level=True
    )
WIDTHS = (360, 800, 1400)
NAMES = ("report", "statistics", "index", "outputs/index")
NASTY = [SCRIPT, '"><img src=x onerror=alert(1)>', "a & b"]


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """Headless Chromium without a network."""
    options = selenium.ChromeOptions()
    options.binary_location = BROWSER
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = selenium.Chrome(options=options, service=selenium.ChromeService(DRIVER))
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report, the notebook that it was made of and an index, all with names that try to be markup."""
    folder = tmp_path_factory.mktemp("pages")
    found = experiment(techniques=3, runs=5, classes=NASTY, attributes={SCRIPT: [SCRIPT, "$y$"]}, favourable=0)
    found = renamed(found, "S-T2", NASTY[1])
    found.plan["data"] = {"name": "table", "file": f"data/{NASTY[1]}.csv"}
    report_page(found, folder)
    executed = nbformat.read(folder / "statistics.ipynb", as_version=4)
    long = nbformat.v4.new_output("stream", name="stdout", text=f"{'a long line ' * 50}\n" * 100)
    executed.cells.append(nbformat.v4.new_code_cell(f"text = '{'long ' * 99}'", outputs=[long]))
    nbformat.write(executed, folder / "statistics.ipynb")
    pages_report.write_assets(folder / "assets")
    pages_report.render_notebook(folder / "statistics.ipynb", folder / "statistics.html", "assets")
    rows = [
        {"task": f"{SCRIPT} {i}", "state": "done", "note": NASTY[1], "links": [("report", "report.html")]}
        for i in range(9)
    ]
    pages_report.write_index(folder / "index.html", rows, title=SCRIPT)
    (folder / "outputs" / SCRIPT.replace("/", "")).mkdir(parents=True)  # nobody else's folder can be named so
    (folder / "outputs" / SCRIPT.replace("/", "") / "report.html").write_text("<title>report</title>")
    write_overview(folder / "outputs")
    return {name: folder / f"{name}.html" for name in NAMES}


def renamed(found: Experiment, old: str, new: str) -> Experiment:
    """The experiment with another name of a technique, wherever it stands."""
    plan, evidence = (
        json.loads(json.dumps(part).replace(old, json.dumps(new)[1:-1])) for part in (found.plan, found.evidence)
    )
    metrics, counts = (frame.replace({"technique": {old: new}}) for frame in (found.metrics, found.counts))
    return Experiment(plan, evidence, metrics, counts)


def opened(browser: object, page: Path, width: int = 1400, dark: bool = False) -> None:
    for log in ("browser", "performance"):
        browser.get_log(log)  # what is read is forgotten
    look(browser, width, dark)
    browser.get(page.as_uri())
    browser.execute_script("document.querySelectorAll('details').forEach(part => { part.open = true })")


def look(browser: object, width: int, dark: bool = False) -> None:
    """Screen of a width, in light or dark."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "screen", "features": scheme})


def asked(browser: object) -> list[str]:
    """What the browser has asked for since its log was last read."""
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in sent if m["method"] == "Network.requestWillBeSent"]


@pytest.mark.parametrize("name", NAMES)
def test_page_opens_without_error_and_asks_nobody(browser: object, pages: dict, name: str) -> None:
    opened(browser, pages[name])
    assert browser.get_log("browser") == []
    urls = asked(browser)
    assert urls and all(url.startswith(("file:", "data:")) for url in urls)
    assert not browser.execute_script("return [...document.images].filter(i => !i.naturalWidth).map(i => i.alt)")


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text_and_run_nothing(browser: object, pages: dict, name: str) -> None:
    opened(browser, pages[name])
    assert (SCRIPT if name in NAMES[:3] else SCRIPT.replace("/", "")) in browser.execute_script(
        "return document.body.textContent"
    )
    if name == "report":
        text = browser.execute_script("return document.body.textContent")
        assert f"{NASTY[1]}.csv" in text and f"{NASTY[1]} v S-Base" in text
    assert not browser.execute_script("return document.querySelectorAll('img[onerror], body script ~ script').length")


def test_html_of_a_notebook_stays_where_it_is(browser: object, tmp_path: Path) -> None:
    hostile = nbformat.v4.new_output("display_data", {"text/html": "\n".join([COVERS, *HOSTILE.values()])})
    cells = [nbformat.v4.new_markdown_cell("# Title"), nbformat.v4.new_code_cell("display()", outputs=[hostile])]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "own.ipynb")
    pages_report.render_notebook(tmp_path / "own.ipynb", tmp_path / "own.html", "assets")
    pages_report.write_assets(tmp_path / "assets")
    opened(browser, tmp_path / "own.html")
    time.sleep(0.5)  # a page that is left at once is left by now
    assert browser.current_url == (tmp_path / "own.html").as_uri()
    assert not [url for url in asked(browser) if "elsewhere" in url]
    top = "return document.elementFromPoint(innerWidth / 2, 40).textContent"
    assert "covers all" in browser.execute_script("return document.body.textContent")
    assert "covers all" not in browser.execute_script(top)


@pytest.mark.parametrize("name", NAMES)
def test_page_fits_every_width(browser: object, pages: dict, name: str) -> None:
    opened(browser, pages[name])
    found = {}
    for width in WIDTHS:
        look(browser, width)
        found[width] = browser.execute_script("return document.documentElement.scrollWidth")
    assert all(found[width] <= width for width in WIDTHS)


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(browser: object, pages: dict, name: str) -> None:
    opened(browser, pages[name])
    links = browser.execute_script("return [...document.links].map(a => a.href)")
    broken = [link for link in links if not resolves(browser, pages[name], link)]
    assert links and not [link for link in broken if "/runs/" not in link]  # no run was made here


def resolves(browser: object, page: Path, link: str) -> bool:
    parts = urlsplit(link)
    target = Path(unquote(parts.path))
    if target == page and parts.fragment:
        found = "return document.getElementById(decodeURIComponent(arguments[0])) !== null"
        return browser.execute_script(found, parts.fragment)
    return parts.scheme == "file" and target.exists()


@pytest.mark.parametrize("name", NAMES)
def test_axe_finds_no_serious_barrier_in_light_or_dark(browser: object, pages: dict, name: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is missing: make browser, or npm install --prefix .venv axe-core")
    opened(browser, pages[name])
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    for dark in (False, True):
        look(browser, 1400, dark)
        found = browser.execute_async_script("axe.run().then(arguments[0])")
        serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
        assert found["passes"] and not [(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in serious]


# Sorting and filtering


TABLE = "[aria-label='Differences of means'] table"


def column(browser: object, number: int) -> list[str]:
    rows = (
        "return [...document.querySelector(arguments[0]).tBodies[0].rows].map(r => r.cells[arguments[1]].textContent)"
    )
    return browser.execute_script(rows, TABLE, number)


def press(browser: object, number: int, key: str = "\ue007") -> str | None:
    """Press the heading of a column by keyboard; its order as heard."""
    button = browser.find_elements("css selector", f"{TABLE} thead th")[number].find_element("tag name", "button")
    button.send_keys(key)
    return browser.find_elements("css selector", f"{TABLE} thead th")[number].get_attribute("aria-sort")


def test_tables_sort_by_number_with_the_keyboard(browser: object, pages: dict) -> None:
    opened(browser, pages["report"])
    headings = "return [...document.querySelectorAll(arguments[0] + ' thead th')].map(t => t.textContent)"
    place = browser.execute_script(headings, TABLE).index("Difference")
    whole = browser.execute_script("return document.querySelector(arguments[0]).tBodies[0].innerHTML", TABLE)
    orders = [press(browser, place)]
    up = [number(text) for text in column(browser, place)]
    orders.append(press(browser, place, " "))
    down = [number(text) for text in column(browser, place)]
    orders.append(press(browser, place))
    assert orders == ["ascending", "descending", None]
    assert up == sorted(up) and down == sorted(down, reverse=True) and len(set(up)) > 5
    assert browser.execute_script("return document.querySelector(arguments[0]).tBodies[0].innerHTML", TABLE) == whole


def number(text: str) -> float:
    return float(re.search(r"[-+]?[\d.]+", text.replace("−", "-")).group())


def test_headings_of_a_table_are_one_stop_and_arrows_lead_along_them(browser: object, pages: dict) -> None:
    opened(browser, pages["report"])
    stops = "return [...document.querySelectorAll(arguments[0] + ' thead button')].filter(b => b.tabIndex === 0).length"
    assert browser.execute_script(stops, TABLE) == 1
    first, second = browser.find_elements("css selector", f"{TABLE} thead button")[:2]
    first.send_keys("\ue014")  # arrow to the right
    assert browser.switch_to.active_element == second and browser.execute_script(stops, TABLE) == 1


def test_few_stops_lead_through_a_folded_report(browser: object, pages: dict) -> None:
    look(browser, 1400)
    browser.get(pages["report"].as_uri())
    stops = "a[href], button, input, summary, [tabindex='0']"
    visible = "return [...document.querySelectorAll(arguments[0])].filter(e => e.tabIndex === 0 && e.checkVisibility())"
    assert 10 < len(browser.execute_script(visible, stops)) <= 60


def test_contents_fold_and_wide_parts_fade_on_a_narrow_screen(browser: object, pages: dict) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    look(browser, 400)
    browser.get(pages["report"].as_uri())
    assert not browser.execute_script("return document.querySelector('nav details').open")
    wider = "e.checkVisibility() && e.scrollWidth > e.clientWidth + 4"
    found = f"return [...document.querySelectorAll('.scroll')].filter(e => {wider})"
    plain = found.replace(wider, f"{wider} && !e.classList.contains('more-right')")
    assert browser.execute_script(found)
    WebDriverWait(browser, 10).until(lambda of: not of.execute_script(plain))  # noted after the first layout
    look(browser, 1400)
    WebDriverWait(browser, 10).until(lambda of: of.execute_script("return document.querySelector('nav details').open"))


def test_tables_filter_and_say_how_many_rows_are_left(browser: object, pages: dict) -> None:
    opened(browser, pages["report"])
    field = browser.find_element("css selector", "input[aria-label='Filter rows of the table Differences of means']")
    everything = len(column(browser, 0))
    field.send_keys("s-t1 accuracy")
    assert [text.split()[0] for text in column(browser, 0)] == ["S-T1"] and column(browser, 1) == ["accuracy"]
    messages = field.find_element("xpath", "ancestor::p").find_element("css selector", "[role=status]").text
    assert messages == f"1 of {everything} rows"
    field.clear()
    field.send_keys("no such row")
    assert column(browser, 0) == []


def test_every_row_is_there_without_the_script(pages: dict) -> None:
    text = pages["report"].read_text(encoding="utf-8")
    assert "hidden" not in re.sub(
        r'<script>.*?</script>|<style>.*?</style>|aria-hidden="true"', "", text, flags=re.DOTALL
    )


# Print


def test_tables_are_printed_whole(browser: object, pages: dict) -> None:
    opened(browser, pages["report"], 700)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    widths = browser.execute_script("return [...document.querySelectorAll('table')].map(t => t.offsetWidth)")
    assert widths and max(widths) <= 704  # of A4 within its margins
    assert len(browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]) > 1e4


def test_parts_are_folded_until_a_link_leads_into_them(browser: object, pages: dict) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    look(browser, 1400)
    browser.get(pages["report"].as_uri())
    folded = "return [...document.querySelectorAll('main details')].filter(part => part.open).length"
    assert browser.execute_script(folded) == 0
    link = browser.find_element("xpath", "//nav//a[contains(., 'held identical')]")
    link.click()
    WebDriverWait(browser, 10).until(lambda of: of.execute_script(folded) == 1)  # the event comes after the click
    assert browser.find_element("xpath", "//main//details[@open]//h2").text.startswith("What was held identical")
