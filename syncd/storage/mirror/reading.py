"""What can be read of a page without the database: keys, fingerprints and, where it pays, whole rows. No I/O."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from types import MappingProxyType

from syncd.records.privacy import NO_GENERATION
from syncd.records.rows import Columns, Key, Reject
from syncd.storage.mirror.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The records of a page as far as they can be read without the database.

    `settled` holds one record per key: the last one wins; `fingerprints` those of all but the records that the page
    before has brought already. `columns` are the rows of the keys in `together`; the other records have not been read
    any further than their key. `generation` says who was known to be forgotten.
    """

    seen: int
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


def read_page(
    target: Target,
    records: Sequence[bytes],
    *,
    keys: Sequence[Key | None] | None = None,
    whole: bool = False,
    before: Mapping[Key, bytes] = MappingProxyType({}),
) -> Read:
    """Let records in and read their keys and fingerprints, with `whole` also their values: worth it where most are new.

    `keys` are those of the records, if the walk has read them already. `before` are the fingerprints of the page before
    this one: pages overlap, and what that page has brought is not written again. Every record that is ever written
    comes in here; those of persons who were forgotten count as unchanged.
    """
    if target.guard is None:
        return read_admitted(target, records, keys, whole=whole, before=before)
    entered = target.guard.enter(records, keys, read_keys=target.parser.keys)
    read = read_admitted(target, entered.records, entered.keys, whole=whole, before=before)
    return replace(read, seen=len(records), generation=target.guard.forgotten.markers.generation)


def read_admitted(
    target: Target,
    records: Sequence[bytes],
    keys: Sequence[Key | None] | None,
    *,
    whole: bool,
    before: Mapping[Key, bytes] = MappingProxyType({}),
) -> Read:
    """Read records that have passed the guard, like `read_page`."""
    parser = target.parser
    places: dict[Key, int] = {}
    rejects = []
    for place, key in enumerate(keys or parser.keys(records)):
        if key is not None:
            places[key] = place
        elif isinstance(parsed := parser.parse(records[place]), Reject):
            rejects.append((parsed, parser.fingerprint(records[place])))
    settled = {key: records[place] for key, place in places.items()}
    fingerprints = dict(zip(settled, parser.fingerprints(settled.values()), strict=True))
    for key in fingerprints.keys() & before.keys():
        if fingerprints[key] == before[key]:
            del fingerprints[key]
    columns, together = None, list[Key]()
    if whole:
        key_at = {places[key]: key for key in fingerprints if key not in before}
        columns, read = parser.columns(records, list(key_at))
        together = [key_at[place] for place in read]
    return Read(
        seen=len(records), settled=settled, fingerprints=fingerprints, rejects=rejects, columns=columns,
        together=together,
    )  # fmt: skip
