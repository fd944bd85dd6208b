"""How an API tells of changes by signed calls to an address that an operator enters at the vendor. Values only."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from syncd.frozen import dataclass


@dataclass(frozen=True, kw_only=True)
class Hint:
    """A change that a call tells of.

    stream  the stream that holds what changed; one that the source does not have, or that is off, is passed over
    key     what a walk of kind `callback` is given to ask for the one record; None where no such request exists: the
            stream's live run begins instead
    """

    stream: str
    key: tuple[Any, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the body of a call tells.

    delivery  the call's own number, by which a repetition is known
    account   number of the account that it is about, None if it does not say
    hints     what to look at
    records   for streams whose records come in calls only (`Stream.is_pushed`): the records, by stream
    """

    delivery: str
    account: int | None
    hints: tuple[Hint, ...] = ()
    records: Mapping[str, Sequence[bytes]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing follows from it: the event is one that nobody knows."""
        return not self.hints and not self.records


@dataclass(frozen=True, kw_only=True)
class AccountColumn:
    """A column of the mirror that holds the number of the account itself, in a table whose key it begins."""

    stream: str
    column: str
    number: Callable[[Any], int | None] = int


@dataclass(frozen=True, kw_only=True)
class Webhooks:
    """How an API tells of changes by calls that it signs with a secret both sides know.

    A source that has them lists WEBHOOK_OPTIONS among its options. What a call says is a hint to ask, and never data,
    but for the records of pushed streams.

    events     names of the events to be entered at the vendor
    signature  name of the header that holds the signature
    signed     returns the parts of a body that may have been signed, each as sent; the first is the body itself
    told       reads a body; raises BadPayload for one of any other form
    accounts   where the mirror tells which accounts are the source's own; calls about others are passed over
    """

    events: tuple[str, ...]
    signature: str
    signed: Callable[[bytes], Sequence[bytes]]
    told: Callable[[bytes], Told]
    accounts: tuple[AccountColumn, ...] = ()
