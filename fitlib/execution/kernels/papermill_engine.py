"""The papermill engine `fitlib`: it waits for the kernel only, and saves the notebook as often as time allows."""

from __future__ import annotations

import time
from typing import Any

from nbformat import NotebookNode
from papermill.engines import NBClientEngine, NotebookExecutionManager

from fitlib.execution.kernels.client import PromptManager

SHARE = 20  # saving takes at most one part in so many of the time; papermill saves the whole notebook twice a cell


class SparingManager(NotebookExecutionManager):
    """Saves at the start and at the end, and between them as often as saving takes no time that counts."""

    _next_save = 0.0

    def save(self, **kwargs: Any) -> None:
        """Save the notebook, unless it was saved so recently that saving would take too large a part of the time."""
        began = time.monotonic()
        if began >= self._next_save:
            super().save(**kwargs)
            now = time.monotonic()
            self._next_save = now + SHARE * (now - began)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Save it as it is in the end."""
        self._next_save = 0.0
        super().notebook_complete(**kwargs)


class FitlibEngine(NBClientEngine):
    """papermill's own way to execute a notebook, without its pauses and its many saves: `papermill --engine fitlib`."""

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
        """Execute the notebook; a copy stands at `output_path` whatever happens."""
        manager = SparingManager(nb, output_path, log_output, progress_bar, autosave_cell_every)
        manager.notebook_start()
        kwargs.setdefault("kernel_manager_class", PromptManager)
        try:
            cls.execute_managed_notebook(manager, kernel_name, log_output=log_output, **kwargs)
        finally:
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb
