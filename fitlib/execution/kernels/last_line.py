"""Hearing what a kernel shows while it works: the line that a training renews after every epoch, or prints."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type

from fitlib.execution.kernels.client import PromptClient
from fitlib.storage.paths import PROGRESS

PAUSE = 1.0  # seconds between two lines that are written down


class LastLine:
    """Writes the last line that a kernel showed into the folder of its attempt, at most once a second."""

    def __init__(self, folder: Path):
        self._path, self._next = folder / PROGRESS, 0.0

    def __call__(self, message: Mapping[str, Any]) -> None:
        """Hear one message."""
        line = shown_line(message) if time.monotonic() >= self._next else ""
        if line:
            self._next = time.monotonic() + PAUSE
            with contextlib.suppress(OSError):  # nobody's result depends on it
                self._path.write_text(line, encoding="utf-8")

    def forget(self) -> None:
        """Remove the file: the attempt is over."""
        self._path.unlink(missing_ok=True)


def shown_line(message: Mapping[str, Any]) -> str:
    """The last line of text that a message of a kernel shows to people; "" where it shows none."""
    content = message.get("content", {})
    text = content.get("text", "") if message.get("msg_type") == "stream" else ""
    if message.get("msg_type") in ("display_data", "update_display_data") and content.get("transient"):
        text = content.get("data", {}).get("text/plain", "")
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def client_heard_by(told: Callable[[Mapping[str, Any]], None]) -> type[PromptClient]:
    """A client that also passes every message of a kernel's output on."""

    class Channel(AsyncZMQSocketChannel):
        async def get_msg(self, *arguments: Any, **options: Any) -> dict[str, Any]:
            message = await super().get_msg(*arguments, **options)
            told(message)
            return message

    return type("HeardClient", (PromptClient,), {"iopub_channel_class": Type(Channel)})
