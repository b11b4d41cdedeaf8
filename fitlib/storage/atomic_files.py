"""Atomic writes of files, and JSON in one canonical form."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

LONGEST_LINE = 2**16  # bytes; `append_line` removes a torn line up to this length


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees either the old content or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    # Synchronised before it is renamed: after a power failure the new name could otherwise be that of an empty file.
    try:
        with open(temporary, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def json_text(value: object) -> str:
    r"""Return JSON for people and programs: sorted and indented; equal values give equal text.

    >>> json_text({"b": 1, "a": 2})
    '{\n "a": 2,\n "b": 1\n}\n'
    """
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write a value as `json_text`, atomically."""
    write_atomically(path, json_text(value))


def read_json(path: Path) -> dict | None:
    """Read a JSON object; return None if the file is missing, unreadable or holds anything else."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def append_line(path: Path, line: str) -> None:
    """Append one line, replacing a last line that a crash or a full disk cut short; one process at a time."""
    with open(path, "a+b") as stream:
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(end - LONGEST_LINE, 0))
        tail = stream.read()
        stream.truncate(end - len(tail) + tail.rfind(b"\n") + 1)
        stream.write(line.encode() + b"\n")
