"""The world: all records of all APIs at one moment, how they change, and what a mirror must show of them.

Owns the collections, the hidden times of change and the vendors' time forms. Knows nothing of HTTP or of faults, and of
an API only what its families declare.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from syncd.sandbox.world.collection import Collection, Key, Record
from syncd.sandbox.world.dice import Dice
from syncd.sandbox.world.sizes import Sizes

# Seed data ends here, so that a seed gives the same records whenever it is used.
ANCHOR = datetime(2026, 6, 30, 12, tzinfo=UTC)
OLDEST_CHANGE_S = 1000 * 86_400  # seeded records were last changed within this time before the anchor
MOST_SEEDED = 4
_seeded: dict[Hashable, tuple[tuple[Family, ...], dict[tuple[str, str], Collection]]] = {}
"""What seeds have made, by everything that their records depend on."""
FIRST_BORN = 50_000  # numbers of records that were not seeded lie above


@dataclass(frozen=True, kw_only=True)
class Pace:
    """What one step of evolution does to a stream."""

    changed: int  # records
    added: int  # records
    deletion_percent: int  # the chance that one record is deleted


@dataclass(frozen=True, kw_only=True)
class Child:
    """A stream whose records stand in a list inside the records of another stream.

    Its key is the parent's key, under the fields `owner`, and then the child's `number` field.
    """

    parent: str  # stream
    parent_key: tuple[str, ...]  # fields of the parent
    field: tuple[str, ...]  # where the list stands in the parent: its name, after those of the objects that hold it
    owner: tuple[str, ...]  # what the truth adds to a child: the key of the parent that holds it
    number: str  # field of the child

    def held(self, parent: Record) -> list[Record]:
        """Return the list in a parent; an empty one where the parent has none."""
        place: Any = parent
        for name in self.field:
            place = place.get(name) if isinstance(place, dict) else None
        return place or []

    def hold(self, parent: Record, children: list[Record]) -> None:
        """Put the list into a parent."""
        place = parent
        for name in self.field[:-1]:
            place = place.setdefault(name, {})
        place[self.field[-1]] = children

    def owned(self, parent: Record) -> Record:
        """Return the key of the parent under the names that the truth gives it."""
        return dict(zip(self.owner, (parent[name] for name in self.parent_key), strict=True))


def no_stamp(_world: World, _stream: str, _record: Record, _at: datetime) -> None:
    """Leave a record as it is: it does not show when it was changed."""


def no_effect(_world: World, _stream: str, _before: Record | None, _after: Record | None, _stamp: float) -> None:
    """Do nothing: no other stream shows what changed here."""


def all_visible(_world: World, _stream: str, keys: list[Key]) -> list[Key]:
    """Return all keys: the account sees every record."""
    return keys


@dataclass(frozen=True, kw_only=True)
class Family:
    """Streams of one API that share a file: their keys, their first records, and how daily work changes them."""

    api: str
    keys: Mapping[str, tuple[str, ...]]  # the key fields of each stream, as the upstream names them
    pace: Mapping[str, Pace]  # streams that are not in it do not change by themselves
    seed: Callable[[World, Sizes], None]  # fills the streams
    fresh: Callable[[World, str, int], Record]  # makes a new record of a stream, not yet put
    changed: Callable[[str, Record, Dice], Record]  # returns a record as a clerk left it a while later
    makers: Mapping[str, Callable[[World, Key], Record]] = field(default_factory=dict)  # records made when asked for
    children: Mapping[str, Child] = field(default_factory=dict)
    aside: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # collections that are no streams, by key fields
    stamp: Callable[[World, str, Record, datetime], None] = no_stamp  # writes the time of change into a record
    follow: Callable[[World, str, Record | None, Record | None, float], None] = no_effect  # before, after, epoch s
    visible: Callable[[World, str, list[Key]], list[Key]] = all_visible


class World:
    """All records of the APIs at this moment."""

    def __init__(
        self,
        *,
        seed: int,
        families: Iterable[Family],
        sizes: Sizes,
        now: Callable[[], datetime],
        zones: Mapping[str, str],
    ) -> None:
        """Seed the streams of all families, in their order; `zones` names each API's zone of zone-less times."""
        self.seed = seed
        self.now = now
        self.anchor = ANCHOR
        while self.anchor > now():
            self.anchor -= timedelta(days=365)
        self.on_change: list[Callable[[str, str, Key], None]] = []
        self.revoked: set[str] = set()  # ids of what was taken from an account; the family says what that hides
        self._zones = {api: ZoneInfo(zone) for api, zone in zones.items()}
        self._steps = 0
        self._changes = 0
        self._born = FIRST_BORN
        self._families: dict[tuple[str, str], Family] = {}
        self._children: dict[tuple[str, str], Child] = {}
        self._collections: dict[tuple[str, str], Collection] = {}
        self._pace: dict[tuple[str, str], Pace] = {}
        families = tuple(families)
        for family in families:
            self._open(family)
        recipe = (seed, tuple(map(id, families)), sizes, self.anchor, tuple(zones.items()))
        if recipe not in _seeded:
            for family in families:
                family.seed(self, sizes)
            self._remember(recipe, families)
        else:
            for api_stream, collection in _seeded[recipe][1].items():
                self._collections[api_stream].copy_from(collection)

    def _open(self, family: Family) -> None:
        """Make the empty collections of a family."""
        for stream, key_fields in {**family.keys, **family.aside}.items():
            self._families[family.api, stream] = family
            if child := family.children.get(stream):
                self._children[family.api, stream] = child
                continue
            maker = family.makers.get(stream)
            make = partial(maker, self) if maker else None
            self._collections[family.api, stream] = Collection(key_fields, make)
        self._pace |= {(family.api, stream): pace for stream, pace in family.pace.items()}

    def _remember(self, recipe: Hashable, families: tuple[Family, ...]) -> None:
        """Keep what the seed has made for the next worlds of this process that are made the same way."""
        while len(_seeded) >= MOST_SEEDED:
            del _seeded[next(iter(_seeded))]
        kept = {name: Collection(made.key_fields) for name, made in self._collections.items()}
        for name, collection in kept.items():
            collection.copy_from(self._collections[name])
        _seeded[recipe] = families, kept  # the families live on, so that no other takes their id

    def __getitem__(self, api_stream: tuple[str, str]) -> Collection:
        return self._collections[api_stream]

    # Times

    def before(self, age_s: int) -> datetime:
        """Return the instant so long before the seed's end."""
        return self.anchor - timedelta(seconds=age_s)

    def stamp_of(self, api: str, stream: str, key: int | str) -> float:
        """Return the hidden time of change that the seed gives to a record, in whole epoch seconds."""
        return self.anchor.timestamp() - Dice(self.seed, api, stream, "stamp", key).below(OLDEST_CHANGE_S)

    @staticmethod
    def at(stamp: float) -> datetime:
        """Return an epoch second as an instant."""
        return datetime.fromtimestamp(stamp, UTC)

    def zoned(self, api: str, at: datetime) -> str:
        """Return an instant as ISO text with the offset of the API's zone."""
        return at.astimezone(self._zones[api]).isoformat(timespec="seconds")

    def local(self, api: str, at: datetime) -> str:
        """Return an instant as the API's zone-less local time: 2026-10-25 02:30:00 comes twice."""
        return at.astimezone(self._zones[api]).isoformat(" ", "seconds")[:19]

    def parsed(self, api: str, text: str) -> float:
        """Return the epoch seconds of a date or time in the API's zone; ValueError if it is none."""
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=self._zones[api])).timestamp()

    # The truth

    def visible(self, api: str, stream: str, keys: list[Key] | None = None) -> list[Key]:
        """Return those of a stream's keys (default: all) that the account may see, in list order."""
        keys = self[api, stream].keys() if keys is None else keys
        return self._families[api, stream].visible(self, stream, keys)

    def truth(self, api: str, stream: str) -> list[Record]:
        """Return every record of a stream as it would be sent now.

        A child's record bears its holder's key in the field `Child.owner` besides; the record itself can name another.
        """
        if child := self._children.get((api, stream)):
            return [
                {**record, **child.owned(parent)}
                for parent in self[api, child.parent].records()
                for record in child.held(parent)
            ]
        return self[api, stream].records(self.visible(api, stream))

    # Changes

    def get(self, api: str, stream: str, key: Key) -> Record:
        """Return a copy of one record; KeyError if there is none."""
        child = self._children.get((api, stream))
        if child is None:
            return self[api, stream].get(key)
        *owner, number = key
        parent = self[api, child.parent].get(tuple(owner))
        for record in child.held(parent):
            if record[child.number] == number:
                return {**record, **child.owned(parent)}
        raise KeyError(key)

    def put(
        self, api: str, stream: str, record: Record, *, modified_at: datetime | None = None, first: bool = False
    ) -> Key:
        """Create or replace a record by its key and return the key; `first` puts a new one at the list's start."""
        at = modified_at or self.now()
        record = dict(record)
        if child := self._children.get((api, stream)):
            return self._put_child(api, child, record, at)
        family, collection = self._families[api, stream], self[api, stream]
        family.stamp(self, stream, record, at)
        key = collection.key_of(record)
        before = collection.get(key) if key in collection else None
        collection.put(record, at.timestamp(), first=first)
        family.follow(self, stream, before, record, at.timestamp())
        for tell in self.on_change:
            tell(api, stream, key)
        return key

    def _put_child(self, api: str, child: Child, record: Record, at: datetime) -> Key:
        pairs = zip(child.owner, child.parent_key, strict=True)
        owner = tuple(record.pop(name, record.get(own)) for name, own in pairs)
        parent = self[api, child.parent].get(owner)
        kept = [held for held in child.held(parent) if held[child.number] != record[child.number]]
        child.hold(parent, [*kept, record])
        self.put(api, child.parent, parent, modified_at=at)
        return (*owner, record[child.number])

    def delete(self, api: str, stream: str, key: Key) -> None:
        """Delete a record; KeyError if there is none."""
        if child := self._children.get((api, stream)):
            *owner, number = key
            parent = self[api, child.parent].get(tuple(owner))
            child.hold(parent, [held for held in child.held(parent) if held[child.number] != number])
            self.put(api, child.parent, parent)
            return
        record = self[api, stream].remove(key)
        self._families[api, stream].follow(self, stream, record, None, self.now().timestamp())
        for tell in self.on_change:
            tell(api, stream, key)

    def fresh(self, api: str, stream: str) -> Record:
        """Make a new record of a stream, not yet put."""
        self._born += 1
        record = self._families[api, stream].fresh(self, stream, self._born)
        if "created" in record and "updated" in record:
            record["created"] = self.local(api, self.now())
        return record

    def change(
        self, api: str, stream: str, key: Key, dice: Dice | None = None, *, modified_at: datetime | None = None
    ) -> None:
        """Change a record as one would in daily work; now, unless a time is given."""
        self._changes += 1
        chosen = dice or Dice(self.seed, "change", self._changes)
        record = self._families[api, stream].changed(stream, self[api, stream].get(key), chosen)
        self.put(api, stream, record, modified_at=modified_at)

    def evolve(self, steps: int = 1) -> None:
        """Let work go on: change, add, delete, sell, return and move records, stamped now; the seed says which."""
        for _ in range(steps):
            self._steps += 1
            for (api, stream), pace in self._pace.items():
                self._step(api, stream, pace)

    def _step(self, api: str, stream: str, pace: Pace) -> None:
        dice = Dice(self.seed, "evolve", self._steps, api, stream)
        keys = self[api, stream].keys()
        for key in {dice.pick(keys): None for _ in range(pace.changed) if keys}:
            self.change(api, stream, key, dice)
        for _ in range(pace.added):
            self.put(api, stream, self.fresh(api, stream))
        if len(keys) > 1 and dice.chance(pace.deletion_percent):
            self.delete(api, stream, dice.pick(self[api, stream].keys()))
