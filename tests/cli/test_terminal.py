"""Names with control characters or direction marks are printed as codes, by commands and in errors."""

import pytest

from fitlib.cli.main import main
from fitlib.cli.terminal import show

HOSTILE = "a\x1b[2J\u202eb"
SHOWN = "a\\x1b[2J\\u202eb"


def test_text_without_hidden_characters_is_printed_as_it_is(capsys):
    show("Zoë, 日本\nand a\ttab")
    assert capsys.readouterr().out == "Zoë, 日本\nand a\ttab\n"


@pytest.mark.parametrize("command", ["run", "plan", "init"])
def test_an_error_shows_the_name_of_a_file_by_its_codes(command, tmp_path, capsys):
    assert main([command, str(tmp_path / f"{HOSTILE}.yaml"), "--outputs", str(tmp_path)]) != 0
    error = capsys.readouterr().err
    assert SHOWN in error and not {"\x1b", "\u202e"} & set(error)


def test_hidden_characters_are_printed_as_codes(capsys):
    show(f"{HOSTILE}\n\x9b31m\u2066")
    assert capsys.readouterr().out == f"{SHOWN}\n\\x9b31m\\u2066\n"
