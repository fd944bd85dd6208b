"""A mapping of source types whose values are made when they are first asked for.

Most installations configure one or two of the types. The packages of the others are not imported, unless somebody goes
through all types.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeVar

T = TypeVar("T")


class ByType(Mapping[str, T]):
    """What `make` gives for each of the types; one for which it gives None is not in the mapping.

    `make` remembers what it gave, so that the same type has the same object.
    """

    def __init__(self, types: Iterable[str], make: Callable[[str], T | None]) -> None:
        self._types: Final = dict.fromkeys(types)
        self._make = make

    def __getitem__(self, type_: str) -> T:
        value = self._make(type_) if type_ in self._types else None
        if value is None:
            raise KeyError(type_)
        return value

    def __iter__(self) -> Iterator[str]:
        return (type_ for type_ in self._types if self._make(type_) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        """Name the types, without making anything."""
        return f"ByType({', '.join(self._types)})"
