"""Where shards go: even, the same for all, and with little movement; what a worker does next about them."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from syncd.scale.duties import DIFFER_S, Agreement
from syncd.scale.placement import differing, leader, next_step, placed, shard_of

WORKERS = st.frozensets(st.uuids(), min_size=1, max_size=12)
SHARDS = st.integers(min_value=1, max_value=300)


@given(SHARDS, WORKERS)
def test_every_shard_is_somebody_s_once_and_shares_differ_by_one_at_most(shards: int, workers: frozenset[UUID]) -> None:
    shares = placed(shards, workers)
    assert shares.keys() == workers
    assert sorted(shard for share in shares.values() for shard in share) == list(range(shards))
    sizes = [len(share) for share in shares.values()]
    assert max(sizes) - min(sizes) <= 1


def test_nobody_gets_nothing_where_nobody_is() -> None:
    assert placed(256, frozenset()) == {}


def test_a_worker_that_comes_or_goes_moves_little_beside_its_own_share() -> None:
    for first in range(20):
        workers = [UUID(int=first * 1_000_003 + number) for number in range(1, 6)]
        few, many = placed(256, frozenset(workers[:4])), placed(256, frozenset(workers))
        moved = [shard for worker in workers[:4] for shard in many[worker] - few[worker]]
        assert len(many[workers[4]]) in (51, 52)
        assert len(moved) < 20


def test_the_shard_of_an_account_stays_for_ever() -> None:
    assert [shard_of(name, 256) for name in ("shop", "lease", "cars", "parts", "fiets-ä")] == SHARDS_OF_NAMES
    counted = [0] * 16
    for number in range(4_000):
        counted[shard_of(f"account{number}", 16)] += 1
    assert min(counted) > 190
    assert max(counted) < 320


SHARDS_OF_NAMES = [6, 117, 172, 143, 102]


@given(*[st.frozensets(st.integers(0, 9))] * 4)
def test_a_step_never_takes_what_still_ends_and_never_runs_what_it_does_not_own(
    wanted: frozenset[int], owned: frozenset[int], running: frozenset[int], ending: frozenset[int]
) -> None:
    running -= ending
    step = next_step(wanted, owned=owned, running=running, ending=ending)
    assert step.adopt <= owned & wanted
    assert not (step.adopt | step.take | step.release) & (running | ending)
    assert step.forfeit == running - owned
    assert step.drop == (running & owned) - wanted
    assert step.take == wanted - owned - running - ending
    assert step.release == owned - wanted - running - ending
    after = (running - step.drop - step.forfeit) | step.adopt
    assert after <= owned & wanted


def test_the_worker_that_leads_is_the_same_for_all() -> None:
    workers = [UUID(int=number) for number in (7, 3, 9)]
    assert leader(workers) == leader(workers[::-1]) == workers[1]
    assert leader([]) is None


def test_those_are_named_whose_configuration_most_do_not_have() -> None:
    one, two, three = (UUID(int=number) for number in (1, 2, 3))
    assert differing({one: "a", two: "b", three: "a"}) == {two: "b"}
    assert differing({one: "a", two: "a"}) == {}
    assert differing({}) == {}


def test_configurations_count_as_different_once_they_have_differed_for_a_minute() -> None:
    one, two, three = (UUID(int=number) for number in (1, 2, 3))
    same, other = {one: "a", two: "a", three: "a"}, {one: "a", two: "a", three: "b"}
    agreement, found = Agreement(), []
    for at_s, digests in (
        (0.0, same), (1.0, other), (1.0 + DIFFER_S, other),
        (2.0 + DIFFER_S, other), (3.0 + DIFFER_S, {one: "b", two: "c", three: "b"}), (4.0 + DIFFER_S, same),
        (5.0 + DIFFER_S, other),  # a new minute begins
    ):  # fmt: skip
        found.append(agreement.look(digests, at_s=at_s))
    nobody: frozenset[UUID] = frozenset()
    assert found == [nobody, nobody, nobody, {three}, {two}, nobody, nobody]
