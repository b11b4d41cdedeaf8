"""Errors that are a user's mistake or an experiment's failure, reported in one line without a traceback."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class FitlibError(Exception):
    """Base of the errors that the command line reports without a traceback."""


class InputError(FitlibError):
    """Invalid parameters or files, found before any work (exit status 2).

    The message is one line: where (file), which field, the value found, what is wrong, and the remedy.

    >>> print(InputError("x.yaml", "runs", -1, "not positive", "give at least 1"))
    x.yaml: runs = -1: not positive; give at least 1
    """

    def __init__(self, where: str, field: str, value: object, problem: str, remedy: str):
        self.where, self.field, self.value, self.problem, self.remedy = where, field, value, problem, remedy
        super().__init__(" ".join(f"{where}: {field} = {_abbreviate(value)}: {problem}; {remedy}".split()))

    def _render_traceback_(self) -> list[str]:
        """Return the one line that IPython prints in a notebook instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]

    def __reduce__(self) -> tuple:
        return type(self), (self.where, self.field, self.value, self.problem, self.remedy)


class RunFailed(FitlibError):
    """Something failed while working (exit status 1)."""


class Crashed(RunFailed):
    """A kernel or worker died before it returned a result: the same task may be tried again."""


def _abbreviate(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def did_you_mean(name: str, names: Iterable[str], otherwise: str) -> str:
    """Return the remedy for a misspelt name: the closest of `names`, or `otherwise` where none is close.

    >>> did_you_mean("ULPs", ["native", "ulp"], "choose a noise")
    "did you mean 'ulp'?"
    """
    nearest = _nearest(name, list(names))
    return f"did you mean '{nearest}'?" if nearest else otherwise


def _nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the closest of the names, where some is close, without regard to upper and lower case."""
    close = get_close_matches(name.casefold(), [n.casefold() for n in names], n=1)
    return next(n for n in names if n.casefold() == close[0]) if close else None


def one_of(where: str, field: str, name: str, names: Iterable[str]) -> str:
    """Return `name` if it is one of `names`; raise InputError with the nearest of them otherwise."""
    names = list(names)
    if name in names:
        return name
    nearest = _nearest(name, names)
    choices = ", ".join(names[:12]) + (" …" if len(names) > 12 else "")
    raise InputError(where, field, name, "unknown", f"did you mean {nearest}?" if nearest else f"known: {choices}")
