"""The calls that Cyclis makes when an order changes, to the one address that was registered; hostile ones, too.

Owns what is sent and the log of it. Calls only addresses on this machine, whatever is registered.
"""

from collections import deque
from collections.abc import Callable
from uuid import UUID

import msgspec

from syncd.sandbox.courier import Call, Courier
from syncd.sandbox.world import Dice, Key, World

HUGE_BYTES = 1_000_000
FLOOD = 500

HOSTILE = {
    "unknown": "an order that there is not",
    "foreign": "an order of a company that the key does not show",
    "garbage": "bodies that are not of the documented form",
    "huge": "a body of a megabyte",
    "form": "the right body with another content type",
    "other": "the callback about companies, whose form is not documented",
    "duplicate": "the same order twice at once",
    "replay": "every callback that was sent before, once more",
    "flood": f"{FLOOD} callbacks about orders that there are",
    "stranger": "a wrong address of the same listener",
    "early": "an order that can be read only later: put it yourself",
}
GARBAGE = (
    b"", b"null", b"[]", b"{", b"\xff\xfe", b'"orderCallback"', b'{"data": []}', b'{"data": {"type": "orderCallback"}}',
    b'{"data": {"type": "orderCallback", "attributes": {"uuid": null}}}',
    b'{"data": {"type": "orderCallback", "attributes": {"uuid": "../cyclists"}}}',
    b'{"data": {"type": "orderCallback", "attributes": {"uuid": "095be615-a8ad-4c33-8e9c-c7612fbf6c9f?x=1"}}}',
    b"[" * 4000,
)  # fmt: skip


class Callbacks:
    """The address that is called, the calls that wait, and those that were made."""

    def __init__(self, world: World) -> None:
        self.url: str | None = None
        self.tells = True  # whether the address can be asked for, which no document promises
        self.courier = Courier(lambda: self.url)
        self.is_muted = False  # changes are not told
        self._world = world
        self._strangers = 0
        world.on_change.append(self._tell)

    @property
    def sent(self) -> deque[Call]:
        """The calls that were made."""
        return self.courier.sent

    @property
    def waiting(self) -> int:
        """How many calls are still to be made."""
        return self.courier.waiting

    def _tell(self, api: str, stream: str, key: Key) -> None:
        if (api, stream) == ("cyclis", "orders") and not self.is_muted and self.url:
            self.send(Call(kind="change", body=body_of(str(key))))

    def send(self, *calls: Call) -> None:
        """Make these calls soon, in order."""
        self.courier.send(*calls)

    def attack(self, kind: str, *, times: int = 1) -> None:
        """Make hostile calls of one kind, so many times; KeyError for a kind that there is not."""
        makes: dict[str, Callable[[], list[Call]]] = {
            "unknown": lambda: [Call(kind=kind, body=body_of(self._stranger()))],
            "foreign": lambda: [Call(kind=kind, body=body_of(key)) for key in self._foreign()],
            "garbage": lambda: [Call(kind=kind, body=body) for body in GARBAGE],
            "huge": lambda: [Call(kind=kind, body=body_of(self._order()) + b" " * HUGE_BYTES)],
            "form": lambda: [Call(kind=kind, body=body_of(self._order()), headers={"Content-Type": "text/plain"})],
            "other": lambda: [Call(kind=kind, body=body_of(self._stranger(), "companyCallback"))],
            "duplicate": lambda: [Call(kind=kind, body=body_of(self._order()))] * 2,
            "replay": lambda: [Call(kind=kind, body=call.body) for call in self.sent if call.kind == "change"],
            "flood": lambda: [Call(kind=kind, body=body_of(self._order(place))) for place in range(FLOOD)],
            "stranger": lambda: [Call(kind=kind, body=body_of(self._order()), beside=True)],
            "early": lambda: [Call(kind=kind, body=body_of(self._stranger()))],
        }
        make = makes[kind]
        for _ in range(times):
            self.send(*make())

    def _order(self, place: int = 0) -> str:
        keys = self._world.visible("cyclis", "orders")
        return str(keys[place % len(keys)])

    def _foreign(self) -> list[str]:
        keys, visible = self._world["cyclis", "orders"].keys(), set(self._world.visible("cyclis", "orders"))
        return [str(key) for key in keys if key not in visible]

    def _stranger(self) -> str:
        self._strangers += 1
        return str(UUID(Dice(self._world.seed, "stranger", self._strangers).uuid()))


def body_of(key: str, kind: str = "orderCallback") -> bytes:
    """Return the body of a callback, as documented."""
    return msgspec.json.encode({"data": {"type": kind, "attributes": {"uuid": key}}})
