"""Cells of users' tables: text trimmed, missing values recognised, types inferred; pure functions on Arrow columns.

Every rule is applied to the different values of a column and then spread over its rows, so that long columns cost
little.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

# Markers of a missing value, after blanks were removed from both ends.
MISSING = (
    *("", "NA", "N/A", "n/a", "na", "<NA>", "#N/A", "NaN", "nan", "NAN", "NaT"),
    *("null", "NULL", "Null", "None", "NONE", "none", "?", "-", "--", "."),
)
DATES = (  # pattern of a date -> formats for strptime; ISO 8601 is tried first
    (r"\d{4}/\d{1,2}/\d{1,2}", ("%Y/%m/%d",)),
    (r"\d{1,2}\.\d{1,2}\.\d{4}", ("%d.%m.%Y",)),
    (r"\d{1,2}/\d{1,2}/\d{4}", ("%d/%m/%Y", "%m/%d/%Y")),
    (r"\d{1,2}-\d{1,2}-\d{4}", ("%d-%m-%Y", "%m-%d-%Y")),
)
CLOCK = r"[ T]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?"
ISO_DATE = r"\d{4}-\d{2}-\d{2}"
INTEGER = r"[+-]?(0|[1-9]\d*)"  # a leading zero makes a code (a ZIP code), not a number
FLOAT = r"[+-]?((0|[1-9]\d*)?\.\d+|(0|[1-9]\d*)\.?)([eE][+-]?\d+)?|[+-]?([iI]nf(inity)?|INF)"
EXPONENT = r"([eE][+-]?\d+)?"  # never beside thousands: 1.000e5 is a decimal point
DECIMAL_COMMA = rf"[+-]?(\d{{1,3}}(\.\d{{3}})+(,\d+)?|((0|[1-9]\d*)(,\d+)?|,\d+){EXPONENT})"
THOUSANDS_COMMA = rf"[+-]?(\d{{1,3}}(,\d{{3}})+(\.\d+)?|((0|[1-9]\d*)(\.\d+)?|\.\d+){EXPONENT})"


@dataclass
class Remarks:
    """Remarks on a table's cells, counted: markers of missing values, unusual notations of numbers and dates."""

    missing: Counter[str] = field(default_factory=Counter)
    notations: dict[str, list[str]] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """Return the remarks, one short sentence each."""
        markers = [f"{marker!r} read as missing in {quantity(cells, 'cell')}" for marker, cells in self.missing.items()]
        return [f"{notation} in {_columns(names)}" for notation, names in self.notations.items()] + markers

    def add(self, notation: str, column: str) -> None:
        """Note the unusual notation of a column's cells."""
        self.notations.setdefault(notation, []).append(column)


def infer_type(name: str, column: pa.ChunkedArray, separator: str, remarks: Remarks) -> pa.ChunkedArray:
    """Convert text (rows,) to int64, float64, bool, date32, timestamp[us] or string; missing cells become null."""
    values, chunks = trim(column, remarks)
    return _spread(_convert(name, values, separator, remarks), chunks)


def clean(column: pa.ChunkedArray, remarks: Remarks) -> pa.ChunkedArray:
    """Convert a column of a typed table to the types of `infer_type`; text trimmed, missing values and NaN null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _spread(*trim(column.cast(pa.string()), remarks))
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        column = column.cast(pa.float64())
    if pa.types.is_floating(column.type):
        return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    return column


def trim(column: pa.ChunkedArray, remarks: Remarks) -> tuple[pa.Array, list[pa.Array]]:
    """Trim the different values of a text column, missing ones null; return also, by chunk, the value of each row."""
    encoded = column.dictionary_encode()
    if not encoded.num_chunks:
        return pa.array([], pa.string()), []
    values = pc.utf8_trim(pc.utf8_trim_whitespace(encoded.chunk(0).dictionary), "\ufeff")
    chunks = [chunk.indices for chunk in encoded.chunks]
    missing = pc.is_in(values, pa.array(MISSING))
    _count_markers(values.filter(missing).to_pylist(), missing, chunks, remarks)
    return pc.if_else(missing, None, values), chunks


def _count_markers(markers: list[str], missing: pa.Array, chunks: list[pa.Array], remarks: Remarks) -> None:
    places = dict(zip(pc.indices_nonzero(missing).to_pylist(), markers, strict=True))
    for place, marker in places.items():
        if marker:
            remarks.missing[marker] += sum(pc.sum(pc.equal(chunk, place)).as_py() or 0 for chunk in chunks)


def _spread(values: pa.Array, chunks: list[pa.Array]) -> pa.ChunkedArray:
    return pa.chunked_array([values.take(chunk) for chunk in chunks], values.type)


def _convert(name: str, values: pa.Array, separator: str, remarks: Remarks) -> pa.Array:
    present = values.drop_null()
    if not len(present):
        return values
    for convert in (_numbers, _booleans):
        if (found := convert(values, present)) is not None:
            return found
    if (found := _comma_numbers(values, present, separator)) is not None:
        remarks.add("thousands comma" if separator == "," else "decimal comma", name)
        return found
    found, notation = _times(values, present)
    if notation:
        remarks.add(notation, name)
    return values if found is None else found


def _numbers(values: pa.Array, present: pa.Array) -> pa.Array | None:
    if _all(present, INTEGER):
        return _cast(values, pa.int64())
    return _cast(values, pa.float64()) if _all(present, FLOAT) else None


def _booleans(values: pa.Array, present: pa.Array) -> pa.Array | None:
    return pc.equal(pc.utf8_lower(values), "true") if _all(present, "(?i:true|false)") else None


def _comma_numbers(values: pa.Array, present: pa.Array, separator: str) -> pa.Array | None:
    pattern, thousands = (THOUSANDS_COMMA, ",") if separator == "," else (DECIMAL_COMMA, ".")
    if not _all(present, pattern):
        return None
    plain = pc.replace_substring(pc.replace_substring(values, thousands, ""), ",", ".")
    return _numbers(plain, plain.drop_null())


def _times(values: pa.Array, present: pa.Array) -> tuple[pa.Array | None, str]:
    if _all(present, ISO_DATE):
        return _cast(values, pa.date32()), ""
    if _all(present, f"{ISO_DATE}{CLOCK}"):
        return _instants(values), ""
    for pattern, formats in DATES:
        if _all(present, f"{pattern}({CLOCK})?"):
            return _days(values, formats)
    return None, ""


def _instants(values: pa.Array) -> pa.Array | None:
    plain = _cast(values, pa.timestamp("us"))
    return _cast(values, pa.timestamp("us", "UTC")) if plain is None else plain


def _days(values: pa.Array, formats: tuple[str, ...]) -> tuple[pa.Array | None, str]:
    """Return the days of dates not in ISO 8601 (a time of day is dropped), and a remark if their order is ambiguous."""
    days = pc.list_element(pc.split_pattern_regex(values, "[ T]", max_splits=1), 0)
    parsed = [found for form in formats if (found := _parse(days, form)) is not None]
    if not parsed:
        return None, ""
    return parsed[0], "dates read as day, month, year" if len(parsed) > 1 else ""


def _parse(days: pa.Array, form: str) -> pa.Array | None:
    """Parse the days; None where one does not exist (strptime takes the 31st of February for one of March)."""
    found = pc.strptime(days, form, "s", error_is_null=True)
    place = [letter for letter in form if letter in "dmY"].index("d")
    written = pc.list_element(pc.split_pattern_regex(days, "[./-]"), place).cast(pa.int64())
    exact = found.null_count == days.null_count and pc.all(pc.equal(pc.day(found), written)).as_py()
    return found.cast(pa.date32()) if exact else None


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array | None:
    """Cast the values to another type; None where one does not fit, as a number of twenty digits in 64 bits."""
    try:
        return pc.cast(pc.utf8_ltrim(values, "+"), kind)
    except pa.ArrowInvalid:
        return None


def _all(present: pa.Array, pattern: str) -> bool:
    return pc.all(pc.match_substring_regex(present, f"^(?:{pattern})$")).as_py()


def _columns(names: list[str]) -> str:
    return f"{quantity(len(names), 'column')} ({', '.join(names[:4])}{' …' if len(names) > 4 else ''})"


def quantity(number: int, what: str) -> str:
    """Return a number with its noun, in the singular or the plural.

    >>> quantity(1, "cell"), quantity(1204, "cell")
    ('1 cell', '1,204 cells')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def text_of(value: object) -> str:
    """Return a value as text, whole numbers without a decimal point: the name of a class or a group.

    >>> text_of(1.0), text_of(0.5), text_of("a")
    ('1', '0.5', 'a')
    """
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
