"""The journal of an experiment: events with their time, and deviations from the declared plan."""

from __future__ import annotations

import contextlib
import json
import time

from fitlib.storage.atomic_files import append_line, write_atomically
from fitlib.storage.paths import ExperimentPaths


def log_event(paths: ExperimentPaths, event: str, **fields: object) -> None:
    """Append an event with its time to events.jsonl."""
    append_line(paths.events, json.dumps({"time": round(time.time(), 3), "event": event, **fields}))


def note_deviation(paths: ExperimentPaths, sentence: str) -> None:
    """Record a deviation from the declared plan, unless it is recorded already."""
    earlier = deviations(paths)
    if sentence not in earlier:
        write_atomically(paths.deviations, "".join(json.dumps(s) + "\n" for s in [*earlier, sentence]))


def deviations(paths: ExperimentPaths) -> list[str]:
    """Return the deviations from the declared plan, oldest first, without a line cut short by a crash."""
    if not paths.deviations.exists():
        return []
    found = []
    for line in paths.deviations.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return [sentence for sentence in found if isinstance(sentence, str)]
