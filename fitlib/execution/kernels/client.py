"""A kernel manager and its client that wait for the kernel, and for nothing else: no fixed pause, no polling."""

from __future__ import annotations

import time
from queue import Empty

from jupyter_client import AsyncKernelManager
from jupyter_client.asynchronous import AsyncKernelClient

NUDGE_SECONDS = 1  # after this time without an answer, look whether the kernel lives, and ask again


class PromptClient(AsyncKernelClient):
    """A client that is ready as soon as the kernel has answered.

    The kernel greets whoever subscribes to its output; what it writes after that greeting cannot be missed.
    """

    async def _async_wait_for_ready(self, timeout: float | None = None) -> None:
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while not await self._answers():
            if not await self._async_is_alive():
                raise RuntimeError("Kernel died before replying to kernel_info")
            if time.monotonic() > end:
                raise RuntimeError(f"Kernel didn't respond in {timeout} seconds")

    wait_for_ready = _async_wait_for_ready

    async def _answers(self) -> bool:
        asked = self.kernel_info()
        try:
            await self.iopub_channel.get_msg(timeout=NUDGE_SECONDS)
            while True:
                reply = await self.shell_channel.get_msg(timeout=NUDGE_SECONDS)
                if reply["parent_header"].get("msg_id") == asked:
                    self._handle_kernel_info_reply(reply)
                    return True
        except Empty:
            return False


class PromptManager(AsyncKernelManager):
    """A kernel manager that is told when its kernel has ended."""

    def __init__(self, **kwargs: object):
        super().__init__(**kwargs)
        self.client_factory = PromptClient

    async def _async_wait(self, pollinterval: float = 0.1) -> None:
        if self.has_kernel:
            await self.provisioner.wait()
