"""Columns have one type and one description each, which the data package and the page on tables carry."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fitlib.tables import data_dictionary
from fitlib.tables.column_descriptions import COLUMNS, column
from fitlib.tables.schemas import DESCRIPTIONS, SCHEMAS, TYPES, data_package, table_of

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"


def test_every_column_that_is_described_is_in_a_table() -> None:
    in_tables = {
        name for table, schema in SCHEMAS.items() for column_ in schema for name in (column_, f"{table}.{column_}")
    }
    assert set(COLUMNS) <= in_tables


def test_a_name_has_one_type_except_the_target_which_can_be_overall() -> None:
    types = {}
    for schema in SCHEMAS.values():
        for name, dtype in schema.items():
            types.setdefault(name, set()).add(dtype)
    assert {name for name, found in types.items() if len(found) > 1} == {"target"}


def test_an_entry_for_one_table_differs_from_the_general_one() -> None:
    for name, entry in COLUMNS.items():
        if "." in name:
            assert entry != COLUMNS.get(name.partition(".")[2])


def test_descriptions_are_single_lines_that_fit_a_markdown_table() -> None:
    texts = [entry.description for entry in COLUMNS.values()] + list(DESCRIPTIONS.values())
    assert all(text.endswith(".") and not set("\n|<>*`") & set(text) for text in texts)


def test_an_unknown_column_is_an_error() -> None:
    with pytest.raises(KeyError, match="p_value"):
        column("comparisons", "p_value")


@pytest.mark.parametrize("table", list(SCHEMAS))
def test_the_data_package_gives_type_and_description_of_every_column(table: str) -> None:
    (resource,) = data_package([table])["resources"]
    fields = resource["schema"]["fields"]
    assert resource["description"] == DESCRIPTIONS[table]
    assert [(field["name"], field["type"]) for field in fields] == [(n, TYPES[d]) for n, d in SCHEMAS[table].items()]
    assert [field["description"] for field in fields] == [column(table, name).description for name in SCHEMAS[table]]


def test_the_committed_page_is_made_from_the_descriptions() -> None:
    remedy = "run: python -m fitlib.tables.data_dictionary > docs/tables.md"
    assert PAGE.read_text(encoding="utf-8") == data_dictionary.markdown(), remedy


def test_a_table_is_the_same_from_rows_and_from_a_frame_and_has_nothing_missing_but_numbers() -> None:
    schema = {"metric": "str", "n": "Int64", "p": "float64", "note": "str"}
    rows = [{"metric": "DP", "n": np.int64(3), "p": -0.0}, {"n": None, "p": None}, {"metric": None, "n": pd.NA, "p": 1}]
    table = table_of(rows, schema)
    for other in (pd.DataFrame(rows), table):
        pd.testing.assert_frame_equal(table_of(other, schema), table, check_exact=True)
    assert table["metric"].tolist() == ["DP", "", ""] and table["note"].tolist() == [""] * 3
    assert (
        table["n"].tolist() == [3, pd.NA, pd.NA]
        and table["p"].fillna(-1).tolist() == [0, -1, 1]
        and not np.signbit(table["p"][0])
    )
    assert table_of([], schema).dtypes.equals(table.dtypes)
