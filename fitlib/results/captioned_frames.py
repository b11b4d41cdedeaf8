"""Tables of an experiment as pandas frames with a caption on the conditions under which their numbers hold.

A `Frame` is a pandas frame that a notebook displays with a caption: n, what varied, what was fixed, which intervals
and tests. Rows selected from it keep the caption, with the n of those rows; what is computed from it has none.
"""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from fitlib.errors import InputError, did_you_mean
from fitlib.formatting import count
from fitlib.report.captions import caption
from fitlib.report.notebook_display import notebook_html
from fitlib.report.table_files import TABLE_FILES
from fitlib.tables import schemas
from fitlib.tables.metric_series import main_arms

SIZES = ("n", "n_runs", "n_baseline", "n_technique")
SAME_ROWS = (None, "take", "copy", "sort_values", "sort_index", "head", "tail", "reset_index", "reindex", "xs")


class Frame(pd.DataFrame):
    """A pandas frame that is displayed with a caption; ``plan`` and ``table`` (its name) give the conditions."""

    _metadata = ["plan", "table", "answer"]
    plan: Mapping | None = None
    table: str = ""
    answer: str = ""  # what the rows answer, in sentences

    @property
    def _constructor(self) -> type[Frame]:
        return Frame

    def __finalize__(self, other: object, method: str | None = None, **kwargs: object) -> Frame:
        """Keep the caption for chosen rows and columns; what is computed from them is another table."""
        return super().__finalize__(other, method, **kwargs) if method in SAME_ROWS else self

    @property
    def caption(self) -> str:
        """Number of runs (of these rows), what varied, what was fixed, which intervals and tests; "" without a plan."""
        if self.plan is None:
            return ""
        about = TABLE_FILES[self.table].about if self.table in TABLE_FILES else ""
        return caption(self.plan, _sizes(self), about)

    def _repr_html_(self) -> str | None:
        page = super()._repr_html_()
        if page is None or self.plan is None:
            return page
        answer = f"<p>{html.escape(self.answer)}</p>" if self.answer else ""
        named = f"{answer}<b>{html.escape(self.table)}.</b> {html.escape(self.caption)}"
        block = f'<div style="max-width: 60em">{named}</div>'  # a table may be wider than any screen
        line = f'<caption style="caption-side: top; text-align: left">{block}</caption>'
        for nothing in ("NaN", "&lt;NA&gt;"):
            page = page.replace(f"<td>{nothing}</td>", "<td></td>")
        head, _, rest = page.partition("<thead>")
        return f"{head}{line}<thead>{rest}"


def frame(rows: pd.DataFrame, plan: Mapping | None, table: str) -> Frame:
    """Return ``rows`` as a frame with a caption."""
    captioned = Frame(rows)
    captioned.plan, captioned.table = plan, table
    return captioned


def _sizes(rows: pd.DataFrame) -> list:
    """Return the numbers of runs behind the rows: those in the rows, or as many runs as they hold, or as planned."""
    main = [arm["arm"] for arm in main_arms(rows.plan)]
    if "arm" in rows:
        rows = rows[rows["arm"].isin(main)]
    counts = [rows[name] for name in SIZES if name in rows]
    if counts:
        return list(pd.concat(counts).dropna().unique())
    keys = [name for name in ("technique", "training", "arm", "attribute") if name in rows]
    if "run" in rows and keys:
        done = rows[rows["status"] == "done"] if "status" in rows else rows
        return list(done.groupby(keys)["run"].nunique().unique())
    return [arm["runs"] for arm in main_arms(rows.plan)]


class Tables(Mapping[str, Frame]):
    """Tables by name: `tables.summary` or `tables["summary"]`; read on first use, then kept."""

    def __init__(self, folder: Path, plan: Mapping):
        self._folder, self._plan = folder, plan
        files = sorted(path for path in folder.glob("*") if path.suffix in (".csv", ".parquet"))
        self._files = {path.stem: path for path in files}
        self._read: dict[str, Frame] = {}

    def __getitem__(self, name: str) -> Frame:
        if name not in self._files:
            otherwise = f"available: {', '.join(self._files) or 'none'}"
            remedy = did_you_mean(str(name), self._files, otherwise)
            raise InputError(str(self._folder), "table", name, "no such table", remedy)
        if name not in self._read:
            self._read[name] = frame(self._content(name), self._plan, name)
        return self._read[name].copy()

    def _content(self, name: str) -> pd.DataFrame:
        path = self._files[name]
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return schemas.read_csv(path, path.stem) if path.stem in schemas.SCHEMAS else pd.read_csv(path)

    def __getattr__(self, name: str) -> Frame:
        if name.startswith("_"):  # asked for while an object is unpickled, which has no files yet
            raise AttributeError(name)
        if name not in self._files:
            raise AttributeError(f"no table {name!r}; available: {', '.join(self._files) or 'none'}")
        return self[name]

    def __contains__(self, name: object) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._files]

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._files)

    def __repr__(self) -> str:
        return "\n".join(f"{name:<12} {_about(name)}" for name in self._files) or "no tables"

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row"><code>{name}</code></th><td class="text">{about}</td></tr>'
            for name, about in ((html.escape(name), html.escape(_about(name))) for name in self._files)
        )
        return notebook_html(f"<table><caption>{count(len(self), 'table')}</caption>{rows}</table>")


class TablesInMemory(Tables):
    """Tables by name, as `Tables`, that are on no disk; ``frames`` may make them when they are asked for."""

    def __init__(self, frames: Mapping[str, pd.DataFrame], plan: Mapping):
        self._folder, self._plan = Path("results"), plan
        self._frames, self._read = frames, {}
        self._files = {name: self._folder / name for name in sorted(frames)}

    def _content(self, name: str) -> pd.DataFrame:
        return self._frames[name]


def _about(name: str) -> str:
    return TABLE_FILES[name].rows if name in TABLE_FILES else "as the study published it"
