"""What a soak does to the simulated upstreams: work goes on, records go and return, faults come and go."""

import contextlib
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from typing import Any

from syncd.sandbox import Sandbox
from syncd.sandbox.catalog import PACE
from tests.promises.soak_tally import Tally
from tests.support.matrix import MATRIX
from tests.support.matrix_fault import AT_ONCE
from tests.support.truth import NAMES

LATE_S = 300
"""Age of the oldest late commit; half of the overlap."""
TOO_LONG = {"gzip-bomb"}
BELIEVED = {fault.name for fault in MATRIX if fault.rest == AT_ONCE or fault.buries}
"""Faults that a live run cannot tell from the truth: the next sweep mends what they left behind."""
MOST_PRODUCTS = 1_500
"""The vendor refuses a search that finds more than 200; every twelfth product bears a term that is searched."""


class Upstreams:
    """The sandbox as a soak changes it; `believed` says whether a live run may have been told a lie since the rest."""

    def __init__(self, sandbox: Sandbox, dice: random.Random, tally: Tally) -> None:
        self.sandbox, self.dice, self.tally = sandbox, dice, tally
        self.graveyard: list[tuple[str, str, dict[str, Any]]] = []
        self.believed = False
        self.spared: Collection[str] = TOO_LONG
        """Faults that are never armed."""
        self.deeds: Mapping[Callable[[], Awaitable[None]], float] = {
            self.evolve: 5, self.delete: 2, self.come_back: 1, self.commit_late: 2, self.take_or_give_company: 0.4,
            self.arm: 4, self.disarm: 0.4, self.slow_down: 0.5,
        }  # fmt: skip

    async def evolve(self) -> None:
        steps = self.dice.choice((1, 1, 2, 5))
        self.sandbox.evolve(steps)
        for key in self.sandbox.world["ghs", "products"].keys()[:-MOST_PRODUCTS]:
            self.sandbox.delete("ghs", "products", key)
        self.tally.changes["steps of daily work"] += steps
        self.tally.did(f"evolve {steps}")

    def pick(self) -> tuple[str, str, Any] | None:
        """Return one record by API, stream and key."""
        api, stream = self.dice.choice([*PACE, ("cyclesoftware", "customer_phone_numbers")])
        if stream == "customer_phone_numbers":
            numbers = self.sandbox.truth(api, stream)
            number = self.dice.choice(numbers) if numbers else {}
            return (api, stream, (number["_customer_id"], number["phone_number_id"])) if number else None
        keys = self.sandbox.world[api, stream].keys()
        return (api, stream, self.dice.choice(keys)) if len(keys) > 1 else None

    async def delete(self) -> None:
        for _ in range(self.dice.choice((1, 1, 3))):
            found = self.pick()
            if found and found[1] != "makes":  # its models would be left without a way to ask for them
                api, stream, key = found
                self.graveyard.append((api, stream, self.sandbox.get(api, stream, key)))
                self.sandbox.delete(api, stream, key)
                self.tally.changes["deletions"] += 1
                self.tally.did(f"delete {api} {stream} {key}")

    async def come_back(self) -> None:
        if self.graveyard:
            api, stream, record = self.graveyard.pop(self.dice.randrange(len(self.graveyard)))
            with contextlib.suppress(KeyError):  # a phone number whose customer is gone
                self.sandbox.put(api, stream, record)
                self.tally.changes["returns"] += 1
                self.tally.did(f"return {api} {stream} {list(record.values())[:1]}")

    async def commit_late(self) -> None:
        found, age = self.pick(), timedelta(seconds=self.dice.uniform(1, LATE_S))
        if found and found[1] != "customer_phone_numbers":
            self.sandbox.world.change(*found, modified_at=self.sandbox.now() - age)
            self.tally.changes["late commits"] += 1
            self.tally.did(f"late commit {found}, {age.total_seconds():.0f} s old")

    async def take_or_give_company(self) -> None:
        world = self.sandbox.world
        if world.revoked:
            self.believed = True  # what was not seen while it was away comes without a change
            self.sandbox.grant_company(company := next(iter(world.revoked)))
        else:
            self.sandbox.revoke_company(company := self.dice.choice(world["cyclis", "companies"].keys()))
        self.tally.changes["companies taken or given"] += 1
        self.tally.did(f"company {company} {'taken' if world.revoked else 'given'}")

    async def arm(self) -> None:
        fault = self.dice.choice([fault for fault in MATRIX if fault.name not in self.spared])
        source, _, stream = self.dice.choice(fault.streams).partition(".")
        times, after = self.dice.choice((1, 1, 2, 4, 40)), self.dice.choice((0, 0, 0, 1, 3))
        api, stream = NAMES[source], fault.target or stream
        self.sandbox.faults.add(fault.name, api=api, stream=stream, times=times, after=after, **fault.params)
        self.believed |= fault.name in BELIEVED
        self.tally.did(f"fault {fault.shown} on {api} {stream}, {times} times after {after}")

    async def disarm(self) -> None:
        self.sandbox.faults.clear()
        self.tally.did("faults off")

    async def slow_down(self) -> None:
        self.sandbox.latency_s = self.dice.choice((0.0, 0.02, 0.1, 0.3))
        self.tally.did(f"latency {self.sandbox.latency_s} s")

    def faults(self) -> dict[str, int]:
        names = sorted({fault.name for fault in MATRIX})
        return {name: hits for name in names if (hits := self.sandbox.faults.hits(name))}

    def versions(self) -> int:
        return sum(collection.version for collection in self.sandbox.world._collections.values())
