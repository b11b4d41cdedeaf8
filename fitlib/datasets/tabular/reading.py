"""Reading of users' tables: CSV of many dialects, compressed or not, parquet and others, into one Arrow table.

Whatever had to be guessed (separator, encoding, decimal comma, markers of missing values) is listed in `notes`.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fitlib.datasets.tabular.cells import Remarks, clean, infer_type, quantity
from fitlib.datasets.tabular.other_formats import CONVERSIONS, READERS, UnreadableError, read_other
from fitlib.errors import InputError
from fitlib.storage.prediction_columns import one_line

DECOMPRESSORS = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
TEXT_FILES = (".csv", ".tsv", ".txt", ".data", ".dat")
TYPED = (".parquet", *READERS)  # files whose columns have names and types
SEPARATORS = {",": "','", ";": "';'", "\t": "tab", "|": "'|'"}
SAMPLE = 1 << 16  # bytes from which the separator is guessed
QUOTES = 'close it, or write "" for a quote inside a cell'
BLOCK = 1 << 26  # bytes read at once
FORMATS = "save it as CSV (.csv, .tsv, .txt, .data, .dat, also .gz, .bz2, .xz) or as .parquet"
NAMES = "give every column its own name in the first line"
DECLARED = f"{NAMES}, or all of them with --names A,B,... (names: [...] in an experiment file)"


@dataclass(frozen=True)
class TableFile:
    """A table, notes on the guesses made when it was read, and its first column of row numbers, if any.

    `table`: columns of int64, float64, bool, date32, timestamp or string, missing cells null (parquet keeps its own
    widths and nested columns); `index`: an unnamed first column of row numbers, which is not in `table`, or None.
    """

    table: pa.Table
    notes: tuple[str, ...]
    index: pa.ChunkedArray | None = None


def read_table(path: str | Path, names: Sequence[str] | None = None) -> TableFile:
    """Read .csv, .tsv, .txt, .data, .dat (also compressed with gzip, bzip2 or xz), .parquet or one of `READERS`.

    Text: separator , ; tab or |, UTF-8, UTF-16 with a byte order mark or Windows-1252; numbers also with a decimal
    comma (thousands commas where the comma separates); cells in `cells.MISSING` are null. `names`: of the columns of a
    text file that has none in its first line. A repeated name gets a number as in pandas: x, x.1. InputError for a file
    that cannot be read, an empty one, a row with too many or too few cells, an empty name, and a first line of data.
    """
    path = Path(path)
    suffix = suffix_of(path)
    if suffix not in (*TEXT_FILES, *TYPED):
        remedy = CONVERSIONS.get(suffix, FORMATS)
        raise InputError(str(path), "file", path.name, "neither CSV nor parquet by its name", remedy)
    content = _content(path)
    if not content:
        raise InputError(str(path), "file", path.name, "the file is empty", "give a table with a line of names")
    if names is not None and suffix in TYPED:
        raise InputError(str(path), "names", list(names), f"the columns of a {suffix} file have names", "omit them")
    found = _typed(path, suffix, content) if suffix in TYPED else _text(path, suffix, content, names)
    if not found.table.num_rows:
        raise InputError(str(path), "rows", 0, "the table has no rows", "give one row for each example")
    return found


def suffix_of(path: Path) -> str:
    """Return the ending that names a file's format, without that of its compression.

    >>> suffix_of(Path("a.CSV.gz")), suffix_of(Path("a.parquet"))
    ('.csv', '.parquet')
    """
    bare = path.with_suffix("") if path.suffix.lower() in DECOMPRESSORS else path
    return bare.suffix.lower()


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return DECOMPRESSORS.get(path.suffix.lower(), bytes)(content)
    except FileNotFoundError:
        raise InputError(str(path), "file", path.name, "no such file", "correct the path") from None
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        problem = f"cannot be read ({one_line(error)})"
        raise InputError(str(path), "file", path.name, problem, "correct the path, or make the file again") from None


# Parquet and others


def _typed(path: Path, suffix: str, content: bytes) -> TableFile:
    try:
        table = _parquet(content) if suffix == ".parquet" else read_other(suffix, content)
        table.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        problem = f"cannot be read as {suffix[1:]} ({one_line(error, 200)})"
        remedy = error.remedy if isinstance(error, UnreadableError) else "write the file again"
        raise InputError(str(path), "file", path.name, problem, remedy) from None
    remarks = Remarks()
    names = ["" if name.startswith("__index_level_") else name for name in map(_name, table.column_names)]
    columns = [clean(column, remarks) for column in table.columns]
    if "" in names:  # the index of a pandas frame is the last column
        place = names.index("")
        names.insert(0, names.pop(place))
        columns.insert(0, columns.pop(place))
    return _finish(path, names, columns, remarks.sentences())


def _parquet(content: bytes) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(content)).read()


# Text


def _text(path: Path, suffix: str, content: bytes, declared: Sequence[str] | None) -> TableFile:
    data, notes = _utf8(path, content)
    data, separator = _excel_hint(data)
    separator = separator or _separator(data, suffix)
    names, start = _declared(path, data, separator, declared) if declared else _header(path, data, separator)
    if separator != ("\t" if suffix == ".tsv" else ","):
        notes.append(f"separator {SEPARATORS[separator]}")
    columns = _cells(path, data, start, separator, len(names))
    remarks = Remarks()
    typed = [infer_type(name, column, separator, remarks) for name, column in zip(names, columns, strict=True)]
    return _finish(path, names, typed, notes + remarks.sentences())


def _utf8(path: Path, content: bytes) -> tuple[bytes, list[str]]:
    """Return the text as UTF-8 without a byte order mark, lines ended by line feeds, and notes on guesses."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text, notes = content.decode("utf-16", "replace"), ["encoding UTF-16"]
    else:
        text, notes = _eight_bit(content)
    if "\0" in text:
        raise InputError(str(path), "file", path.name, "not a text file: it contains null bytes", FORMATS)
    text = text.removeprefix("\ufeff")
    return (text if "\n" in text else text.replace("\r", "\n")).encode("utf-8"), notes


def _eight_bit(content: bytes) -> tuple[str, list[str]]:
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace"), ["encoding Windows-1252 (not UTF-8)"]


def _excel_hint(data: bytes) -> tuple[bytes, str]:
    """Cut off a first line `sep=;`, with which spreadsheets name the separator, and return the separator."""
    line, _, rest = data.partition(b"\n")
    hint = line.strip().decode("utf-8", "replace")
    if hint.lower().startswith("sep=") and hint[4:] in SEPARATORS:
        return rest, hint[4:]
    return data, ""


def _separator(data: bytes, suffix: str) -> str:
    """Guess the separator: most records at the beginning have as many cells as the first; if tied, most cells."""
    sample = data[:SAMPLE]
    if len(data) > SAMPLE:
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    lines = sample.decode("utf-8", "ignore").splitlines(keepends=True)
    scores = {separator: _agreement(lines, separator) for separator in SEPARATORS}
    usual = "\t" if suffix == ".tsv" else ","
    best = max(SEPARATORS, key=lambda separator: (*scores[separator], separator == usual))
    return best if scores[best][1] > 1 else usual


def _agreement(lines: Sequence[str], separator: str) -> tuple[float, int]:
    lengths = [len(row) for row in csv.reader(lines, delimiter=separator) if any(cell.strip() for cell in row)]
    if not lengths or lengths[0] < 2:
        return 0.0, 0
    return sum(length == lengths[0] for length in lengths) / len(lengths), lengths[0]


def _header(path: Path, data: bytes, separator: str) -> tuple[list[str], int]:
    """Return the names of the columns, and where the rows begin; row names without a heading get the name ""."""
    records = _Records(data, separator)
    header = _next_record(path, records)
    start, first = records.position, _next_record(path, records)
    names = [_name(cell) for cell in header]
    _check_first_line(path, names, [first, *_some_records(records)])
    return ([""] if len(first) == len(names) + 1 and first[-1].strip() else []) + names, start


def _declared(path: Path, data: bytes, separator: str, names: Sequence[str]) -> tuple[list[str], int]:
    """Return the given names of the columns, and where the rows begin: at once."""
    first = _next_record(path, _Records(data, separator))
    if len(first) != len(names):
        problem = f"{quantity(len(names), 'name')}, and {quantity(len(first), 'cell')} in the first line"
        raise InputError(str(path), "names", ", ".join(names), problem, "name every column")
    return [_name(name) for name in names], 0


def _next_record(path: Path, records: _Records) -> list[str]:
    """Return the next record that is not blank; [] after the last one. InputError where a quote is never closed."""
    line = records.line + 1
    try:
        return next((row for row in records if any(cell.strip() for cell in row)), [])
    except csv.Error as error:
        problem = f"a quote is opened there and never closed ({one_line(error)})"
        raise InputError(str(path), f"line {line}", path.name, problem, QUOTES) from None


def _some_records(records: _Records, most: int = 200) -> list[list[str]]:
    found: list[list[str]] = []
    try:
        for row in records:
            found.append(row)
            if len(found) == most:
                break
    except csv.Error:  # reported by `_cells`, with its line
        pass
    return found


def _check_first_line(path: Path, names: list[str], rows: Sequence[list[str]]) -> None:
    """Raise InputError where data take the place of names.

    That is where half of the first line or more are numbers, unless they count up or down (as an array's columns and
    years do), or where its cells occur again below them.
    """
    numbers = [float(name) for name in names if _is_number(name)]
    shown = ", ".join(names[:6]) + (" …" if len(names) > 6 else "")
    counted = numbers in (sorted(set(numbers)), sorted(set(numbers), reverse=True))
    if len(numbers) * 2 >= max(len(names), 2) and not counted:
        raise InputError(str(path), "line 1", shown, "numbers instead of names of columns", DECLARED)
    others = [cells for row in rows if (cells := [_name(cell) for cell in row]) != names and len(cells) == len(names)]
    again = [name for place, name in enumerate(names) if name and any(cells[place] == name for cells in others)]
    if len(again) > 1 and (numbers or len(again) * 2 > len(names)):
        problem = f"looks like data: {', '.join(again[:3])} occur below, too"
        raise InputError(str(path), "line 1", shown, problem, DECLARED)


class _Records:
    """Records of a CSV text, one after another; `position` is the byte at which the next one begins."""

    def __init__(self, data: bytes, separator: str):
        self.data, self.position, self.line = data, 0, 0
        self._reader = csv.reader(self._lines(), delimiter=separator)

    def __iter__(self) -> Iterator[list[str]]:
        return self._reader

    def _lines(self) -> Iterator[str]:
        while self.position < len(self.data):
            end = self.data.find(b"\n", self.position) + 1 or len(self.data)
            line = self.data[self.position : end].decode("utf-8")
            self.position, self.line = end, self.line + 1
            yield line


def _cells(path: Path, data: bytes, start: int, separator: str, width: int) -> list[pa.ChunkedArray]:
    """Read the columns, as text; InputError at the first row with another number of cells."""
    if not data[start:].strip():
        return [pa.chunked_array([], pa.string())] * width
    places = [str(place) for place in range(width)]
    block = max(1 << 20, min(len(data), BLOCK))
    try:
        table = pa_csv.read_csv(
            io.BytesIO(memoryview(data)[start:]),
            pa_csv.ReadOptions(column_names=places, block_size=block),
            pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=_blank),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(places, pa.string())),
        )
    except (pa.ArrowException, csv.Error) as error:
        raise _ragged(path, data, start, separator, width, error) from None
    _check_quotes(path, data, table)
    return table.columns


def _check_quotes(path: Path, data: bytes, table: pa.Table) -> None:
    """Raise InputError for a quote that is never closed: its cell takes all rows up to the end of the file."""
    if data.count(b'"') % 2 and "\n" in (last := table.column(table.num_columns - 1)[-1].as_py()):
        line = data.rstrip().count(b"\n") + 1 - last.rstrip().count("\n")
        raise InputError(str(path), f"line {line}", last, "a quote is opened there and never closed", QUOTES)


def _blank(row: pa_csv.InvalidRow) -> str:
    return "error" if row.text.strip() else "skip"


def _ragged(path: Path, data: bytes, start: int, separator: str, width: int, error: Exception) -> InputError:
    records, remedy = _Records(data, separator), "quote cells that hold the separator, and write every cell of a row"
    line = 1
    try:
        for row in records:
            if records.position > start and len(row) != width and any(cell.strip() for cell in row):
                problem = (
                    f"{quantity(len(row), 'cell')} where the first line has {width} (separator {SEPARATORS[separator]})"
                )
                return InputError(str(path), f"line {line}", separator.join(row), problem, remedy)
            line = records.line + 1
    except csv.Error:
        problem = "a quote is opened there and never closed"
        return InputError(str(path), f"line {line}", path.name, problem, QUOTES)
    return InputError(str(path), f"line {line}", path.name, f"cannot be read ({one_line(error)})", remedy)


# Both


def _finish(path: Path, names: list[str], columns: list[pa.ChunkedArray], notes: list[str]) -> TableFile:
    index = None
    if len(names) > 1 and names[0] in ("", "Unnamed: 0") and _is_index(columns[0]):
        (first, *columns), names = columns, names[1:]
        index = first if _counts_rows(first) else None
        what = "row numbers" if index is not None else "index"
        notes = [*notes, f"first column, unnamed {what}, left out"]
    empty = [place for place, name in enumerate(names) if not name and columns[place].null_count == len(columns[place])]
    if empty:
        names, columns = ([c for i, c in enumerate(of) if i not in empty] for of in (names, columns))
        notes = [*notes, f"{quantity(len(empty), 'unnamed empty column')} left out"]
    _check_names(path, names)
    names, renamed = _distinct_names(names)
    notes = [*notes, f"columns of equal names renamed {', '.join(renamed)}"] if renamed else notes
    table = pa.table(columns, names)
    kept = _with_values(table)
    if kept.num_rows < table.num_rows:
        notes = [*notes, f"{quantity(table.num_rows - kept.num_rows, 'row')} without any value left out"]
        index = None if index is None else index.filter(_any_value(table))
    return TableFile(kept, tuple(notes), index)


def _check_names(path: Path, names: list[str]) -> None:
    if not names:
        raise InputError(str(path), "columns", 0, "the table has no columns", NAMES)
    if "" in names:
        remedy = "name it, or leave it out" if suffix_of(path) in TYPED else NAMES
        raise InputError(str(path), "column", names.index("") + 1, "it has no name", remedy)


def _distinct_names(names: list[str]) -> tuple[list[str], list[str]]:
    """Return distinct names, and those that are new: repeated ones get the first free number, as in pandas."""
    found, new = [], []
    taken = set(names)
    for place, name in enumerate(names):
        if name in names[:place]:
            name = next(free for number in count(1) if (free := f"{name}.{number}") not in taken)
            taken.add(name)
            new.append(name)
        found.append(name)
    return found, new


def _is_index(column: pa.ChunkedArray) -> bool:
    """Return whether an unnamed first column numbers or names rows: an index, which joined tables repeat."""
    if column.null_count:
        return False
    return pa.types.is_integer(column.type) or (pa.types.is_string(column.type) and _has_distinct_values(column))


def _has_distinct_values(column: pa.ChunkedArray) -> bool:
    return len(column.unique()) == len(column)


def _counts_rows(column: pa.ChunkedArray) -> bool:
    return pa.types.is_integer(column.type) and not column.null_count and _has_distinct_values(column)


def _with_values(table: pa.Table) -> pa.Table:
    if all(column.null_count for column in table.columns):
        return table.filter(_any_value(table))
    return table


def _any_value(table: pa.Table) -> pa.ChunkedArray:
    shown = pc.is_valid(table.column(0))
    for column in table.columns[1:]:
        shown = pc.or_(shown, pc.is_valid(column))
    return shown


def _name(text: str) -> str:
    """Return a column's name in one line, with composed accents (as typed on a keyboard)."""
    return unicodedata.normalize("NFC", " ".join(text.replace("\ufeff", "").split()))


def _is_number(name: str) -> bool:
    try:
        float(name)
        return True
    except ValueError:
        return False
