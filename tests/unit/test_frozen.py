"""A class of `syncd.frozen` is a dataclass as the usual one makes it: each test holds for both."""

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import dataclass as usual
from dataclasses import field
from typing import Any

import pytest

from syncd import frozen

Decorator = Callable[..., Any]


@frozen.dataclass(frozen=True, kw_only=True)
class Kept:
    """Of the module, so that pickle finds it."""

    name: str
    parts: tuple[int, ...] = ()


def made_by(dataclass: Decorator) -> Any:
    @dataclass(frozen=True, kw_only=True)
    class Made:
        """What a test needs of fields."""

        name: str
        size: int = 3
        parts: list[str] = field(default_factory=list, compare=False)
        secret: str = field(default="s", repr=False)
        known: dict[str, int] = field(default_factory=dict, hash=False)
        told: str = field(default="later", init=False)

        def __post_init__(self) -> None:
            if self.size < 0:
                raise ValueError("below zero")

    return Made


@pytest.fixture(params=[usual, frozen.dataclass], ids=["usual", "ours"])
def decorator(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_what_dataclasses_can_do(decorator: Decorator) -> None:
    made = made_by(decorator)
    one, same, other = made(name="a"), made(name="a", parts=["x"]), made(name="b", size=4)
    assert [dataclasses.is_dataclass(each) for each in (made, one)] == [True, True]
    assert [each.name for each in dataclasses.fields(made)] == ["name", "size", "parts", "secret", "known", "told"]
    assert dataclasses.asdict(one) == {
        "name": "a", "size": 3, "parts": [], "secret": "s", "known": {}, "told": "later",
    }  # fmt: skip
    assert dataclasses.replace(one, name="b", size=4) == other
    assert (one == same, one != other, one == "a", hash(one) == hash(same)) == (True, True, False, True)
    assert (made(name="a", known={"x": 1}) != one, hash(made(name="a", known={"x": 1})) == hash(one)) == (True, True)
    assert repr(one).endswith("Made(name='a', size=3, parts=[], known={}, told='later')")
    assert one.parts is not made(name="a").parts
    assert copy.deepcopy(same) == same
    signature = inspect.signature(made)
    assert list(signature.parameters) == ["name", "size", "parts", "secret", "known"]
    assert signature.parameters["name"].kind is inspect.Parameter.KEYWORD_ONLY
    assert (signature.parameters["name"].default, signature.parameters["size"].default) == (inspect.Parameter.empty, 3)
    match one:
        case made(name=name, size=3):
            assert name == "a"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "missing 1 required keyword-only argument: 'name'"),
        ({"size": 4}, "missing 1 required keyword-only argument: 'name'"),
        ({"name": "a", "nmae": 1}, "got an unexpected keyword argument 'nmae'"),
        ({"name": "a", "told": "now"}, "got an unexpected keyword argument 'told'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_the_same_words(
    decorator: Decorator, given: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        made_by(decorator)(**given)


@pytest.mark.parametrize("count", [2, 3])
def test_all_that_is_missing_is_named(decorator: Decorator, count: int) -> None:
    names = ["a", "b", "c"][:count]
    made = decorator(frozen=True, kw_only=True)(type("Made", (), {"__annotations__": dict.fromkeys(names, int)}))
    listed = {2: "'a' and 'b'", 3: "'a', 'b', and 'c'"}[count]
    with pytest.raises(TypeError, match=f"missing {count} required keyword-only arguments: {listed}$"):
        made()


def test_arguments_without_a_name_and_values_that_do_not_fit_are_refused(decorator: Decorator) -> None:
    made = made_by(decorator)
    with pytest.raises(TypeError):
        made("a")
    with pytest.raises(ValueError, match="below zero"):
        made(name="a", size=-1)


def test_nothing_can_be_changed(decorator: Decorator) -> None:
    one = made_by(decorator)(name="a")
    for name in ("name", "new"):
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot assign to field '{name}'"):
            setattr(one, name, "b")
        with pytest.raises(dataclasses.FrozenInstanceError, match=f"cannot delete field '{name}'"):
            delattr(one, name)


def test_a_plain_subclass_may_have_more_and_changes_no_field(decorator: Decorator) -> None:
    class Sub(made_by(decorator)):  # type: ignore[misc]
        pass

    sub = Sub(name="a")
    sub.more = 1
    assert (sub.more, sub == Sub(name="a"), sub == made_by(decorator)(name="a")) == (1, True, False)
    with pytest.raises(dataclasses.FrozenInstanceError):
        sub.name = "b"


@pytest.mark.parametrize("of", [usual, frozen.dataclass], ids=["usual", "ours"])
def test_a_dataclass_made_of_it_is_frozen_too(decorator: Decorator, of: Decorator) -> None:
    @of(frozen=True, kw_only=True)
    class Sub(made_by(decorator)):  # type: ignore[misc]
        more: int = 1

    assert (Sub(name="a", more=2), Sub(name="a").size) == (Sub(name="a", size=3, more=2), 3)
    assert Sub(name="a") != Sub(name="a", more=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sub(name="a").name = "b"
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):
        usual(kw_only=True)(type("Thawed", (made_by(decorator),), {}))


def test_methods_of_a_class_are_its_own(decorator: Decorator) -> None:
    @decorator(frozen=True, kw_only=True)
    class Odd:  # noqa: PLW1641  (a hash comes with it)
        name: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Odd)

        def __repr__(self) -> str:
            return "odd"

    of: Any = Odd
    assert (of(name="a") == of(name="b"), repr(of(name="a"))) == (True, "odd")
    assert hash(of(name="a")) == hash(of(name="a"))


def test_without_eq_an_object_equals_itself_only(decorator: Decorator) -> None:
    plain = decorator(frozen=True, kw_only=True, eq=False)(type("Plain", (), {"__annotations__": {"name": str}}))
    one = plain(name="a")
    assert (one == one, one == plain(name="a"), len({one, plain(name="a")})) == (True, False, 2)


def test_it_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Kept(name="a", parts=(1, 2)))) == Kept(name="a", parts=(1, 2))  # noqa: S301


def test_one_that_could_be_changed_is_refused() -> None:
    decorator: Decorator = frozen.dataclass
    with pytest.raises(TypeError, match=r"use dataclasses\.dataclass"):
        decorator(frozen=False, kw_only=True)(type("Thawed", (), {}))
