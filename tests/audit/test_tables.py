"""What counts as the same table: descriptions of columns may change, names and types may not."""

import json
from pathlib import Path

from fitlib.audit.tables import cells, differences
from fitlib.tables.schemas import DATA_PACKAGE, data_package


def written(folder: Path, package: dict) -> Path:
    folder.mkdir()
    (folder / DATA_PACKAGE).write_text(json.dumps(package, indent=1), encoding="utf-8")
    return folder / DATA_PACKAGE


def test_a_data_package_without_descriptions_describes_the_same_columns(tmp_path: Path) -> None:
    full, bare = data_package(["runs", "summary"]), data_package(["runs", "summary"])
    for resource in bare["resources"]:
        del resource["description"]
        for field in resource["schema"]["fields"]:
            del field["description"]
    assert cells(written(tmp_path / "full", full)) == cells(written(tmp_path / "bare", bare))


def test_a_column_of_another_type_is_named(tmp_path: Path) -> None:
    package, forged = data_package(["runs"]), data_package(["runs"])
    forged["resources"][0]["schema"]["fields"][1]["type"] = "integer"
    one, other = cells(written(tmp_path / "forged", forged)), cells(written(tmp_path / "stored", package))
    assert list(differences(one, other)) == [(2, "type", "integer", "string")]
