"""Errors that are a user's mistake or an experiment's failure, told in one line."""

import difflib
from collections.abc import Iterable


class FitlibError(Exception):
    """Base of the errors that the command line shows without a traceback."""


class InputError(FitlibError):
    """Invalid parameters or files, found before any work (exit status 2).

    The message is one line: where (file), which field, the value found, what is wrong, and the remedy.
    """

    def __init__(self, where: str, field: str, value: object, problem: str, remedy: str):
        self.where, self.field, self.value, self.problem, self.remedy = where, field, value, problem, remedy
        super().__init__(" ".join(f"{where}: {field} = {_shown(value)}: {problem}; {remedy}".split()))

    def _render_traceback_(self) -> list[str]:
        """In a notebook a user's mistake is told in one line, too."""
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple:
        return type(self), (self.where, self.field, self.value, self.problem, self.remedy)


class RunFailed(FitlibError):
    """Something failed while working (exit status 1)."""


class Crashed(RunFailed):
    """A kernel or a worker was gone before there was a result: the same task may be tried again."""


def _shown(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a misspelt name: the closest of those `known`, or what to say where none is close."""
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else otherwise


def known(where: str, field: str, name: str, names: Iterable[str]) -> str:
    """The name itself; InputError with the nearest one where it is none of `names`."""
    names = list(names)
    if name in names:
        return name
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1)
    nearest = [n for n in names if close and n.lower() == close[0]]
    listed = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    raise InputError(where, field, name, "unknown", f"did you mean {nearest[0]}?" if nearest else f"known: {listed}")
