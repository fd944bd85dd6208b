"""Who may be connected to a listener at once, and which connection makes room for the next one. Pure decisions."""

import ipaddress
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

PLACES_MAX: Final = 256
"""Connections of one listener at once: a browser holds six, a proxy some dozens; our choice."""
SHARE_OF_DESCRIPTORS: Final = 4
"""One listener uses at most this part of the process's descriptors, so that two leave half of them to the runs."""
SHARE_OF_PEER: Final = 2
"""One address uses at most this part of the places."""


class Visitor(Protocol):
    """A connection, as far as admission needs to know it."""

    @property
    def peer(self) -> str:
        """The network that it came from, see `network_of`."""

    @property
    def is_waiting(self) -> bool:
        """Whether it has no request under way, so that closing it loses nothing."""


@dataclass(frozen=True, kw_only=True)
class Places:
    """How many connections a listener has room for, in all and for one address."""

    total: int
    per_peer: int

    @classmethod
    def within(cls, descriptors: int) -> "Places":
        """Return the places of a listener in a process that may open so many descriptors."""
        total = max(8, min(PLACES_MAX, descriptors // SHARE_OF_DESCRIPTORS))
        return cls(total=total, per_peer=total // SHARE_OF_PEER)


def network_of(host: str) -> str:
    """Return what counts as one peer: an IPv4 address, or the /64 that one line is given in IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def makes_room(places: Places, visitors: Sequence[Visitor], peer: str) -> Visitor | bool:
    """Say whether one more connection of this peer fits: True, False, or the connection to be closed for it.

    `visitors` are in the order in which they came. The one that has waited longest goes: of the same peer if that has
    too many, else of the peer that has most. Those with a request under way stay.
    """
    counts = Counter(visitor.peer for visitor in visitors)
    if counts[peer] >= places.per_peer:
        crowd = peer
    elif len(visitors) >= places.total:
        crowd = max(counts, key=lambda name: counts[name])
    else:
        return True
    return next((visitor for visitor in visitors if visitor.peer == crowd and visitor.is_waiting), False)
