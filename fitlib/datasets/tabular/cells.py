"""Cells of people's tables: text trimmed, missing values recognised, columns given types; pure, on Arrow columns.

Every rule is applied to the different values of a column and then spread over its rows, so that long columns cost
little.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

# Cells that stand for "no value", after blanks were taken off both ends.
MISSING = (
    *("", "NA", "N/A", "n/a", "na", "<NA>", "#N/A", "NaN", "nan", "NAN", "NaT"),
    *("null", "NULL", "Null", "None", "NONE", "none", "?", "-", "--", "."),
)
DATES = (  # how dates are written -> strptime; ISO 8601 is tried first
    (r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%d-%m-%Y", "%m-%d-%Y")),
)
CLOCK = r"[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?"
ISO_DATE = r"\d{4}-\d{2}-\d{2}"
INTEGER = r"[+-]?(0|[1-9]\d*)"  # a leading zero makes a code (a ZIP code), not a number
FLOAT = r"[+-]?((0|[1-9]\d*)?\.\d+|(0|[1-9]\d*)\.?)([eE][+-]?\d+)?|[+-]?([iI]nf(inity)?|INF)"
DECIMAL_COMMA = r"[+-]?(\d{1,3}(\.\d{3})+|0|[1-9]\d*)(,\d+)?"
THOUSANDS_COMMA = r"[+-]?(\d{1,3}(,\d{3})+|0|[1-9]\d*)(\.\d+)?"


@dataclass
class Remarks:
    """What was recognised in a table's cells, counted: markers of missing values, other ways to write numbers."""

    missing: Counter[str] = field(default_factory=Counter)
    ways: dict[str, list[str]] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """The remarks, one short sentence each."""
        markers = [f"{marker!r} read as missing in {counted(cells, 'cell')}" for marker, cells in self.missing.items()]
        return [f"{way} in {_columns(names)}" for way, names in self.ways.items()] + markers

    def add(self, way: str, column: str) -> None:
        """Note that a column's cells are written in a way of their own."""
        self.ways.setdefault(way, []).append(column)


def typed(name: str, column: pa.ChunkedArray, separator: str, remarks: Remarks) -> pa.ChunkedArray:
    """A column of text as int64, float64, bool, date32, timestamp[us] or string (rows,); missing cells are null."""
    values, chunks = trimmed(column, remarks)
    return _spread(_typed_values(name, values, separator, remarks), chunks)


def cleaned(column: pa.ChunkedArray, remarks: Remarks) -> pa.ChunkedArray:
    """A column of a typed table in the types of `typed`; text trimmed, its markers of missing values and NaN null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _spread(*trimmed(column.cast(pa.string()), remarks))
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def trimmed(column: pa.ChunkedArray, remarks: Remarks) -> tuple[pa.Array, list[pa.Array]]:
    """Different values of a text column, trimmed, missing ones null; for every chunk, which of them each row has."""
    encoded = column.dictionary_encode()
    if not encoded.num_chunks:
        return pa.array([], pa.string()), []
    values = pc.utf8_trim(pc.utf8_trim_whitespace(encoded.chunk(0).dictionary), "\ufeff")
    chunks = [chunk.indices for chunk in encoded.chunks]
    gone = pc.is_in(values, pa.array(MISSING))
    _count_markers(values.filter(gone).to_pylist(), gone, chunks, remarks)
    return pc.if_else(gone, None, values), chunks


def _count_markers(markers: list[str], gone: pa.Array, chunks: list[pa.Array], remarks: Remarks) -> None:
    places = dict(zip(pc.indices_nonzero(gone).to_pylist(), markers, strict=True))
    for place, marker in places.items():
        if marker:
            remarks.missing[marker] += sum(pc.sum(pc.equal(chunk, place)).as_py() or 0 for chunk in chunks)


def _spread(values: pa.Array, chunks: list[pa.Array]) -> pa.ChunkedArray:
    return pa.chunked_array([values.take(chunk) for chunk in chunks], values.type)


def _typed_values(name: str, values: pa.Array, separator: str, remarks: Remarks) -> pa.Array:
    shown = values.drop_null()
    if not len(shown):
        return values
    for convert in (_numbers, _booleans):
        if (found := convert(values, shown)) is not None:
            return found
    if (found := _comma_numbers(values, shown, separator)) is not None:
        remarks.add("thousands comma" if separator == "," else "decimal comma", name)
        return found
    found, way = _times(values, shown)
    if way:
        remarks.add(way, name)
    return values if found is None else found


def _numbers(values: pa.Array, shown: pa.Array) -> pa.Array | None:
    if _all(shown, INTEGER):
        return _cast(values, pa.int64())
    return _cast(values, pa.float64()) if _all(shown, FLOAT) else None


def _booleans(values: pa.Array, shown: pa.Array) -> pa.Array | None:
    return pc.equal(pc.utf8_lower(values), "true") if _all(shown, "(?i:true|false)") else None


def _comma_numbers(values: pa.Array, shown: pa.Array, separator: str) -> pa.Array | None:
    pattern, thousands = (THOUSANDS_COMMA, ",") if separator == "," else (DECIMAL_COMMA, ".")
    if not _all(shown, pattern):
        return None
    plain = pc.replace_substring(pc.replace_substring(values, thousands, ""), ",", ".")
    return _numbers(plain, plain.drop_null())


def _times(values: pa.Array, shown: pa.Array) -> tuple[pa.Array | None, str]:
    if _all(shown, ISO_DATE):
        return _cast(values, pa.date32()), ""
    if _all(shown, f"{ISO_DATE}{CLOCK}"):
        return _instants(values), ""
    for pattern, formats in DATES:
        if _all(shown, f"{pattern}({CLOCK})?"):
            return _days(values, formats)
    return None, ""


def _instants(values: pa.Array) -> pa.Array | None:
    plain = _cast(values, pa.timestamp("us"))
    return _cast(values, pa.timestamp("us", "UTC")) if plain is None else plain


def _days(values: pa.Array, formats: tuple[str, ...]) -> tuple[pa.Array | None, str]:
    """Days of dates that are not written as in ISO 8601 (a time beside them is dropped), and which order was taken."""
    days = pc.list_element(pc.split_pattern_regex(values, "[ T]", max_splits=1), 0)
    parsed = [found for form in formats if (found := _parsed(days, form)) is not None]
    if not parsed:
        return None, ""
    return parsed[0], "dates read as day, month, year" if len(parsed) > 1 else ""


def _parsed(days: pa.Array, form: str) -> pa.Array | None:
    """The days; None where one does not exist (strptime takes the 31st of February for one of March)."""
    found = pc.strptime(days, form, "s", error_is_null=True)
    place = [letter for letter in form if letter in "dmY"].index("d")
    written = pc.list_element(pc.split_pattern_regex(days, "[./-]"), place).cast(pa.int64())
    exact = found.null_count == days.null_count and pc.all(pc.equal(pc.day(found), written)).as_py()
    return found.cast(pa.date32()) if exact else None


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """The values as another type; None where one does not fit, as a number of twenty digits in 64 bits."""
    try:
        return pc.cast(pc.utf8_ltrim(values, "+"), kind)
    except pa.ArrowInvalid:
        return None


def _all(shown: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(shown, f"^(?:{pattern})$")).as_py()


def _columns(names: list[str]) -> str:
    return f"{counted(len(names), 'column')} ({', '.join(names[:4])}{' …' if len(names) > 4 else ''})"


def counted(number: int, what: str) -> str:
    """A number of things: "1 cell", "1,204 cells"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
