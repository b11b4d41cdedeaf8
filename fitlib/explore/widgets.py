"""The widgets of `explore.ipynb`: choices, and the views that depend on them, drawn by `pictures`."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import ipywidgets as widgets

from fitlib.errors import FitlibError
from fitlib.explore import pictures
from fitlib.explore.pictures import Choice
from fitlib.report.notebook_display import notebook_html
from fitlib.results.loaded import ExperimentResults, experiments, load
from fitlib.tables.metric_series import main_arms

NARROW, CELL = widgets.Layout(width="22em"), widgets.Layout(margin="0")
LABEL = {"description_width": "7em"}
MOST_RUNS = 128
SIMULATED = "simulated example"
WHOLE = -1  # in place of None in a drop-down, where None means that nothing is chosen


def to_explore(name: str = "", outputs: str = "") -> dict[str, ExperimentResults]:
    """Return finished experiments by name, each family by itself: the one of this name, else all in ``outputs``.

    Where there is none, a small simulated one in a temporary folder. Raises InputError for a name that is not there,
    or not finished.
    """
    folder = outputs or None
    loaded = [load(name, folder)] if name else [load(found, folder) for found in experiments(folder)]
    parts = [part for one in loaded for part in (one.families.values() or [one])]
    if name:
        parts = [part for part in parts if part.plan]  # tells where one is not finished
    return {part.name: part for part in parts if part.finished} or {SIMULATED: _simulated()}


def _simulated() -> ExperimentResults:
    from fitlib.explore.simulated_runs import example_experiment

    return example_experiment(Path(tempfile.mkdtemp(prefix="fitlib-")) / "simulated")


class Explorer:
    """Widgets that look at experiments together; show the parts where you want them.

    choices: experiment, technique, arm, protected attribute, metric, class, group. distributions: every run a point.
    runs: the runs of the technique, a button each. run: the run that was clicked: curves, digests, link to its
    notebook. landmark: what if the landmark were another. number: what if there were more or fewer runs.
    """

    def __init__(self, loaded: Mapping[str, ExperimentResults]):
        """Show ``loaded``: experiments by name, at least one; each family by itself."""
        self._experiments = dict(loaded)
        self.experiment = _dropdown("experiment", list(self._experiments))
        self.technique, self.arm = _dropdown("technique", []), _dropdown("arm", [])
        self.attribute, self.metric = _dropdown("attribute", []), _dropdown("metric", [])
        self.target, self.group = _dropdown("class", []), _dropdown("group", [])
        self.at = _slider(widgets.FloatSlider, "landmark", 0.8, 0.5, 1.0, 0.01)
        self.n = _slider(widgets.IntSlider, "runs of each", 16, 3, MOST_RUNS, 1)
        self.choices = widgets.VBox([widgets.HBox(row) for row in self._rows()])
        self.distributions, self.run = widgets.HTML(), widgets.Output()
        self.runs = widgets.GridBox(layout=widgets.Layout(overflow="auto", align_items="center", grid_gap="0 1em"))
        self._landmark, self._number = widgets.HTML(), widgets.HTML()
        self.landmark = widgets.VBox([self.at, self._landmark])
        self.number = widgets.VBox([self.n, self._number])
        self._busy = False
        self._take_experiment()
        self._listen()

    def _rows(self) -> list[list[widgets.Widget]]:
        return [[self.experiment, self.technique, self.arm, self.attribute], [self.metric, self.target, self.group]]

    def _listen(self) -> None:
        for widget, work in (
            (self.experiment, self._take_experiment),
            (self.attribute, self._take_metric),
            (self.metric, self._take_metric),
            (self.technique, self._show_technique),
            (self.arm, self._show_technique),
            (self.target, self._show_choice),
            (self.group, self._show_choice),
            (self.at, self._show_landmark),
            (self.n, self._show_number),
        ):
            widget.observe(lambda change, work=work: self._do(work), names="value")

    def _do(self, work: Callable[[], None]) -> None:
        """Follow a change that the user made; not those that follow from it."""
        if not self._busy:
            work()

    # What is chosen

    @property
    def loaded(self) -> ExperimentResults:
        """The experiment that is chosen."""
        return self._experiments[self.experiment.value]

    @property
    def choice(self) -> Choice:
        """The metric, class and group that are chosen."""
        return Choice(self.metric.value, self.attribute.value, _number(self.target), _number(self.group))

    def _take_experiment(self) -> None:
        plan, self._busy = self.loaded.plan, True
        names = [t["technique"] for t in plan["techniques"]]
        compared = next((t["technique"] for t in plan["techniques"] if t["baseline"]), names[0])
        _offer(self.technique, names, compared)
        _offer(self.arm, [arm["arm"] for arm in main_arms(plan)])
        _offer(self.attribute, list(plan["groups"]))
        _offer(self.metric, pictures.metrics(plan), self.metric.value)
        self._busy = False
        self._take_metric(then=self._show_all)

    def _take_metric(self, then: Callable[[], None] | None = None) -> None:
        """Offer the classes and groups that the metric has values for."""
        plan, self._busy = self.loaded.plan, True
        _offer(self.target, pictures.targets(plan, self.metric.value), self.target.value)
        _offer(self.group, pictures.groups(plan, self.attribute.value, self.metric.value), self.group.value)
        self._busy = False
        (then or self._show_choice)()

    # What is shown

    def _show_all(self) -> None:
        self._show_technique()
        self._show_distributions()

    def _show_technique(self) -> None:
        self._show_runs()
        self._show_landmark()
        self._show_number()

    def _show_choice(self) -> None:
        self._show_distributions()
        self._show_landmark()
        self._show_number()

    def _show_distributions(self) -> None:
        self.distributions.value = _try_html(lambda: pictures.distribution(self.loaded, self.choice)._repr_html_())

    def _show_landmark(self) -> None:
        where = (self.loaded, self.technique.value, self.arm.value, self.attribute.value)
        target = _number(self.target) or 0
        self._landmark.value = _try_html(lambda: _with_words(pictures.other_landmark(*where, target, self.at.value)))

    def _show_number(self) -> None:
        where = (self.loaded, self.technique.value, self.arm.value)
        overall = Choice(self.metric.value, self.attribute.value)  # comparisons are overall
        self._number.value = _try_html(lambda: _with_words(pictures.other_runs(*where, overall, self.n.value)))

    def _show_runs(self) -> None:
        """Show a button for each run, with its row of the table beside it."""
        view = pictures.runs(self.loaded, self.technique.value, self.arm.value, self.attribute.value)
        head = [_cell(f"<b>{html.escape(str(column))}</b>") for column in view.columns]
        cells = [cell for number, row in view.iterrows() for cell in self._row(int(number), row)]
        self.runs.children = [*head, *cells]
        self.runs.layout.grid_template_columns = f"repeat({len(view.columns)}, max-content)"
        if len(view):
            self.show_run(int(view.index[0]))

    def _row(self, number: int, row: Iterable[str]) -> list[widgets.Widget]:
        name, *rest = row
        button = widgets.Button(description=name, tooltip=f"show {name}", layout=widgets.Layout(width="6em"))
        button.on_click(lambda _: self.show_run(number))
        return [button, *(_cell(html.escape(str(value))) for value in rest)]

    def show_run(self, number: int) -> None:
        """Show a run of the chosen technique: curves, digests, link to its executed notebook."""
        where = (self.loaded, self.technique.value, self.arm.value, number)
        curves = pictures.run_curves(*where)
        parts = [pictures.run_link(*where), curves._repr_html_() if curves else "", pictures.run_digests(*where)]
        data = {"text/html": notebook_html("".join(parts)), "text/plain": f"run-{number:02d}"}
        self.run.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)


def _with_words(picture: pictures.Picture | None) -> str:
    if picture is None:
        return f"<p>{pictures.NOT_COMPARED}</p>"
    return f"<p>{html.escape(picture.alt)}</p>{picture._repr_html_()}"


def _try_html(make: Callable[[], str]) -> str:
    """Return HTML, or an error of fitlib in one line."""
    try:
        return make()
    except FitlibError as error:
        return f"<p>{html.escape(str(error))}</p>"


def _dropdown(name: str, options: list) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, description=name, layout=NARROW, style=LABEL)


def _slider(kind: type, name: str, value: float, low: float, high: float, step: float) -> widgets.Widget:
    layout = widgets.Layout(width="32em")
    return kind(
        value=value, min=low, max=high, step=step, description=name, layout=layout, style=LABEL, continuous_update=False
    )


def _cell(text: str) -> widgets.HTML:
    return widgets.HTML(text, layout=CELL)


def _number(widget: widgets.Dropdown) -> int | None:
    return None if widget.value == WHOLE else widget.value


def _offer(widget: widgets.Dropdown, options: list, wanted: object = None) -> None:
    """Set new options; the value stays where it is still one of them. One option leaves nothing to choose."""
    pairs = [option if isinstance(option, tuple) else (option, option) for option in options]
    pairs = [(name, WHOLE if value is None else value) for name, value in pairs]
    values = [value for _, value in pairs]
    widget.options = pairs
    widget.value = wanted if wanted in values else values[0]
    widget.disabled = len(options) < 2
