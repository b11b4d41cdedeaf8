"""Whatever a file holds, reading it gives a table or one line; and the cells that pandas reads, where both read it.

What was found is kept as an example of its test. FITLIB_FUZZ_EXAMPLES sets how many files each test makes.
"""

import io
import math
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fitlib.datasets.tabular.cells import MISSING
from fitlib.datasets.tabular.reading import read_table
from fitlib.errors import InputError

pytestmark = pytest.mark.slow
NUMBER = int(os.environ.get("FITLIB_FUZZ_EXAMPLES", "2000"))
MANY = settings(max_examples=NUMBER, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
SEPARATORS = {"separator ','": ",", "separator ';'": ";", "separator tab": "\t", "separator '|'": "|"}

CELLS = st.one_of(
    st.integers(-(10**20), 10**20).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.floats(-1e6, 1e6).map(lambda x: f"{x:.3f}".replace(".", ",")),
    st.sampled_from([*MISSING, "True", "FALSE", "yes", "1,5e-3", "1.234,5", "0012", "2020-01-31", "31.12.2020", " x "]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
    st.text("ab,;|\t\"'\n\r 01.-", max_size=6),
)
NAMES = st.one_of(st.sampled_from(["y", "sex", "a b", "", "1", "0.5", "y.1", "é"]), CELLS)


@st.composite
def tables(draw) -> str:
    """A table as a program or a person writes it: any separator, quotes where needed, or not."""
    width, height = draw(st.integers(1, 5)), draw(st.integers(0, 8))
    separator, end = draw(st.sampled_from(",;\t|")), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoted = draw(st.sampled_from(["needed", "always", "never"]))
    rows = [draw(st.lists(NAMES, min_size=width, max_size=width))]
    rows += [draw(st.lists(CELLS, min_size=width, max_size=width)) for _ in range(height)]

    def written(cell: str) -> str:
        special = any(letter in cell for letter in (separator, '"', "\n", "\r"))
        return (
            f'"{cell.replace(chr(34), chr(34) * 2)}"'
            if quoted == "always" or (quoted == "needed" and special)
            else cell
        )

    return end.join(separator.join(map(written, row)) for row in rows) + draw(st.sampled_from(["", end, end * 2]))


@st.composite
def damaged(draw) -> bytes:
    """A table's bytes with some of them cut out, doubled or replaced."""
    content = bytearray(
        draw(tables()).encode(draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])), "replace")
    )
    for _ in range(draw(st.integers(0, 4))):
        place, length = draw(st.integers(0, len(content))), draw(st.integers(0, 5))
        content[place : place + length] = draw(
            st.one_of(st.binary(max_size=5), st.sampled_from([b'"', b"\n", b",", b"\r"]))
        )
    return bytes(content)


def read(content: bytes, name: str):
    """The table, or None where it is refused in one line."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return read_table(path)
        except InputError as error:
            assert "\n" not in str(error)
            return None


@MANY
@given(st.one_of(damaged(), st.binary(max_size=200)), st.sampled_from([".csv", ".tsv", ".txt", ".data", ".csv.gz"]))
def test_any_bytes_give_a_table_or_one_line(content, suffix):
    read(content, f"t{suffix}")


OTHERS = [".parquet", ".feather", ".arrow", ".json", ".jsonl", ".npz", ".npy", ".csv.xz", ".csv.bz2"]


@st.composite
def damaged_binary(draw) -> tuple[bytes, str]:
    """A table in a format with types, some of its bytes replaced, and the ending of its name."""
    table, stream, suffix = (
        pa.table({"y": [0, 1, 1], "sex": ["f", "m", None]}),
        io.BytesIO(),
        draw(st.sampled_from(OTHERS)),
    )
    if suffix in (".feather", ".arrow"):
        pa.feather.write_feather(table, stream, compression=draw(st.sampled_from(["uncompressed", "lz4"])))
    elif suffix == ".parquet":
        pq.write_table(table, stream)
    elif suffix in (".npz", ".npy"):
        np.savez(stream, y=np.array([0, 1, 1]), sex=np.array(["f", "m", "x"]))
    else:
        stream.write(table.to_pandas().to_json(orient="records", lines=suffix == ".jsonl").encode())
    content = bytearray(stream.getvalue())
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(content)))
        content[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(content), suffix


@MANY
@given(damaged_binary())
def test_damaged_files_of_other_formats_give_a_table_or_one_line(file):
    content, suffix = file
    read(content, f"t{suffix}")


@MANY
@given(st.binary(max_size=200) | damaged(), st.sampled_from(OTHERS))
def test_any_bytes_of_other_formats_give_a_table_or_one_line(content, suffix):
    read(content, f"t{suffix}")


@MANY
@given(tables())
def test_the_cells_are_those_that_pandas_reads(text):
    assume(not (re.search("\r(?!\n)", text) and "\n" in text))  # mixed ends of lines: pandas drops cells after them
    names = re.split("[\r\n]", text.lstrip("\r\n"))[0]
    assume(re.sub(r'[\s",;|]', "", names))  # empty cells before the names are left out
    content = text.encode()
    found = read(content, "t.csv")
    assume(found is not None)
    separator = next((sep for note, sep in SEPARATORS.items() if note in found.notes), ",")
    try:
        # pandas moves the cells of a row that begins with the separator after a blank line that ends in "\r"
        plain = io.StringIO(text.replace("\r\n", "\n").replace("\r", "\n"))
        expected = pd.read_csv(plain, sep=separator, dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
        return
    assume(isinstance(expected.index, pd.RangeIndex))
    cells = [[cell.strip().strip("\ufeff") for cell in map(str, row)] for row in expected.to_numpy().tolist()]
    cells = [row for row in cells if any(cell not in MISSING for cell in row)]
    left_out = expected.shape[1] - found.table.num_columns
    assume(left_out == 0)
    columns = [column.to_pylist() for column in found.table.columns]
    assert [len(column) for column in columns] == [len(cells)] * len(columns), (text, found)
    for place, column in enumerate(columns):
        for ours, theirs in zip(column, (row[place] for row in cells), strict=True):
            assert same(ours, theirs), (ours, theirs, text)


def same(ours: object, theirs: str) -> bool:
    """Whether a cell with a type stands for the text that pandas read."""
    if ours is None:
        return theirs in MISSING
    if isinstance(ours, bool):
        return theirs.casefold() == str(ours).casefold()
    if isinstance(ours, str):
        return ours.replace("\r\n", "\n").replace("\r", "\n") == theirs
    if isinstance(ours, int | float):
        plain = [theirs.replace(",", ""), theirs.replace(".", "").replace(",", "."), theirs.replace(",", "."), theirs]
        return any(is_number(text) and close(float(text), float(ours)) for text in plain)
    return any(letter.isdigit() for letter in theirs)  # dates, which test_reading compares


def close(a: float, b: float) -> bool:
    return a == b or math.isclose(a, b, rel_tol=1e-12) or (math.isnan(a) and math.isnan(b))


def is_number(text: str) -> bool:
    try:
        float(text)
        return True
    except ValueError:
        return False
