"""Values by name, each made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class OnDemand(Mapping[str, T]):
    """A mapping whose values are made by functions when they are first asked for, and kept unless ``keep`` is False.

    The function of a value that is kept is let go, and with it what it alone refers to.

    >>> squares = OnDemand({str(n): lambda n=n: n * n for n in range(4)})
    >>> list(squares), squares["3"]
    (['0', '1', '2', '3'], 9)
    """

    def __init__(self, makers: Mapping[str, Callable[[], T]], keep: bool = True):
        self._makers: dict[str, Callable[[], T] | None] = dict(makers)
        self._made: dict[str, T] = {}
        self._keep = keep

    def __getitem__(self, name: str) -> T:
        if name in self._made:
            return self._made[name]
        maker = self._makers[name]
        assert maker is not None  # it is let go only once there is a value
        value = maker()
        if self._keep:
            self._made[name], self._makers[name] = value, None
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)

    def __contains__(self, name: object) -> bool:
        return name in self._makers  # not by making the value, as Mapping does
