"""The page `docs/tables.md`: every table of an experiment with the type and description of its columns.

`python -m fitlib.tables.data_dictionary > docs/tables.md` writes it.
"""

from fitlib.tables.column_descriptions import column
from fitlib.tables.schemas import DESCRIPTIONS, SCHEMAS, TYPES

INTRODUCTION = """# Tables

Every table of an experiment, `outputs/<experiment>/tables/<table>.csv`, and its columns. CSV: UTF-8, one header line,
missing values empty; `datapackage.json` beside the tables holds the same types and descriptions for programs
(Frictionless Data Package). How the numbers are computed is in [statistics.md](statistics.md).

- Metrics, rates, shares and probabilities are fractions from 0 to 1, not percentages. The bias metrics are 0 for equal
  treatment and larger where it is less fair.
- An interval is one of 95 % unless its description names another level.
- Rows follow the order of the plan. They are of the main arms; `causes`, `cause_tests` and `cause_churn` compare the
  other arms with them.
- `review` is the table of the command `fitlib paper`; all others are those of an experiment.

This page is made by `python -m fitlib.tables.data_dictionary > docs/tables.md`, from
`fitlib.tables.column_descriptions`."""


def markdown() -> str:
    """Return the page."""
    contents = "\n".join(f"- [`{name}`](#{name}): {_lower(text)}" for name, text in DESCRIPTIONS.items())
    return "\n\n".join([INTRODUCTION, contents, *map(_section, SCHEMAS)]) + "\n"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _section(table: str) -> str:
    rows = [_row(name, *column(table, name)) for name in SCHEMAS[table]]
    return "\n".join(
        [f"## {table}", "", DESCRIPTIONS[table], "", "| column | type | what it is |", "|---|---|---|", *rows]
    )


def _row(name: str, dtype: str, description: str) -> str:
    return f"| `{name}` | {TYPES[dtype]} | {description} |"


if __name__ == "__main__":
    print(markdown(), end="")
