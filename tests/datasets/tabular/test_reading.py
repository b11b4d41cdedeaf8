"""Users' tables are read in all their dialects."""

import bz2
import codecs
import datetime
import gzip
import lzma

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fitlib.datasets.tabular.reading import read_table
from fitlib.errors import InputError


@pytest.fixture
def written(tmp_path):
    """A function that writes text or bytes into a file and gives its path."""

    def write(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def read(written):
    """A function that reads text or bytes as a table file."""
    return lambda content, name="t.csv": read_table(written(content, name))


@pytest.fixture
def refused(written):
    """A function that gives the one line with which a table is refused."""

    def line(content, name="t.csv"):
        with pytest.raises(InputError) as caught:
            read_table(written(content, name))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return line


@pytest.mark.parametrize(
    ("separator", "notes"),
    [(",", ()), (";", ("separator ';'",)), ("\t", ("separator tab",)), ("|", ("separator '|'",))],
)
def test_the_separator_is_guessed_with_quotes_respected(read, separator, notes):
    other = ";" if separator == "," else ","
    found = read(f'a{separator}b\n"x{separator}y{other}"{separator}1\n"{other}{other}"{separator}2\n')
    assert found.table.to_pydict() == {"a": [f"x{separator}y{other}", other * 2], "b": [1, 2]}
    assert found.notes == notes


def test_a_tab_is_no_guess_in_a_tsv_and_spreadsheets_may_name_the_separator(read):
    assert read("a\tb\n1\t2\n", "t.tsv").notes == ()
    assert read("sep=;\na;b\n1;2\n").table.to_pydict() == {"a": [1], "b": [2]}
    assert read("only\n1\n\n2\n").table.to_pydict() == {"only": [1, 2]}


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        ("Größe,b\né,1\n".encode(), ()),
        (codecs.BOM_UTF8 + "Größe,b\né,1\n".encode(), ()),
        ("Größe,b\né,1\n".encode("utf-16"), ("encoding UTF-16",)),
        ("Größe,b\r\né,1\r\n".encode("cp1252"), ("encoding Windows-1252 (not UTF-8)",)),
        ("Gro\u0308ße,b\re\u0301,1\r".encode(), ()),
    ],
)
def test_encodings_and_line_ends_give_the_same_names(read, content, notes):
    found = read(content)
    assert found.table.column_names == ["Größe", "b"]
    assert found.table["b"].to_pylist() == [1]
    assert found.notes == notes


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)])
def test_packed_tables_are_read_and_damaged_ones_refused(read, refused, suffix, pack):
    assert read(pack(b"a,b\n1,2\n"), f"t.csv{suffix}").table.to_pydict() == {"a": [1], "b": [2]}
    assert "cannot be read" in refused(pack(b"a,b\n1,2\n")[:-9], f"t.csv{suffix}")
    assert "cannot be read" in refused(b"a,b\n1,2\n", f"t.csv{suffix}")


@pytest.mark.parametrize(
    ("cells", "kind", "values"),
    [
        (["1", " -2 ", "+3"], pa.int64(), [1, -2, 3]),
        (["1", "2.5", "1e3", ".5", "7."], pa.float64(), [1, 2.5, 1000, 0.5, 7]),
        (["inf", "-Infinity", "1"], pa.float64(), [np.inf, -np.inf, 1]),
        (["True", "FALSE"], pa.bool_(), [True, False]),
        (["yes", "no"], pa.string(), ["yes", "no"]),
        (["01234", "10000"], pa.string(), ["01234", "10000"]),
        (["12345678901234567890", "1"], pa.string(), ["12345678901234567890", "1"]),
        (["0x10", "1"], pa.string(), ["0x10", "1"]),
        (["1", "x"], pa.string(), ["1", "x"]),
        (["2020-01-31"], pa.date32(), [datetime.date(2020, 1, 31)]),
        (["31.01.2020"], pa.date32(), [datetime.date(2020, 1, 31)]),
        (["12/31/2020 10:11"], pa.date32(), [datetime.date(2020, 12, 31)]),
        (["2020-01-31 10:11:12"], pa.timestamp("us"), [datetime.datetime(2020, 1, 31, 10, 11, 12)]),
        (["2020-13-31"], pa.string(), ["2020-13-31"]),
        ([" x\u00a0", "\ty "], pa.string(), ["x", "y"]),
        (["?", "NA"], pa.string(), [None, None]),
    ],
)
def test_cells_get_the_type_that_all_of_a_column_have(read, cells, kind, values):
    column = read("a,b\n" + "".join(f"{cell},0\n" for cell in cells)).table["a"]
    assert column.type == kind
    assert column.to_pylist() == values


def test_a_comma_is_a_decimal_comma_unless_commas_separate(read):
    found = read("Größe;Lohn\n1,75;1.234,5\n2;12\n")
    assert found.table.to_pydict() == {"Größe": [1.75, 2.0], "Lohn": [1234.5, 12.0]}
    assert found.notes[1] == "decimal comma in 2 columns (Größe, Lohn)"
    found = read('a,b\n"1,234",x\n12,y\n')
    assert found.table["a"].to_pylist() == [1234, 12]
    assert found.notes == ("thousands comma in 1 column (a)",)


def test_decimal_commas_may_have_exponents_and_points_beside_them_are_no_thousands(read):
    assert read("a;b\n0,8000;x\n5,08e-05;x\n-1E3;x\n,5;x\n").table["a"].to_pylist() == [0.8, 5.08e-05, -1000, 0.5]
    assert read("a;b\n0,5;x\n1.000e5;x\n").table["a"].type == pa.string()
    assert read('a,b\n"1,234.5",x\n1e-3,x\n').table["a"].to_pylist() == [1234.5, 0.001]


def test_names_may_be_given_where_the_first_line_has_none(written):
    found = read_table(written("20, x\n30, y\n", "t.data"), ["age", "what"])
    assert found.table.to_pydict() == {"age": [20, 30], "what": ["x", "y"]}
    with pytest.raises(InputError, match="1 name, and 2 cells in the first line"):
        read_table(written("20, x\n30, y\n", "t.data"), ["age"])
    with pytest.raises(InputError, match="parquet"):
        read_table(written("PAR1", "t.parquet"), ["age"])


def test_headings_of_joined_files_are_no_reason_to_take_names_for_data(read):
    assert read("sex,score\nF,1\nsex,score\nM,2\n").table.column_names == ["sex", "score"]
    assert read("country,2020,2019\nA,1,2\nB,3,4\n").table.column_names == ["country", "2020", "2019"]


def test_equal_names_are_numbered_as_in_pandas(read, written):
    content = "a,b,a, a ,a.1,b\n1,2,3,4,5,6\n"
    found = read(content)
    assert found.table.column_names == pd.read_csv(written(content.replace(" a ", "a"))).columns.to_list()
    assert found.notes == ("columns of equal names renamed a.2, a.3, b.1",)


def test_a_day_that_could_be_a_month_is_told(read):
    assert read("a,b\n01/02/2020,1\n").notes == ("dates read as day, month, year in 1 column (a)",)
    assert read("a,b\n31/02/2020,1\n").table["a"].type == pa.string()
    assert read("a,b\n31/01/2020,1\n").notes == ()


def test_markers_of_missing_values_are_null_and_counted(read):
    found = read("a,b\n?,x\n ? ,z\n3,-\n4,\nNA,y\n")
    assert found.table.to_pydict() == {"a": [None, None, 3, 4, None], "b": ["x", "z", None, None, "y"]}
    counted = {"?": "2 cells", "NA": "1 cell", "-": "1 cell"}
    assert set(found.notes) == {f"{marker!r} read as missing in {cells}" for marker, cells in counted.items()}


def test_blank_lines_and_rows_without_any_value_are_left_out(read):
    found = read("\n\na,b\n1,2\n\n   \n,NA\n3,4\n")
    assert found.table.to_pydict() == {"a": [1, 3], "b": [2, 4]}
    assert "1 row without any value left out" in found.notes


def test_row_numbers_without_a_name_are_kept_apart(read):
    for content in (",b\n7,2\n3,4\n", "Unnamed: 0,b\n7,2\n3,4\n", '"b"\n"7",2\n"3",4\n'):
        found = read(content)
        assert found.table.to_pydict() == {"b": [2, 4]}
        assert found.index.to_pylist() == [7, 3]
        assert found.notes == ("first column, unnamed row numbers, left out",)
    for content in (",b\n0,2\n0,4\n", ",b\nx,2\ny,4\n"):
        found = read(content)
        assert found.table.to_pydict() == {"b": [2, 4]}
        assert found.notes[0].startswith("first column, unnamed")
    joined = read(",b\n0,2\n0,4\n")
    assert joined.index is None and joined.notes == ("first column, unnamed index, left out",)
    assert read("a,b,\n1,2,\n").notes == ("1 unnamed empty column left out",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"a,b\n", "has no rows"),
        (b"a,,c\n1,2,3\n", "it has no name"),
        (b"0,1,1,0\n1,2,3,4\n", "numbers instead of names"),
        (b'a,b\n1,"x\ny"\n\n3,4,5\n', "line 5"),
        (b"a,b\n1,2\n3\n", "line 3"),
        (b'a,b\n1,"x\n2,y\n', "never closed"),
        (b'a,b\n1,2\n3,"' + b"x,4\n" * 50_000, "line 3"),
        (b'a,"b\n' + b"1,2\n" * 50_000, "line 1"),
        (b'a,b\n1,"2\n' + b"1,2\n" * 50_000, "line 2"),
        (b"20, Private, >50K\n30, Private, >50K\n30, State, <=50K\n", "looks like data: Private, >50K occur below"),
        (b"F,yes\nM,no\nF,no\nM,yes\n", "looks like data"),
        (b"a,b\n1,\x002\n", "not a text file"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(refused, content, words):
    assert words in refused(content)


def test_other_files_are_refused(refused, tmp_path):
    assert "neither CSV nor parquet" in refused(b"PK", "t.docx")
    assert "can run code when it is read; convert it" in refused(b"PK", "t.pkl.gz")
    assert "cannot be read as parquet" in refused(b"a,b\n1,2\n", "t.parquet")
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "none.csv")


def test_columns_of_an_array_may_be_named_by_number(read):
    assert read("0,1,2,10\n1,2,3,4\n").table.column_names == ["0", "1", "2", "10"]


def test_parquet_keeps_its_types_and_loses_the_index_of_pandas(tmp_path):
    columns = {
        " a ": pa.array(["x", " ? ", None]).dictionary_encode(),
        "b": [1.0, np.nan, 2.0],
        "c": [[0, 1], [1, 0], [1, 1]],
        "__index_level_0__": [5, 3, 4],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    assert found.table.to_pydict() == {"a": ["x", None, None], "b": [1, None, 2], "c": [[0, 1], [1, 0], [1, 1]]}
    assert found.index.to_pylist() == [5, 3, 4]
    assert found.notes == ("'?' read as missing in 1 cell", "first column, unnamed row numbers, left out")


def test_a_long_table_in_many_blocks_is_read_whole(read, monkeypatch):
    monkeypatch.setattr("fitlib.datasets.tabular.reading.BLOCK", 0)
    rows = 200_000
    found = read("number,text\n" + "".join(f"{i},{'?' if i % 2 else 'word'}\n" for i in range(rows)))
    assert found.table["number"].num_chunks > 1
    np.testing.assert_array_equal(found.table["number"].to_numpy(), np.arange(rows))
    assert found.notes == (f"'?' read as missing in {rows // 2:,} cells",)
