"""Modules imported before a kernel is forked, out of sight until the kernel's own code asks for them.

`Recorder` notes, while the template process imports, which module asked for which. `Preloaded` then takes all that was
imported out of `sys.modules` again, and gives a module back, with exactly what its import would have brought along,
when it is imported. So a forked kernel sees the modules, environment variables and warning filters that a cold kernel
would see at the same point, and only time is saved.

This file is read by the template process, which must not import fitlib: Python's own modules only.
"""

import _frozen_importlib
import builtins
import contextlib
import copy
import importlib.abc
import os
import sys
import types
import warnings
from importlib.machinery import ModuleSpec

AGAIN = ("matplotlib_inline",)  # these set up the shell that they are imported into
REPLACES = {"torch._dynamo": ("torch", "manual_seed")}  # what an import puts into another module
OUTSIDE = ""  # asks for what nobody but the preload list asked for


class Recorder:
    """Notes who asks for which module, and what each import changes, while it is entered.

    before: modules that are there whatever is preloaded.
    """

    def __init__(self, before: set[str]) -> None:
        self.before = before
        self.asked: dict[str, set[str]] = {}  # {module: modules that it asked for}
        self.variables: dict[str, dict[str, str]] = {}  # {module: environment variables that its import set}
        self.filters: dict[str, list] = {}  # {module: warning filters that its import added, the first one first}
        self._lazy, self._watched = self._lazy_type(), []
        self.originals: dict[str, object] = {}  # {module: what its import replaced in another one}
        self._importing = [OUTSIDE]
        self._seen = set(sys.modules)
        self._filters = list(warnings.filters)

    def __enter__(self) -> "Recorder":
        self._originals = _frozen_importlib._find_and_load, builtins.__import__, os.putenv, os.unsetenv
        _frozen_importlib._find_and_load, builtins.__import__ = self._load, self._import
        os.putenv, os.unsetenv = self._putenv, self._unsetenv
        for module in list(sys.modules.values()):
            self._watch(module)
        return self

    def __exit__(self, *error: object) -> None:
        _frozen_importlib._find_and_load, builtins.__import__, os.putenv, os.unsetenv = self._originals
        self._settle(everything=True)
        for package in self._watched:
            package.__class__ = types.ModuleType

    def _load(self, name: str, import_: object) -> object:
        """Every import that an `import` statement does not find in `sys.modules`, and every `import_module`."""
        self._note(name)
        if name in sys.modules:
            return self._originals[0](name, import_)
        self._settle()
        if name in REPLACES:
            module, attribute = REPLACES[name]
            self.originals[name] = getattr(self._originals[0](module, import_), attribute)
        self._importing.append(name)
        failed = True
        try:
            module = self._originals[0](name, import_)
            failed = False
            self._watch(module)
            return module
        finally:
            self._settle(everything=failed)
            self._importing.pop()

    def _import(self, name, globals=None, locals=None, fromlist=(), level=0):
        """Every `import` statement, also those that find the module in `sys.modules`."""
        module = self._originals[1](name, globals, locals, fromlist, level)
        absolute = _absolute(name, globals, level)
        self._note(absolute)
        for item in fromlist or ():
            for child in getattr(sys.modules.get(absolute), "__all__", ()) if item == "*" else (item,):
                if f"{absolute}.{child}" in sys.modules:
                    self._note(f"{absolute}.{child}")
        return module

    def _watch(self, package: object) -> None:
        """Note whoever uses what a package imports when it is first used."""
        if type(package) is types.ModuleType and {"__getattr__", "__path__"} <= package.__dict__.keys():
            package.__class__ = self._lazy
            self._watched.append(package)

    def _lazy_type(self) -> type:
        note = self._note

        class Lazy(types.ModuleType):
            def __getattribute__(self, name: str) -> object:
                value = super().__getattribute__(name)
                if isinstance(value, types.ModuleType):
                    note(value.__name__)
                elif isinstance(value, type | types.FunctionType):
                    note(value.__module__ or OUTSIDE)
                return value

        return Lazy

    def _putenv(self, name: bytes, value: bytes) -> None:
        """Every variable that is set in `os.environ`."""
        self._originals[2](name, value)
        self.variables.setdefault(self._importing[-1], {})[os.fsdecode(name)] = os.fsdecode(value)

    def _unsetenv(self, name: bytes) -> None:
        self._originals[3](name)
        for variables in self.variables.values():
            variables.pop(os.fsdecode(name), None)

    def _note(self, name: str) -> None:
        self.asked.setdefault(self._importing[-1], set()).add(name)

    def _settle(self, everything: bool = False) -> None:
        """What is new since the last call was done by the module that is being imported."""
        left = len(sys.modules) if everything else len(sys.modules) - len(self._seen)
        for name in reversed(list(sys.modules) if everything else sys.modules):  # what is new stands last
            if left <= 0:
                break
            if name not in self._seen:
                self._note(name)
            left -= everything or name not in self._seen
            self._seen.add(name)
        if everything:  # a failed import takes modules away
            self._seen = set(sys.modules)
        if warnings.filters != self._filters:
            new = [entry for entry in warnings.filters if entry not in self._filters]
            self.filters[self._importing[-1]] = new + self.filters.get(self._importing[-1], [])
            self._filters = list(warnings.filters)


def _absolute(name: str, globals: dict | None, level: int) -> str:
    if not level:
        return name
    known = globals or {}
    own = known.get("__name__", "")
    package = known.get("__package__") or (own if "__path__" in known else own.rpartition(".")[0])
    base = ".".join(package.split(".")[: len(package.split(".")) - level + 1])
    return f"{base}.{name}" if name else base


class Preloaded(importlib.abc.MetaPathFinder):
    """Finds the modules that were imported while a Recorder was entered; they are hidden when this is made."""

    def __init__(self, recorder: Recorder):
        self._asked, self._variables, self._filters = recorder.asked, recorder.variables, recorder.filters
        names = [name for name in sys.modules if name not in recorder.before]
        self._modules = {name: sys.modules.pop(name) for name in names}
        self._main = sys.modules["__main__"]  # which multiprocessing gives a second name
        self._order = {name: place for place, name in enumerate(names)}
        self._replaced = {name: self._undo(name, recorder.originals) for name in recorder.originals}
        self._unbound = {name for name in names if self._unbind(name)}
        for name in [name for name in names if name.partition(".")[0] in AGAIN]:
            del self._modules[name]
        self._specs = {name: getattr(module, "__spec__", None) for name, module in self._modules.items()}

    def names(self) -> list[str]:
        """Importable names of packages and modules that are not part of another package."""
        return sorted({name.partition(".")[0] for name in self._modules})

    def _unbind(self, name: str) -> bool:
        """Take from a package the attribute by which it knows a submodule; whoever asks for it gets that, too."""
        parent, _, child = name.rpartition(".")
        package = self._modules.get(parent, sys.modules.get(parent))
        if getattr(package, "__dict__", {}).get(child) is not self._modules[name]:
            return False
        with contextlib.suppress(AttributeError, TypeError):
            delattr(package, child)
            return True
        return False

    def _undo(self, name: str, originals: dict[str, object]) -> object:
        """Put back what an import replaced in another module; what it had put there."""
        module, attribute = REPLACES[name]
        replacement = getattr(self._modules[module], attribute)
        setattr(self._modules[module], attribute, originals[name])
        return replacement

    def _reached(self, name: str) -> list[str]:
        """Hidden modules that the import of one brings along, in the order of their first import.

        Itself, the packages that it lies in, and all that they asked for, directly or not; what is not hidden any more
        has brought its own along.
        """
        found, waiting = {name}, [name]
        while waiting:
            name = waiting.pop()
            asked = {name.rpartition(".")[0], *self._asked.get(name, ())} - {OUTSIDE}
            new = [each for each in asked if each not in found and each not in sys.modules]
            found.update(new)
            waiting += new
        return sorted(found & self._modules.keys(), key=self._order.__getitem__)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The module's own spec, with a loader that gives back what was imported already."""
        if name not in self._modules:
            return None
        spec = copy.copy(self._specs[name]) or ModuleSpec(name, None)
        spec.loader = _Returning(self, name, spec.loader)
        return spec

    def give_back(self, name: str) -> None:
        """Put a module and all that it reached where an import would have put them."""
        self._return(self._reached(name))

    def give_back_everything(self) -> None:
        """For the end of a process: what modules do then may need those that nobody asked for."""
        self._return(list(self._modules))

    def _return(self, found: list[str]) -> None:
        modules = {each: self._modules.pop(each, None) for each in found}
        main = sys.modules["__main__"]
        known = {each: main if module is self._main else module for each, module in modules.items()}
        sys.modules.update({each: module for each, module in known.items() if module is not None})
        for each in self._unbound & modules.keys():
            parent, _, child = each.rpartition(".")
            if parent in sys.modules:
                setattr(sys.modules[parent], child, sys.modules[each])
        for each in self._replaced.keys() & modules.keys():
            setattr(sys.modules[REPLACES[each][0]], REPLACES[each][1], self._replaced[each])
        for each in found:
            self._repeat(each)

    def _repeat(self, name: str) -> None:
        """What the import of this very module did to the environment and the warning filters."""
        for variable, value in self._variables.get(name, {}).items():
            os.environ.setdefault(variable, value)
        added = self._filters.get(name)
        if added:
            warnings.filters[:0] = [entry for entry in added if entry not in warnings.filters]
            with warnings.catch_warnings():  # tells the warnings module that its filters have changed
                pass

    def module(self, name: str) -> object:
        """The module itself, as it was imported."""
        return self._modules.get(name) or sys.modules.get(name)

    def spec(self, name: str) -> object:
        """The spec that the module was imported with."""
        return self._specs[name]


class _Returning:
    """The loader of one module that is imported already; in all else its own loader."""

    def __init__(self, preloaded: Preloaded, name: str, loader: object):
        self._preloaded, self._name, self._loader = preloaded, name, loader

    def create_module(self, spec: ModuleSpec) -> object:
        return self._preloaded.module(self._name)

    def exec_module(self, module: object) -> None:
        with contextlib.suppress(AttributeError, TypeError):
            module.__spec__ = self._preloaded.spec(self._name)
        self._preloaded.give_back(self._name)

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)
