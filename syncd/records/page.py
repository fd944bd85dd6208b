"""What can be read of a page without the database: fingerprints, keys and, where it pays, whole rows. No I/O."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import compress

from syncd.records.known import Known, KnownElements, digest_of, remember, shape_of
from syncd.records.parser import LateKeys, Parser
from syncd.records.privacy import NO_GENERATION, Guard
from syncd.records.rows import Columns, Key, Reject
from syncd.records.split import LONG_BYTES, Elements


class Sent:
    """Records of a page as sent; their fingerprints, and what takes their keys, are read when somebody asks."""

    def __init__(self, parser: Parser, records: Sequence[bytes], keys: Sequence[Key | None]) -> None:
        self.records = records
        self.keys = keys
        self._parser = parser
        if not self.known:
            _ = self.prints  # now, where a reader has its turn

    @property
    def known(self) -> Known | None:
        """What is known of all these records, whose text came before."""
        found = self.records.known if isinstance(self.records, KnownElements) else None
        return found if found and found.recipe == self._parser.recipe else None

    @cached_property
    def prints(self) -> Sequence[bytes]:
        """The fingerprint of each record."""
        return self._parser.fingerprints(self.records)

    @cached_property
    def in_order(self) -> bytes:
        """The SHA-256 of all fingerprints, in the order of the records."""
        return self.known.in_order if self.known else _digest(self.prints)

    @cached_property
    def text(self) -> tuple[bytes, Known] | None:
        """What can be known of the text of these records, with its digest; None if it is short, or no whole text."""
        if self.known and isinstance(self.records, KnownElements):
            return self.records.digest, self.known
        if not isinstance(self.records, Elements) or len(self.records.array) < LONG_BYTES:
            return None
        shape = shape_of(self.records.array, self.records)
        return (digest_of(self.records.array), Known(*shape, self._parser.recipe, self.in_order)) if shape else None

    def learn_keys(self, places: Sequence[int], keys: Iterable[Key]) -> None:
        """Take the keys of records at these places, which were read with their values, unless all keys are read."""
        if isinstance(self.keys, LateKeys) and not self.keys.are_read:
            self.keys = self.keys.filled(dict(zip(places, keys, strict=True)))

    def keep(self, *, is_whole: bool) -> None:
        """Keep what is known of these records, each of which has a key; `is_whole`: they are a whole list."""
        if self.text and not self.known:
            digest, found = self.text
            in_own_order = _digest(sorted(self.fingerprints.values())) if is_whole else b""
            remember(digest, found._replace(sorted=in_own_order))

    def forget_sorted(self) -> None:
        """Forget the fingerprints that count."""
        if self.known and isinstance(self.records, KnownElements):
            remember(self.records.digest, self.known._replace(sorted=b""))

    @cached_property
    def places(self) -> Mapping[Key, int]:
        """Where the record of each key is: the last one wins."""
        return {key: place for place, key in enumerate(self.keys) if key is not None}

    @cached_property
    def settled(self) -> Mapping[Key, bytes]:
        """The record of each key."""
        return dict(zip(self.places, map(self.records.__getitem__, self.places.values()), strict=True))

    @cached_property
    def fingerprints(self) -> Mapping[Key, bytes]:
        """The fingerprint of the record of each key."""
        return dict(zip(self.places, map(self.prints.__getitem__, self.places.values()), strict=True))

    @cached_property
    def rejects(self) -> Sequence[tuple[Reject, bytes]]:
        """The records without a usable key, as rejects with their fingerprints."""
        if self.known or None not in self.keys:
            return ()
        keyless = [at for at, key in enumerate(self.keys) if key is None]
        parsed = [(self._parser.parse(self.records[at]), self.prints[at]) for at in keyless]
        return [(found, fingerprint) for found, fingerprint in parsed if isinstance(found, Reject)]


def _digest(fingerprints: Iterable[bytes]) -> bytes:
    return sha256(b"".join(fingerprints)).digest()


@dataclass(frozen=True, kw_only=True)
class Read:
    """The records of a page as far as they can be read without the database.

    `seen` is how many there were before the guard. `before` are those of the page before it, which this page may hold
    once more. `columns` are the rows of the keys in `together`; of the other records only what `sent` tells was read.
    `generation` says which markers of forgotten persons were known.
    """

    seen: int
    sent: Sent
    before: Sent | None = None
    columns: Columns | None = None
    together: Sequence[Key] = ()
    generation: str = NO_GENERATION

    @cached_property
    def fingerprints(self) -> Mapping[Key, bytes]:
        """The fingerprints by key, without those of records that the page before has brought already."""
        found = self.sent.fingerprints
        if self.before is None:
            return found
        before = self.before.fingerprints
        known = {key for key in found.keys() & before.keys() if found[key] == before[key]}
        return {key: fingerprint for key, fingerprint in found.items() if key not in known} if known else found

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
        before: Sent | None = None,
    ) -> Read:
        """Read the fingerprints of records as sent; with `whole` also their values.

        Reading the values pays where most records are new. `keys` are those of the records, if the walk has read them
        already. `before` are the records of the page before this one: pages overlap, and what that page has brought is
        not written again. Every record that is ever written passes here; records of persons who were forgotten count
        as unchanged.
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
        before: Sent | None = None,
    ) -> Read:
        """Read records that have passed the guard, as `read` does."""
        sent = Sent(self.parser, records, keys or self.parser.keys(records))
        read = Read(seen=len(records), sent=sent, before=before)
        return self.with_values(read) if whole else read

    def with_values(self, read: Read) -> Read:
        """Return what was read of records with their values, too."""
        sent, before = read.sent, read.before
        if before and before.records and sent.records and sent.records[0] != before.records[-1]:
            wanted = [sent.places[key] for key in read.fingerprints if key not in before.fingerprints]
        else:  # only the first record, if any, is one of the page before
            wanted = list(range(1 if before and before.records else 0, len(sent.records)))
        columns, places = self.parser.columns(sent.records, wanted)
        if columns:
            sent.learn_keys(places, zip(*(columns.values[at] for at in self.parser.key_at), strict=True))
        if len(sent.places) < len(sent.records):  # a key may have come twice, and its last record counts
            kept = [sent.places.get(sent.keys[place] or ()) == place for place in places]
            columns, places = columns and columns.kept(kept), list(compress(places, kept))
        return replace(read, columns=columns, together=[key for at in places if (key := sent.keys[at]) is not None])
