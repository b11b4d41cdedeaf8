"""Tables in Arrow, JSON, NumPy and Excel files have the columns of the same table as CSV; nothing is unpickled."""

import io
import json
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pytest

from fitlib.datasets.tabular.reading import read_table
from fitlib.errors import InputError

TABLE = {"y_true": [0, 1, 1], "score": [0.25, 0.5, 1.0], "sex": ["f", None, "m"]}


def feather():
    stream = io.BytesIO()
    pyarrow.feather.write_feather(pa.table(TABLE), stream)
    return stream.getvalue()


def arrays(save=np.savez, **named):
    stream = io.BytesIO()
    save(stream, **named)
    return stream.getvalue()


def sheet():
    openpyxl = pytest.importorskip("openpyxl")
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for row in ([], list(TABLE), *zip(*TABLE.values(), strict=True)):
        book.active.append(row)
    book.save(stream)
    return stream.getvalue()


ROWS = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
FILES = {
    "t.feather": feather,
    "t.jsonl": lambda: "\n".join(map(json.dumps, ROWS)).encode(),
    "records.json": lambda: json.dumps(ROWS).encode(),
    "columns.json": lambda: json.dumps(TABLE).encode(),
    "lines.json": lambda: "\n".join(map(json.dumps, ROWS)).encode(),
    "t.npz": lambda: arrays(**{name: np.array(["" if v is None else v for v in of]) for name, of in TABLE.items()}),
    "t.xlsx": sheet,
}


@pytest.mark.parametrize("name", FILES)
def test_the_columns_are_those_of_the_table(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name]())
    assert read_table(tmp_path / name).table.to_pydict() == TABLE


def test_columns_that_later_records_add_are_kept(tmp_path):
    (tmp_path / "t.json").write_text('[{"a": 1}, {"a": 2, "b": "x"}]')
    assert read_table(tmp_path / "t.json").table.to_pydict() == {"a": [1, 2], "b": [None, "x"]}


@pytest.mark.parametrize("transposed", [False, True])
def test_an_array_of_all_runs_becomes_columns(tmp_path, transposed):
    runs = np.array([[0, 1, 1], [1, 1, 0]])
    (tmp_path / "t.npz").write_bytes(arrays(y_true=np.array([0, 1, 1]), y_pred=runs.T if transposed else runs))
    found = read_table(tmp_path / "t.npz").table.to_pydict()
    assert found == {"y_true": [0, 1, 1], "y_pred_0": [0, 1, 1], "y_pred_1": [1, 1, 0]}


BAD = {
    "t.npy": (lambda: arrays(lambda stream, a: np.save(stream, a), a=np.arange(3)), r"shape \(3,\).*numpy.savez"),
    "objects.npy": (lambda: arrays(lambda stream, a: np.save(stream, a), a=np.array([{}], object)), "cannot be read"),
    "objects.npz": (lambda: arrays(a=np.array([print, "x"], object)), "cannot be read as npz"),
    "lengths.npz": (lambda: arrays(a=np.arange(3), b=np.arange(3), c=np.arange(4)), r"c is \(4,\), others have 3"),
    "scalar.npz": (lambda: arrays(a=np.array(3)), "no array of one value for each row"),
    "value.json": (lambda: b"3", "neither records"),
    "broken.json": (lambda: b'{"a": [', "cannot be read as json"),
    "deep.json": (lambda: b"[" * 100_000, "cannot be read as json"),
    "t.feather": (lambda: b"FEA1 no", "cannot be read as feather"),
    "t.xlsx": (lambda: b"PK", "xlsx"),
    "t.pkl": (lambda: pickle.dumps(TABLE), "can run code when it is read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_table_is_one_line(tmp_path, name):
    content, words = BAD[name]
    (tmp_path / name).write_bytes(content())
    with pytest.raises(InputError, match=words) as caught:
        read_table(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_an_index_of_pandas_is_no_column(tmp_path):
    pd.DataFrame({"a": [1, 2]}, index=[5, 5]).to_feather(tmp_path / "t.feather")
    found = read_table(tmp_path / "t.feather")
    assert found.table.to_pydict() == {"a": [1, 2]} and "unnamed index, left out" in found.notes[0]
