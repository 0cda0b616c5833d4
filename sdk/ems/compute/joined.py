"""A mapping in two parts, of which the second is made when a look at it can't be helped.

So a run on this machine alone reads neither kinds of places nor a stack's outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Generic, TypeVar

_V = TypeVar("_V")
_W = TypeVar("_W")


class Joined(Mapping[str, _V], Generic[_V, _W]):
    """`first`, then what `make_rest` returns, as `change` turns it into values."""

    def __init__(
        self,
        first: Mapping[str, _V],
        make_rest: Callable[[], Mapping[str, _W]],
        change: Callable[[_W], _V],
    ) -> None:
        self._first, self._make_rest, self._change = first, make_rest, change

    @cached_property
    def _rest(self) -> Mapping[str, _W]:
        return self._make_rest()

    def __getitem__(self, name: str) -> _V:
        return self._first[name] if name in self._first else self._change(self._rest[name])

    def __contains__(self, name: object) -> bool:
        return name in self._first or name in self._rest

    def __iter__(self) -> Iterator[str]:
        yield from self._first
        yield from self._rest

    def __len__(self) -> int:
        return len(self._first) + len(self._rest)
