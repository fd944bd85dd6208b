"""Toy as its vendor documents it: a key, a list by offset, and labels one by one."""

from typing import Any

from syncd.sandbox.answer import Answer, Api, Ask, Route
from syncd.sandbox.world import Child, Dice, Family, Pace, Record, Sizes, World

NAME = "toy"
PREFIX = "/toy"
ZONE = "UTC"
CREDENTIALS: dict[str, str | int] = {"api_key": "sandbox-toy-key-5a"}
MEMBERS, LABELS, PAGE_SIZE = 30, ("a/1", "b 2", "c3"), 8


def _seed(world: World, _sizes: Sizes) -> None:
    for number in range(MEMBERS):
        world[NAME, "members"].put(_fresh(world, "members", number), 0.0)
    for label in LABELS:
        world[NAME, "labels"].put({"label_id": label, "colour": "red"}, 0.0)


def _fresh(world: World, stream: str, number: int) -> Record:
    if stream == "labels":
        return {"label_id": f"new-{number}", "colour": "blue"}
    visits = [{"visit_id": visit, "place": f"seat {number}-{visit}"} for visit in range(number % 3)]
    joined_at = world.zoned(NAME, world.before(number))
    return {"member_id": number, "name": f"Member {number}", "joined_at": joined_at, "visits": visits}


def _changed(stream: str, record: Record, dice: Dice) -> Record:
    record["colour" if stream == "labels" else "name"] = f"Changed {dice.below(9_999)}"
    return record


FAMILIES = (
    Family(
        api=NAME,
        keys={"members": ("member_id",), "member_visits": ("_member_id", "visit_id"), "labels": ("label_id",)},
        pace={"members": Pace(changed=2, added=1, deletion_percent=10)},
        seed=_seed,
        fresh=_fresh,
        changed=_changed,
        children={
            "member_visits": Child(
                parent="members",
                parent_key=("member_id",),
                field=("visits",),
                owner=("_member_id",),
                number="visit_id",
            )
        },
    ),
)


class Toy:
    """The endpoints of the club."""

    name = NAME
    prefix = PREFIX
    source_name = "club"
    credentials = CREDENTIALS
    gzips = False
    tells_limits = False

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        return [
            Route(method="GET", path="/members", stream="members", handler=self._members),
            Route(method="GET", path="/labels/{id}", stream="labels", handler=self._label),
        ]

    def refusal(self, ask: Ask) -> Answer | None:
        right = ask.headers.get("X-Toy-Key") == CREDENTIALS["api_key"]
        return None if right else self.error(401, "wrong key")

    def error(self, status: int, message: str) -> Answer:
        return Answer(status=status, body={"error": message})

    def end_session(self, ask: Ask) -> None:
        """Do nothing: there are no sessions."""

    def login_failure(self) -> Answer:
        return self.error(200, "wrong key")

    def lookups(self) -> dict[str, dict[str, list[Any]]]:
        return {"labels": {"ids": [label["label_id"] for label in self._world.truth(NAME, "labels")]}}

    def _members(self, ask: Ask) -> Answer:
        start, members = ask.number("from", 0), self._world[NAME, "members"]
        keys = members.keys()
        more = start + PAGE_SIZE < len(keys)
        rows = [members.raw(key) for key in keys[start : start + PAGE_SIZE]]
        body = {"members": rows, "next": start + PAGE_SIZE if more else None}
        return Answer(body=body, rows_at=("members",), more=more)

    def _label(self, ask: Ask) -> Answer:
        try:
            return Answer(body=self._world[NAME, "labels"].raw(ask.params["id"]), rows_at=())
        except KeyError:
            return self.error(404, "no such label")


def open_api(world: World, *, page_size: int) -> Api:
    return Toy(world)
