"""The papermill engine `fitlib`, without fixed pauses and with fewer saves of the notebook."""

from __future__ import annotations

import time
from typing import Any

from nbformat import NotebookNode
from papermill.engines import NBClientEngine, NotebookExecutionManager

from fitlib.execution.kernels.client import WaitingKernelManager

SHARE = 20  # saving takes at most 1/SHARE of the time; papermill saves the whole notebook twice a cell


class SparingManager(NotebookExecutionManager):
    """A notebook manager that saves at the start and at the end, and in between only while saving is cheap."""

    _next_save = 0.0

    def save(self, **kwargs: Any) -> None:
        """Save the notebook, unless it was saved so recently that saving would take too large a share of the time."""
        began = time.monotonic()
        if began >= self._next_save:
            super().save(**kwargs)
            now = time.monotonic()
            self._next_save = now + SHARE * (now - began)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Save the notebook in its final state."""
        self._next_save = 0.0
        super().notebook_complete(**kwargs)


class FitlibEngine(NBClientEngine):
    """Papermill's engine without its pauses and its many saves: `papermill --engine fitlib`."""

    @classmethod
    def execute_notebook(
        cls,
        nb: NotebookNode,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        **kwargs: Any,
    ) -> NotebookNode:
        """Execute the notebook; a copy is written to `output_path` whatever happens."""
        manager = SparingManager(nb, output_path, log_output, progress_bar, autosave_cell_every)
        manager.notebook_start()
        kwargs.setdefault("kernel_manager_class", WaitingKernelManager)
        try:
            cls.execute_managed_notebook(manager, kernel_name, log_output=log_output, **kwargs)
        finally:
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb
