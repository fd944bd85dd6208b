"""Frozen dataclasses that cost next to nothing at import.

`dataclasses.dataclass(frozen=True)` writes and compiles six methods for each class. That takes half a millisecond, and
for ninety classes a tenth of a tick as a command. Here the methods of all classes are the same code, which goes by the
fields. In all else such a class is a dataclass: `fields`, `replace`, `asdict`, subclasses, `__post_init__`, equality,
hash and repr are as usual. To make or compare an object takes up to a third longer, so what is made for each record is
no such class.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass"]

T = TypeVar("T")

_put = object.__setattr__


def _frozen(*, frozen: bool, kw_only: bool, eq: bool = True) -> Callable[[type[T]], type[T]]:
    """Make a class a frozen dataclass whose arguments have names, as `dataclasses.dataclass` does."""
    if not (frozen and kw_only):
        raise TypeError("only a class that is frozen and kw_only gains by this: use dataclasses.dataclass")

    def decorated(cls: type[T]) -> type[T]:
        if dataclasses.is_dataclass(cls):  # it inherits from one, maybe from one of the usual kind
            return dataclasses.dataclass(frozen=True, kw_only=True, eq=eq)(cls)
        own = {name for name, value in vars(cls).items() if value is not None}  # with __eq__ comes a __hash__ of None
        dataclasses.dataclass(kw_only=True, init=False, repr=False, eq=False)(cls)
        fields = dataclasses.fields(cls)  # type: ignore[arg-type]  # it is one now
        methods = {"__init__": _init(fields), "__repr__": _repr(fields), "__setattr__": _assign, "__delattr__": _delete}
        for name, method in (methods | _comparison(fields) if eq else methods).items():
            if name not in own:
                setattr(cls, name, method)
        for name in ("init", "repr", "frozen", *(("eq",) if eq else ())):  # a subclass must be frozen, too
            setattr(cls.__dataclass_params__, name, True)  # type: ignore[attr-defined]
        cls.__signature__ = _Signature()  # type: ignore[attr-defined]
        return cls

    return decorated


def _init(fields: Sequence[Field[Any]]) -> Callable[..., None]:
    plan = [(one.name, one.init, one.default, one.default_factory) for one in fields]

    def init(self: Any, /, **given: Any) -> None:
        left = len(given)
        for name, is_told, default, make in plan:
            if is_told and name in given:
                left -= 1
                _put(self, name, given[name])
            elif default is not MISSING:
                _put(self, name, default)
            elif make is not MISSING:
                _put(self, name, make())
            elif is_told:
                raise _misfit(type(self), fields, given)
        if left:
            raise _misfit(type(self), fields, given)
        if after := getattr(self, "__post_init__", None):
            after()

    return init


def _is_needed(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _misfit(cls: type, fields: Sequence[Field[Any]], given: dict[str, Any]) -> TypeError:
    """Return the error of arguments that are unknown or missing, in Python's own words."""
    known = [one for one in fields if one.init]
    for name in given:
        if name not in [one.name for one in known]:
            return TypeError(f"{cls.__name__}.__init__() got an unexpected keyword argument {name!r}")
    *others, last = [repr(one.name) for one in known if _is_needed(one) and one.name not in given]
    names = f"{', '.join(others)}{',' * (len(others) > 1)} and {last}" if others else last
    words = f"{len(others) + 1} required keyword-only argument{'s' * bool(others)}"
    return TypeError(f"{cls.__name__}.__init__() missing {words}: {names}")


def _repr(fields: Sequence[Field[Any]]) -> Callable[[Any], str]:
    names = [one.name for one in fields if one.repr]

    @recursive_repr()
    def told(self: Any) -> str:
        return f"{type(self).__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in names])})"

    return told


def _comparison(fields: Sequence[Field[Any]]) -> dict[str, Callable[..., Any]]:
    compared = _values([one for one in fields if one.compare])
    counted = _values([one for one in fields if (one.compare if one.hash is None else one.hash)])

    def equal(self: Any, other: object) -> bool:
        return compared(self) == compared(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: Any) -> int:
        return hash(counted(self))

    return {"__eq__": equal, "__hash__": hashed}


def _values(fields: Sequence[Field[Any]]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gives the values of some fields as a tuple; written in C for two and more."""
    names = [one.name for one in fields]
    if len(names) > 1:
        values: Callable[[Any], tuple[Any, ...]] = attrgetter(*names)
        return values
    return lambda value: tuple([getattr(value, name) for name in names])


def _assign(self: Any, name: str, value: Any) -> None:
    _require_free(self, name, "assign to")
    _put(self, name, value)


def _delete(self: Any, name: str) -> None:
    _require_free(self, name, "delete")
    object.__delattr__(self, name)


def _require_free(value: Any, name: str, what: str) -> None:
    """Raise FrozenInstanceError for a field, and for any other name unless a plain subclass has objects of its own."""
    if "__dataclass_params__" in vars(type(value)) or name in value.__dataclass_fields__:
        raise FrozenInstanceError(f"cannot {what} field {name!r}")


class _Signature:
    """What `inspect.signature` tells of the class: made when it is asked for."""

    def __get__(self, _value: object, owner: type) -> Any:
        from inspect import Parameter, Signature

        fields = [one for one in dataclasses.fields(owner) if one.init]
        defaults = [Parameter.empty if _is_needed(one) else one.default for one in fields]
        return Signature(
            [
                Parameter(one.name, Parameter.KEYWORD_ONLY, default=default, annotation=one.type)
                for one, default in zip(fields, defaults, strict=True)
            ],
            return_annotation=None,
        )


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _frozen
