"""Files of a finished experiment, as tests compare them."""

import json
import re
from html import unescape
from pathlib import Path

from fitlib.tables.schemas import SCHEMAS

TABLES = (*(f"{name}.csv" for name in SCHEMAS if name != "review"), "metrics.parquet", "datapackage.json")


def tables(root: Path) -> dict[str, bytes]:
    return {name: (root / "tables" / name).read_bytes() for name in TABLES}


def text_of(report: Path) -> str:
    return " ".join(
        unescape(re.sub(r"<(style|svg|script)[^>]*>.*?</\1>|<[^>]+>", " ", report.read_text(), flags=re.S)).split()
    )


def events(root: Path, kind: str) -> list[str]:
    found = [json.loads(line) for line in (root / "events.jsonl").read_text().splitlines()]
    return [e["task"] for e in found if e["event"] == kind and e["kind"] == "train"]
