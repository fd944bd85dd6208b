"""Which shard an account is in, which worker a shard belongs to, and what a worker does next about its shards.

Pure: every worker that sees the same workers comes to the same result, so that nobody has to hand out shards.
"""

import hashlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID


def shard_of(source: str, shards: int) -> int:
    """Return the shard of an account, from 0: the same in every process and every version."""
    digest = hashlib.blake2b(source.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


@lru_cache(maxsize=16)
def placed(shards: int, workers: frozenset[UUID]) -> Mapping[UUID, frozenset[int]]:
    """Divide the shards among the workers: rendezvous hashing in which the shares differ by one shard at most.

    Each shard goes to the worker that scores highest for it, among those that have room. So a worker that comes or goes
    moves little beside its own share.
    """
    if not workers:
        return {}
    least, left_over = divmod(shards, len(workers))
    share: dict[UUID, set[int]] = {worker: set() for worker in workers}
    for shard in range(shards):
        room = [worker for worker, held in share.items() if len(held) < least + (left_over > 0)]
        chosen = max(room, key=lambda worker: _score(shard, worker))
        left_over -= len(share[chosen]) == least
        share[chosen].add(shard)
    return {worker: frozenset(held) for worker, held in share.items()}


@lru_cache(maxsize=65_536)
def _score(shard: int, worker: UUID) -> bytes:
    return hashlib.blake2b(worker.bytes, digest_size=8, salt=shard.to_bytes(8, "big")).digest()


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a worker does next.

    adopt    shards whose jobs are its own and whose accounts it does not run yet
    drop     shards that belong to another worker now: their runs end at a page, then their jobs are given back
    forfeit  shards whose jobs it has no more: their runs end at once
    release  jobs that it has and neither runs nor should have
    take     shards whose jobs it asks for
    """

    adopt: frozenset[int]
    drop: frozenset[int]
    forfeit: frozenset[int]
    release: frozenset[int]
    take: frozenset[int]


def next_step(
    wanted: AbstractSet[int], *, owned: AbstractSet[int], running: AbstractSet[int], ending: AbstractSet[int]
) -> Step:
    """Decide what to do about the shards.

    `wanted` should be run here, the jobs of `owned` are this worker's, the accounts of `running` are run here, and
    those of `ending` were, until their last runs end.
    """
    return Step(
        adopt=frozenset((owned & wanted) - running - ending),
        drop=frozenset((running & owned) - wanted),
        forfeit=frozenset(running - owned),
        release=frozenset(owned - wanted - running - ending),
        take=frozenset(wanted - owned - running - ending),
    )


def leader(workers: Sequence[UUID]) -> UUID | None:
    """Return who does what is done once for all: prune, notify, put deleted jobs back."""
    return min(workers, default=None)


def differing(digests: Mapping[UUID, str]) -> dict[UUID, str]:
    """Return the workers whose configuration is not the one that most have; none if all agree."""
    counted: dict[str, int] = {}
    for digest in digests.values():
        counted[digest] = counted.get(digest, 0) + 1
    usual = max(sorted(counted), key=lambda digest: counted[digest], default="")
    return {worker: digest for worker, digest in digests.items() if digest != usual}
