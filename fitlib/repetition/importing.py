"""Whether another process can import a function by name."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from fitlib.experiment import code_inspection


def importable(value: Any) -> str:
    """Return `module:function` where another process can import this very function, else "".

    >>> from fitlib.formatting import count
    >>> importable(count), importable(lambda: None)
    ('fitlib.formatting:count', '')
    """
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", "")
    if not inspect.isfunction(value) or module in (None, "__main__") or not name.isidentifier():
        return ""
    same = getattr(sys.modules.get(module), name, None) is value
    return f"{module}:{name}" if same and code_inspection.find_module(module) else ""
