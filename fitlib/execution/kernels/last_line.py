"""The last line that a kernel shows while it works, such as a training's line for each epoch, kept in a file."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jupyter_client.channels import AsyncZMQSocketChannel
from traitlets import Type

from fitlib.execution.kernels.client import WaitingKernelClient
from fitlib.storage.paths import PROGRESS

WRITE_INTERVAL = 1.0  # seconds between two lines that are written


class LastLine:
    """A listener that writes the last line of a kernel's output into its attempt's folder, at most once a second."""

    def __init__(self, folder: Path):
        self._path, self._next = folder / PROGRESS, 0.0

    def __call__(self, message: Mapping[str, Any]) -> None:
        """Write the line that a message shows, if it is time."""
        line = shown_line(message) if time.monotonic() >= self._next else ""
        if line:
            self._next = time.monotonic() + WRITE_INTERVAL
            with contextlib.suppress(OSError):  # a display only: no result depends on it
                self._path.write_text(line, encoding="utf-8")

    def remove(self) -> None:
        """Remove the file when the attempt is over."""
        self._path.unlink(missing_ok=True)


def shown_line(message: Mapping[str, Any]) -> str:
    r"""Return the last line of text that a message of a kernel displays; "" where it displays none.

    >>> shown_line({"msg_type": "stream", "content": {"text": "1 of 3\r2 of 3\n"}})
    '2 of 3'
    """
    content = message.get("content", {})
    text = content.get("text", "") if message.get("msg_type") == "stream" else ""
    if message.get("msg_type") in ("display_data", "update_display_data") and content.get("transient"):
        text = content.get("data", {}).get("text/plain", "")
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def client_class_with_listener(on_output: Callable[[Mapping[str, Any]], None]) -> type[WaitingKernelClient]:
    """Return a client class that also passes every message of a kernel's output to `on_output`."""

    class Channel(AsyncZMQSocketChannel):
        async def get_msg(  # type: ignore[override]  # as jupyter_client's own asynchronous channel overrides it
            self, *arguments: Any, **options: Any
        ) -> dict[str, Any]:
            message = await super().get_msg(*arguments, **options)
            on_output(message)
            return message

    return type("ListeningKernelClient", (WaitingKernelClient,), {"iopub_channel_class": Type(Channel)})
