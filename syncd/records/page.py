"""What can be read of a page without the database: keys, fingerprints and, where it pays, whole rows. No I/O."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from types import MappingProxyType
from typing import Final

from syncd.records.parser import Parser
from syncd.records.privacy import NO_GENERATION, Guard
from syncd.records.rows import Columns, Key, Reject

_NOTHING: Final[Mapping[Key, bytes]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The records of a page as far as they can be read without the database.

    `places` says of each key where its record is in `records`: the last one wins. `settled` holds these records.
    `fingerprints` holds the same keys, but not those whose record the page before has brought already. `columns` are
    the rows of the keys in `together`; of the other records only the key was read. `generation` says which markers of
    forgotten persons were known.
    """

    seen: int
    records: Sequence[bytes]
    places: Mapping[Key, int]
    settled: Mapping[Key, bytes]
    fingerprints: Mapping[Key, bytes]
    rejects: Sequence[tuple[Reject, bytes]]
    columns: Columns | None = None
    together: Sequence[Key] = ()
    generation: str = NO_GENERATION

    def columns_of(self, keys: Container[Key]) -> tuple[Columns | None, Sequence[Key]]:
        """Return those rows that were read together and whose key is one of these, with their keys."""
        wanted = [key in keys for key in self.together]
        if self.columns is None or not any(wanted):
            return None, ()
        if all(wanted):
            return self.columns, self.together
        return self.columns.kept(wanted), list(compress(self.together, wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What the records of one table pass on their way in: first the guard, if there is one, then the parser."""

    parser: Parser
    guard: Guard | None = None

    def admitted(self, records: Sequence[bytes]) -> Sequence[bytes]:
        """Return what the guard lets through of records as sent."""
        return self.guard.enter(records, read_keys=self.parser.keys).records if self.guard else records

    def read(
        self,
        records: Sequence[bytes],
        *,
        keys: Sequence[Key | None] | None = None,
        whole: bool = False,
        before: Mapping[Key, bytes] = _NOTHING,
    ) -> Read:
        """Read the keys and fingerprints of records as sent; with `whole` also their values.

        Reading the values pays where most records are new. `keys` are those of the records, if the walk has read them
        already. `before` are the fingerprints of the page before this one: pages overlap, and what that page has
        brought is not written again. Every record that is ever written passes here; records of persons who were
        forgotten count as unchanged.
        """
        if self.guard is None:
            return self.read_admitted(records, keys, whole=whole, before=before)
        entered = self.guard.enter(records, keys, read_keys=self.parser.keys)
        read = self.read_admitted(entered.records, entered.keys, whole=whole, before=before)
        return replace(read, seen=len(records), generation=self.guard.forgotten.markers.generation)

    def read_admitted(
        self,
        records: Sequence[bytes],
        keys: Sequence[Key | None] | None,
        *,
        whole: bool,
        before: Mapping[Key, bytes] = _NOTHING,
    ) -> Read:
        """Read records that have passed the guard, as `read` does."""
        read = self._keys_and_fingerprints(records, keys, before)
        return self.with_values(read, before=before) if whole else read

    def with_values(self, read: Read, *, before: Mapping[Key, bytes] = _NOTHING) -> Read:
        """Return what was read of records with their values, too; `before` is what `read` was given."""
        key_at = {read.places[key]: key for key in read.fingerprints if key not in before}
        columns, places = self.parser.columns(read.records, list(key_at))
        return replace(read, columns=columns, together=[key_at[place] for place in places])

    def _keys_and_fingerprints(
        self, records: Sequence[bytes], keys: Sequence[Key | None] | None, before: Mapping[Key, bytes]
    ) -> Read:
        parser = self.parser
        keys = keys or parser.keys(records)
        places = {key: place for place, key in enumerate(keys) if key is not None}
        settled = dict(zip(places, map(records.__getitem__, places.values()), strict=True))
        fingerprints = dict(zip(settled, parser.fingerprints(settled.values()), strict=True))
        for key in fingerprints.keys() & before.keys():
            if fingerprints[key] == before[key]:
                del fingerprints[key]
        return Read(
            seen=len(records),
            records=records,
            places=places,
            settled=settled,
            fingerprints=fingerprints,
            rejects=self._rejects(records, keys) if None in keys else (),
        )

    def _rejects(self, records: Sequence[bytes], keys: Sequence[Key | None]) -> list[tuple[Reject, bytes]]:
        """Return the records without a usable key, as rejects with their fingerprints."""
        parser = self.parser
        keyless = [record for record, key in zip(records, keys, strict=True) if key is None]
        parsed = [(parser.parse(record), record) for record in keyless]
        return [(found, parser.fingerprint(record)) for found, record in parsed if isinstance(found, Reject)]
