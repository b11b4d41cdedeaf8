"""HTML for people: what a notebook shows, and the pages made of executed notebooks.

Inside a notebook, `tell` and `Page` display sentences, tables and figures, and the `…_view`
functions choose and word the columns that a reader sees. Afterwards `write_report`, `render_notebook`, `write_index`
and `write_assets` turn executed notebooks into pages that load nothing from the network, run no script and read on
paper, in the dark and by ear. Names that users give (classes, groups) are text everywhere: whatever reaches HTML or
Markdown is escaped here.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import pandas as pd

from fitlib import identity
from fitlib import sentences as say

if TYPE_CHECKING:
    import jinja2
    from matplotlib.figure import Figure
    from nbconvert.exporters import TemplateExporter

TEMPLATES = Path(__file__).parent / "templates"
HEADING = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>', re.DOTALL)
MARKDOWN = re.compile(r"[\\`*_{}\[\]<>&$~|#:]")  # active characters; ":" so that no bare address becomes a link


Links = Mapping[str, Sequence[str]]

# Inside a notebook


def markdown(text: str) -> str:
    """Plain text as Markdown that shows exactly that text: active characters become character references."""
    return MARKDOWN.sub(lambda found: f"&#{ord(found.group())};", " ".join(str(text).split()))


def tell(sentences: str | Iterable[str], paragraphs: bool = False) -> None:
    """Display one sentence as a paragraph, several as a list (or as paragraphs); empty ones are left out."""
    from IPython.display import Markdown, display

    given = [sentences] if isinstance(sentences, str) else sentences
    lines = [markdown(sentence) for sentence in given if sentence]
    if len(lines) > 1 and not paragraphs:
        lines = ["\n".join(f"- {line}" for line in lines)]
    if lines:
        display(Markdown("\n\n".join(lines)))


WRAPPED = 40  # characters of a cell beyond which it may break into lines
NUMBER = re.compile(r"[−+>\[]* ?\d|–$|not estimable$|no test$|constant in all")


@dataclass(frozen=True)
class Page:
    """Where a notebook shows its results: `plan` words the captions, `out` takes the figures."""

    plan: Mapping
    out: Path

    def table(self, title: str, view: pd.DataFrame, caption: str, source: str = "", links: Links | None = None) -> None:
        """Display a table of strings, if it has rows; `source` is the relative address of the file with all columns."""
        from IPython.display import HTML, display

        if len(view):
            display(HTML(table_html(title, view, caption, source, links)))

    def figure(self, name: str, attribute: str, figure: Figure, alt: str, caption: str) -> None:
        """Save a figure as SVG and PNG, and display it with its text alternative and caption.

        Where the plan has several protected attributes, file name and caption tell which one it shows.
        """
        from IPython.display import display

        from fitlib import plots

        if len(self.plan["groups"]) > 1:
            caption = f"Protected attribute: {attribute}. {caption}"
        svg, _ = plots.save(figure, self.out / "figures", plots.stem(name, self.plan, attribute))
        data = {"image/svg+xml": svg.read_text(encoding="utf-8"), "text/plain": alt}
        display(data, metadata={"image/svg+xml": {"alt": alt, "caption": caption}}, raw=True)


def table_html(title: str, frame: pd.DataFrame, caption: str, source: str = "", links: Links | None = None) -> str:
    """A table of strings as HTML, with a caption and with column and row headings that have their scope.

    Equal neighbours in the first column merge. `links` maps a column to one relative address per row ("" for none).
    Columns that are not numbers stand left.
    """
    links, columns = links or {}, list(frame.columns)
    text = {c for c in columns if frame[c].astype(str).map(lambda v: NUMBER.match(v) is None).mean() > 0.5}
    head = "".join(f'<th scope="col"{_class(c in text)}>{html.escape(str(c))}</th>' for c in columns)
    spans = _spans(list(frame.iloc[:, 0])) if columns else []
    body = [
        _table_row(row, columns, spans[i], {c: links[c][i] for c in links}, text)
        for i, row in enumerate(frame.itertuples(index=False, name=None))
    ]
    name = html.escape(title)
    return (
        f'<div class="scroll" role="region" aria-label="{name}" tabindex="0"><table>'
        f"<caption><b>{name}.</b> {html.escape(caption)}{_source_link(source)}</caption>\n"
        f"<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{''.join(body)}</tbody></table></div>"
    )


def _source_link(source: str) -> str:
    return f' All columns: <a href="{address(source)}">{html.escape(source)}</a>.' if source else ""


def _spans(values: list) -> list[int]:
    """For each row: how many equal values start here, 0 inside such a block."""
    spans = [0] * len(values)
    start = 0
    for i in range(1, len(values) + 1):
        if i == len(values) or values[i] != values[start]:
            spans[start], start = i - start, i
    return spans


def _table_row(row: tuple, columns: list, span: int, links: Mapping[str, str], text: set) -> str:
    first, *rest = row
    block = f'scope="rowgroup" rowspan="{span}"' if span > 1 else 'scope="row"'
    heading = f"<th {block}>{html.escape(str(first))}</th>" if span else ""
    cells = "".join(_cell(value, links.get(c, ""), c in text) for c, value in zip(columns[1:], rest, strict=True))
    return f"<tr{_class(bool(span), 'first')}>{heading}{cells}</tr>\n"


def _cell(value: object, link: str, is_text: bool) -> str:
    shown = html.escape(str(value))
    if link:
        shown = f'<a href="{html.escape(address(link), quote=True)}">{shown}</a>'
    long = " long" if len(str(value)) > WRAPPED else ""
    return f"<td{_class(is_text, f'text{long}')}>{shown}</td>"


def _class(holds: bool, name: str = "text") -> str:
    return f' class="{name}"' if holds else ""


def address(link: str) -> str:
    """A relative address, quoted; ValueError for anything that names a scheme or a host."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc or link.startswith(("/", "\\")):
        raise ValueError(f"link = {link!r}: not a relative address")
    return quote(parts.path, safe="/._-+") + (f"#{quote(parts.fragment)}" if parts.fragment else "")


# Tables for readers: text in every cell


def glance_view(plan: Mapping, evidence: Sequence[Mapping], comparisons: pd.DataFrame) -> pd.DataFrame:
    """What an auditor asks first, in one small table."""
    against = dict.fromkeys(t["baseline"] for t in plan["techniques"] if t["baseline"])
    techniques = [t["technique"] for t in plan["techniques"] if t["baseline"]]
    done = sum(e["status"] == "done" for e in evidence)
    rows = {
        "Compared": f"{say.listed(techniques, 8)} against {say.listed(against, 8)}" if against else "nothing",
        "Test set": str(plan.get("data", {}).get("name") or "not named"),
        "Runs of each technique": say.listed(dict.fromkeys(str(arm["runs"]) for arm in say.main_arms(plan))),
        "What differs between runs": say.noise_explained(plan),
        "Seed of all runs": say.listed(dict.fromkeys(map(say.seed, say.main_arms(plan)))),
        "Finished": f"{done} of {len(evidence)} planned runs" if evidence else str(plan.get("source", "")),
        "Same code, data and start in all runs": _answer_on_fit(plan, evidence),
        "Same result where nothing differs (control arm)": _answer_on_control(plan, evidence),
        "Smallest effect that counts": f"{say.points(plan['analysis']['smallest_effect'])} points of a metric",
        "Tests that the correction covers": f"{say.family(comparisons)} of means, as many of spread",
        "Plan": "declared before the first run" if plan.get("declared_before_first_run") else "not declared beforehand",
        "Deviations from the plan": str(len(plan.get("deviations") or []))
        if plan.get("deviations")
        else "none recorded",
    }
    return pd.DataFrame({"Question": list(rows), "Answer": list(rows.values())})


def _answer_on_fit(plan: Mapping, evidence: Sequence[Mapping]) -> str:
    arms = [arm["arm"] for arm in say.main_arms(plan)]
    found = [identity.check_fit(evidence, training, arm).fit for training in say.trainings(plan) for arm in arms]
    known = {"proven": found.count(True), "refuted": found.count(False), "unknown": found.count(None)}
    return _shares(known, len(found), "training" if len(arms) == 1 else "pair of training and arm")


def _answer_on_control(plan: Mapping, evidence: Sequence[Mapping]) -> str:
    found = [identity.check_control(evidence, training).identical for training in say.trainings(plan)]
    known = {"bit-identical": found.count(True), "failed": found.count(False), "not available": found.count(None)}
    return _shares(known, len(found), "training")


def _shares(counts: Mapping[str, int], total: int, noun: str) -> str:
    plural = "pairs of training and arm" if noun.startswith("pair ") else ""
    return ", ".join(f"{what} for {n} of {say.count(total, noun, plural)}" for what, n in counts.items() if n)


def techniques_view(plan: Mapping) -> pd.DataFrame:
    """Every technique as planned."""
    names = {"technique": "Technique", "baseline": "Baseline", "method": "Method", "inference": "Inference"}
    names |= {"training": "Training", "uses_protected": "Uses the protected attribute"}
    rows = [{shown: str(t.get(key) or "–") for key, shown in names.items()} for t in plan["techniques"]]
    return pd.DataFrame(rows, columns=list(names.values()))


def plan_view(plan: Mapping) -> pd.DataFrame:
    """The declared analysis."""
    analysis, favourable = plan["analysis"], plan["analysis"].get("favourable")
    rows = {
        "Smallest effect": f"{say.points(analysis['smallest_effect'])} points",
        "α": f"{analysis['alpha']:g}",
        "Family of tests": say.listed(analysis.get("family") or say.BIAS_METRICS, 7),
        "Favourable class": "none declared" if favourable is None else say.class_name(plan, favourable),
        "Reading of the metrics": analysis["reading"],
        "Protocol of the tests": analysis["protocol"],
        "Classes": say.listed(plan.get("classes") or [], 20),
        "Groups": "; ".join(f"{name}: {say.listed(groups, 12)}" for name, groups in plan["groups"].items()),
        "Source": str(plan.get("source", "")),
    }
    return pd.DataFrame({"Declared": list(rows), "Value": list(rows.values())})


def trainings_view(plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """Identity of the runs, one row per training and main arm."""
    arms = [arm["arm"] for arm in say.main_arms(plan)]
    rows = [_training_row(t, names, arm, evidence) for t, names in say.trainings(plan).items() for arm in arms]
    return pd.DataFrame(rows)


def _training_row(training: str, names: list[str], arm: str, evidence: Sequence[Mapping]) -> dict[str, str]:
    found = identity.check_fit(evidence, training, arm)
    runs = identity.done_runs(evidence, training, arm)
    parts = len({part for run in runs for part in run["parts"]})
    different, n = identity.distinct_finals(evidence, training, arm)
    return {
        "Training": training,
        "Techniques": say.listed(names, 8),
        "Arm": arm,
        "Runs": str(n),
        "Parts equal": f"{parts - len(found.differing)} of {parts}",
        "Parts that differ": say.listed(found.differing, 8),
        "Different final weights": f"{different} of {n}",
        "Control arm": _without(identity.check_control(evidence, training)),
    }


def _without(control: identity.Control) -> str:
    return control.text.replace(f" ({control.compared})", "")


def parts_view(plan: Mapping, evidence: Sequence[Mapping]) -> pd.DataFrame:
    """The proof, part by part: value, and in how many runs it is equal; trainings that agree share a row."""
    told: dict[tuple[str, str, str], list[str]] = {}
    shared = say.trainings(plan)
    for part in dict.fromkeys(part for e in evidence for part in e["parts"]):
        for training in shared:
            for arm in say.main_arms(plan):
                runs = identity.done_runs(evidence, training, arm["arm"])
                if runs:
                    told.setdefault((part, *_part(runs, part)), []).append(training)
    rows = [
        {
            "Part": part,
            "Training": "all" if set(names) == set(shared) and len(shared) > 1 else say.listed(dict.fromkeys(names), 3),
            "Value": value,
            "Equal": equal,
        }
        for (part, value, equal), names in told.items()
    ]
    return pd.DataFrame(rows, columns=["Part", "Training", "Value", "Equal"])


def _part(runs: Sequence[Mapping], part: str) -> tuple[str, str]:
    odd = identity.differing_parts(runs).get(part, [])
    values = list(dict.fromkeys(_shortened(str(run["parts"].get(part, "not recorded"))) for run in runs))
    equal = f"differs in {say.listed(odd)}" if odd else f"in {len(runs)} of {len(runs)} runs"
    return say.listed(values, 2), equal


def _shortened(value: str) -> str:
    return f"{value[:16]}…" if re.fullmatch(r"[0-9a-f]{32,}", value) else value


def summary_view(summary: pd.DataFrame, plan: Mapping) -> pd.DataFrame:
    """Overall values by technique and metric, with the class whose values differ most between runs."""
    overall = pd.concat([say.overall_rows(summary), _accuracy_rows(summary)]).sort_index()
    classes = summary[summary["target"] != "overall"].dropna(subset=["maxdiff"])
    keys = ["technique", "arm", "attribute", "metric"]
    widest = classes.loc[classes.groupby(keys)["maxdiff"].idxmax()].set_index(keys) if len(classes) else classes
    return pd.DataFrame([_summary_row(row, summary, _at(widest, row, keys), plan) for _, row in overall.iterrows()])


def _accuracy_rows(summary: pd.DataFrame) -> pd.DataFrame:
    return summary[(summary["metric"] == "accuracy") & (summary["target"] == "overall") & summary["group"].isna()]


def _at(frame: pd.DataFrame, row: pd.Series, keys: list[str]) -> pd.Series | None:
    at = tuple(row[key] for key in keys)
    return frame.loc[at] if len(frame) and at in frame.index else None


def _summary_row(row: pd.Series, frame: pd.DataFrame, widest: pd.Series | None, plan: Mapping) -> dict[str, str]:
    constant = row["n"] > 1 and row["maxdiff"] == 0
    worst = (
        "–"
        if widest is None or constant
        else f"{say.class_name(plan, widest['target'])}: {say.points(widest['maxdiff'])}"
    )
    return {
        "Technique": f"{row['technique']}{say.place(frame, row)}",
        "Metric": row["metric"],
        "n": str(row["n"]),
        "Mean": say.points(row["mean"]),
        "95 % interval of the mean": f"constant in all {row['n']} runs"
        if constant
        else say.span(row["mean_low"], row["mean_high"]),
        "SD": "–" if constant else say.points(row["sd"]),
        "95 % interval of the SD": "–" if constant else say.span(row["sd_low"], row["sd_high"]),
        "Smallest run": say.points(row["min"]),
        "Largest run": say.points(row["max"]),
        "MaxDiff": "–" if row["n"] < 2 else say.points(row["maxdiff"]),
        "Class with the largest MaxDiff": worst if row["n"] > 1 else "–",
    }


def effects_view(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Differences between means, each beside its interval, with the verdict."""
    return pd.DataFrame([_effect_row(row, comparisons) for _, row in comparisons.iterrows()])


def _effect_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": _pair(row, frame),
        "Metric": _metric(row),
        "Baseline": say.points(row["mean_baseline"]),
        "Technique": say.points(row["mean_technique"]),
        "Difference": say.points(row["difference"], signed=True),
        "95 % interval": say.span(row["difference_low"], row["difference_high"]),
        "Verdict": row["verdict"] or "–",
        "P(reversal)": "–" if say.missing(row["reversal"]) else say.probability(row["reversal"]),
        "95 % interval of P": say.span(row["reversal_low"], row["reversal_high"], 1)
        if not say.missing(row["reversal"])
        else "–",
        "d": say.decimals(row["d"], 1),
        "95 % interval of d": say.span(row["d_low"], row["d_high"], scale=1, places=1),
    }


def tests_view(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Tests of the means: each p beside its smallest attainable value, its corrected values and the power.

    Empty where nothing was tested.
    """
    if comparisons["p_mean"].isna().all():
        return pd.DataFrame()
    return pd.DataFrame([_test_row(row, comparisons) for _, row in comparisons.iterrows()])


def _test_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": _pair(row, frame),
        "Metric": _metric(row),
        "p": say.probability(row["p_mean"]),
        "Smallest attainable": say.probability(row["p_mean_smallest"]) if not say.missing(row["p_mean"]) else "–",
        **{shown: _corrected(row, f"p_mean_{key}") for key, shown in CORRECTIONS.items()},
        "Power": say.power(row["power_mean"]),
        **({"Runs": row["design"]} if frame["design"].nunique() > 1 else {}),
    }


def _pair(row: pd.Series, frame: pd.DataFrame) -> str:
    sizes = frame[["n_baseline", "n_technique"]].stack().nunique()
    n = f", n = {row['n_technique']} v {row['n_baseline']}" if sizes > 1 else ""
    return f"{row['technique']} v {row['baseline']}{say.place(frame, row)}{n}"


CORRECTIONS = {"holm": "Holm", "bh": "BH", "by": "BY"}


def _metric(row: pd.Series) -> str:
    return f"{row['metric']} (∝ {row['redundant_with']})" if row["redundant_with"] else str(row["metric"])


def _corrected(row: pd.Series, column: str) -> str:
    return "–" if say.missing(row[column]) else say.probability(row[column])


def spread_view(comparisons: pd.DataFrame) -> pd.DataFrame:
    """Differences in the spread between runs; empty where nothing was tested."""
    if comparisons["p_variance_raw"].isna().all():
        return pd.DataFrame()
    return pd.DataFrame([_spread_row(row, comparisons) for _, row in comparisons.iterrows()])


def _spread_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    return {
        "Comparison": _pair(row, frame),
        "Metric": _metric(row),
        "SD of the baseline": _sd(row["sd_baseline"]),
        "SD of the technique": _sd(row["sd_technique"]),
        "p (raw values)": say.probability(row["p_variance_raw"]),
        **{shown: _corrected(row, f"p_variance_raw_{key}") for key, shown in CORRECTIONS.items()},
        "Power": say.power(row["power_variance"]),
        "p (values / mean)": say.probability(row["p_variance_relative"]),
    }


def _sd(value: float) -> str:
    return "constant" if not say.missing(value) and value == 0 else say.points(value)


def risk_view(risk: pd.DataFrame, plan: Mapping, most: int = 60) -> pd.DataFrame:
    """Impact ratio against 0.8 by technique and class; of more than `most` rows, those below 0.8 in some run."""
    shown = risk if len(risk) <= most else risk[risk["violated"] > 0].head(most)
    return pd.DataFrame([_risk_row(row, risk, plan) for _, row in shown.iterrows()])


def _risk_row(row: pd.Series, frame: pd.DataFrame, plan: Mapping) -> dict[str, str]:
    chance = {"p_violated": "P(below)", "p_disagree": "P(two runs disagree)"}
    told = {shown: "–" if say.missing(row[key]) else say.probability(row[key]) for key, shown in chance.items()}
    spans = {
        f"95 % interval of {shown}": say.span(row[f"{key}_low"], row[f"{key}_high"], 1) for key, shown in chance.items()
    }
    worst = say.span(row["p_violated_low_bonferroni"], row["p_violated_high_bonferroni"], 1)
    return {
        "Technique": f"{row['technique']}{say.place(frame, row)}",
        "Class": say.class_name(plan, row["target"]),
        "Rule": row["rule"].replace("four-fifths", "four fifths"),
        "Runs below": f"{row['violated']} of {row['n']}",
        "P(below)": told["P(below)"],
        "95 % interval of P(below)": spans["95 % interval of P(below)"],
        "for the worst pair": worst,
        "P(two runs disagree)": told["P(two runs disagree)"],
        "95 % interval of P(two runs disagree)": spans["95 % interval of P(two runs disagree)"],
        "Ratio: mean": say.decimals(row["ratio_mean"]),
        "lowest": say.decimals(row["ratio_min"]),
        "highest": say.decimals(row["ratio_max"]),
    }


def runs_view(runs: pd.DataFrame) -> pd.DataFrame:
    """Every planned run: state, overall values, and the first digits of what identifies it."""
    return pd.DataFrame([_run_row(row, runs) for _, row in runs.iterrows()])


def _run_row(row: pd.Series, frame: pd.DataFrame) -> dict[str, str]:
    digests = {"initial_weights": "Initial weights", "final_weights": "Final weights", "predictions": "Predictions"}
    return {
        "Technique": f"{row['technique']}{say.place(frame, row)}",
        "Run": f"run-{int(row['run']):02d}",
        "State": row["status"],
        "FIT": row["fit"],
        **{m: "–" if say.missing(row[m]) else say.points(row[m]) for m in ("accuracy", *say.BIAS_METRICS)},
        **{shown: row[key][:8] or "–" for key, shown in digests.items()},
    }


def run_links(runs: pd.DataFrame, evidence: Sequence[Mapping]) -> list[str]:
    """For each row of the table of runs, the address of its executed notebook ("" where there is none)."""
    known = {(e["training"], e["arm"], e["run"]): str(e.get("link") or "") for e in evidence if e["status"] == "done"}
    return [known.get((row.training, row.arm, row.run), "") for row in runs.itertuples()]


def metrics_view() -> pd.DataFrame:
    """The bias metrics in words."""
    rows = [
        {"Metric": m, "Name": say.METRIC_NAMES[m], "What it is, for one class": say.METRIC_MEANINGS[m]}
        for m in say.BIAS_METRICS
    ]
    return pd.DataFrame(rows)


# Pages


def write_report(statistics_notebook: str | Path, target: str | Path, show_code: bool = False) -> None:
    """The executed statistics notebook as one self-contained page: style and figures inside, no code unless asked."""
    notebook = _read(Path(statistics_notebook))
    body = _body(notebook, show_code)
    headings = [(anchor, html.unescape(re.sub(r"<[^>]+>", "", text))) for anchor, text in HEADING.findall(body)]
    page = _page("report", title=_title(notebook), body=body, headings=headings, css=_css(), kind="report")
    _write(Path(target), page)


def render_notebook(path: str | Path, target: str | Path, assets_href: str) -> bool:
    """One executed notebook as a light page with code and outputs; its style is `assets_href`/fitlib.css.

    The page names the hash of what it was made of; if that still holds, nothing is done. Returns whether it was
    written.
    """
    path, target = Path(path), Path(target)
    source = path.read_bytes()
    stamp = _stamp(source, assets_href)
    if _stamped(target, stamp):
        return False
    notebook = _parse(source.decode("utf-8"))
    page = _page(
        "notebook", title=_title(notebook, path.stem), body=_body(notebook, True), assets_href=assets_href,
        stamp=stamp, kind="notebook",
    )  # fmt: skip
    _write(target, page)
    return True


def write_index(
    target: str | Path, rows: Iterable[Mapping], title: str = "Contents", assets_href: str = "assets"
) -> None:
    """A page that lists everything with its state and links.

    Each row: `group` (heading), `task`, `state` (done, failed, missing, …), `links` (pairs of text and relative
    address), `note`. Groups and rows keep their order.
    """
    groups: dict[str, list[dict]] = {}
    for row in rows:
        groups.setdefault(str(row.get("group", "Tasks")), []).append(_index_row(row))
    everything = [row for members in groups.values() for row in members]
    states = {row["state"]: sum(other["state"] == row["state"] for other in everything) for row in everything}
    total = ", ".join(f"{n} {state}" for state, n in states.items()) or "Nothing is there yet"
    page = _page("index", title=title, groups=groups, total=f"{total}.", assets_href=assets_href, kind="index")
    _write(Path(target), page)


def _index_row(row: Mapping) -> dict:
    state = str(row.get("state", ""))
    links = [(str(text), address(str(href))) for text, href in row.get("links", ())]
    known = state if re.fullmatch(r"[a-z]+", state) else "other"
    return {"task": row["task"], "state": state, "state_class": known, "links": links, "note": row.get("note", "")}


def write_assets(folder: str | Path) -> Path:
    """The style sheet that rendered notebooks and the index share."""
    target = Path(folder) / "fitlib.css"
    if not target.is_file() or target.read_text(encoding="utf-8") != _css():
        _write(target, _css())
    return target


def _read(path: Path) -> object:
    return _parse(path.read_text(encoding="utf-8"))


def _parse(text: str) -> object:
    import nbformat

    return nbformat.reads(text, as_version=4)


def _title(notebook: object, otherwise: str = "Report") -> str:
    """Text of the first heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and (found := re.search(r"^# (.+)$", cell.source, re.MULTILINE)):
            return re.sub(r"[*_`]", "", found.group(1)).strip()
    return otherwise


def _body(notebook: object, show_code: bool) -> str:
    body, _ = _exporter(show_code).from_notebook_node(notebook)
    # nbconvert adds a link to every heading; the contents list does that here
    return re.sub(r'<a class="anchor-link" href="[^"]*">[^<]*</a>', "", body)


@lru_cache
def _exporter(show_code: bool) -> TemplateExporter:
    """nbconvert with fitlib's template; shown first is what needs neither script nor network."""
    from nbconvert.exporters import TemplateExporter
    from nbconvert.filters import Highlight2HTML

    shown = ["image/svg+xml", "image/png", "image/jpeg", "text/html", "text/markdown", "text/latex", "text/plain"]
    exporter = TemplateExporter(
        template_name="fitlib",
        file_extension=".html",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input=not show_code,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"highlight_code": Highlight2HTML(pygments_lexer="ipython3"), "markdown2html": _markdown_html()},
    )
    exporter.config.NbConvertBase.display_data_priority = shown
    return exporter


def _markdown_html() -> Callable[[str], str]:
    """nbconvert's Markdown, but formulas are pictures: no page of fitlib runs a script that would set them."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Renderer(IPythonRenderer):
        def inline_math(self, body: str) -> str:
            return formula(body)

        def block_math(self, body: str) -> str:
            return f"<p>{formula(body)}</p>"

    return MarkdownWithMath(renderer=Renderer(escape=False)).render


@lru_cache(maxsize=1024)
def formula(latex: str) -> str:
    """A formula as a picture with its LaTeX source as text alternative; source code where matplotlib cannot set it."""
    from matplotlib import rc_context
    from matplotlib.mathtext import math_to_image

    known = re.sub(r"\\[lr]vert\b", "|", " ".join(latex.split()))
    picture = io.BytesIO()
    try:
        with rc_context({"savefig.facecolor": "none", "svg.hashsalt": "fitlib", "svg.fonttype": "path"}):
            math_to_image(f"${known}$", picture, format="svg", dpi=72)
    except ValueError:
        return f"<code>{html.escape(latex)}</code>"
    source = base64.b64encode(re.sub(rb"<metadata>.*?</metadata>", b"", picture.getvalue(), flags=re.DOTALL)).decode()
    return f'<img class="formula" alt="{html.escape(latex)}" src="data:image/svg+xml;base64,{source}">'


@lru_cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )


def _page(template: str, **content: object) -> str:
    return _environment().get_template(f"{template}.html.j2").render(**{"stamp": "", **content})


@lru_cache
def _css() -> str:
    return (TEMPLATES / "fitlib.css").read_text(encoding="utf-8")


def _stamp(source: bytes, assets_href: str) -> str:
    """Hash of a notebook and of all that decides how it looks."""
    return f"sha256:{hashlib.sha256(source + b'|' + assets_href.encode() + b'|' + _look()).hexdigest()}"


@lru_cache
def _look() -> bytes:
    files = sorted(path for path in TEMPLATES.rglob("*") if path.suffix in (".j2", ".json"))
    return hashlib.sha256(b"|".join([*(path.read_bytes() for path in files), Path(__file__).read_bytes()])).digest()


def _stamped(target: Path, stamp: str) -> bool:
    if not target.is_file():
        return False
    with target.open(encoding="utf-8") as file:
        return stamp in file.read(200)


def _write(target: Path, text: str) -> None:
    """Whole or not at all: a reader never sees half a page."""
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.name}.{os.getpid()}")
    half.write_text(text, encoding="utf-8", newline="\n")
    half.replace(target)
