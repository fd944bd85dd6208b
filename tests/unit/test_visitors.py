"""Who may be connected at once, and who goes for whom."""

from dataclasses import dataclass

import pytest

from syncd.service.listeners.visitors import Places, makes_room, network_of


@dataclass(eq=False)
class Guest:
    peer: str
    is_waiting: bool = True


FEW = Places(total=4, per_peer=2)


def test_there_is_room_until_there_is_none() -> None:
    assert makes_room(FEW, [], "a") is True
    assert makes_room(FEW, [Guest("a"), Guest("b"), Guest("c")], "a") is True


def test_one_peer_that_has_too_many_makes_room_for_itself() -> None:
    busy, old, young = Guest("a", is_waiting=False), Guest("a"), Guest("b")
    assert makes_room(FEW, [young, busy, old], "a") is old
    assert makes_room(FEW, [Guest("a", is_waiting=False), Guest("a", is_waiting=False)], "a") is False


def test_a_full_house_loses_one_of_the_peer_that_has_most() -> None:
    first, second = Guest("crowd"), Guest("crowd")
    assert makes_room(FEW, [Guest("x"), first, Guest("y"), second], "new") is first


def test_those_who_are_being_served_stay() -> None:
    guests = [Guest(name, is_waiting=False) for name in "abcd"]
    assert makes_room(FEW, guests, "new") is False


@pytest.mark.parametrize(("descriptors", "total"), [(20_000, 256), (1024, 256), (256, 64), (64, 16), (10, 8)])
def test_two_listeners_leave_half_of_the_descriptors_to_the_runs(descriptors: int, total: int) -> None:
    assert Places.within(descriptors) == Places(total=total, per_peer=total // 2)


def test_a_line_of_ipv6_is_one_peer() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("fe80::1%eth0") == network_of("fe80::2%eth0")
