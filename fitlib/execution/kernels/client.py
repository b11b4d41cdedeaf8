"""A kernel manager and a client that wait for kernel events instead of polling or pausing."""

from __future__ import annotations

import time
from queue import Empty

from jupyter_client import AsyncKernelManager
from jupyter_client.asynchronous import AsyncKernelClient

NUDGE_SECONDS = 1  # without an answer for so long, check that the kernel is alive and ask again


class WaitingKernelClient(AsyncKernelClient):
    """A client that is ready as soon as the kernel has answered.

    The kernel sends a welcome message to each subscriber of its output; nothing that it sends afterwards is missed.
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
        request = self.kernel_info()
        try:
            await self.iopub_channel.get_msg(timeout=NUDGE_SECONDS)
            while True:
                reply = await self.shell_channel.get_msg(timeout=NUDGE_SECONDS)
                if reply["parent_header"].get("msg_id") == request:
                    self._handle_kernel_info_reply(reply)
                    return True
        except Empty:
            return False


class WaitingKernelManager(AsyncKernelManager):
    """A kernel manager that waits for the end of its kernel's process."""

    def __init__(self, **kwargs: object):
        super().__init__(**kwargs)
        self.client_factory = WaitingKernelClient

    async def _async_wait(self, pollinterval: float = 0.1) -> None:
        if self.has_kernel and self.provisioner:
            await self.provisioner.wait()
