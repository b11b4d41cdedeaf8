"""Files written as a whole or not at all, and JSON in one canonical form."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

LONGEST_LINE = 2**16  # bytes of a line that `append_line` can find to be torn


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old or the whole new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(temporary, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def json_text(value: object) -> str:
    """JSON for people and machines: sorted and indented; equal values give equal text."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write `json_text`, atomically."""
    write_atomically(path, json_text(value))


def read_json(path: Path) -> dict | None:
    """A JSON object, or None where there is no readable one."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def append_line(path: Path, line: str) -> None:
    """Append one line, in the place of one that a crash or a full disk tore; one process at a time."""
    with open(path, "a+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(end - LONGEST_LINE, 0))
        tail = stream.read()
        stream.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
        stream.write(line.encode() + b"\n")
