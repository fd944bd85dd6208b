"""The sandbox: the simulated upstreams over one world, as one object.

Owns the composition; the world's data, the vendors' forms, the limits and the faults each have their own module.
"""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from syncd.sandbox.answer import Api, LogEntry
from syncd.sandbox.apis import packages
from syncd.sandbox.apis.cyclesoftware.api import CycleSoftware
from syncd.sandbox.apis.cyclesoftware.sales import CANCELLED
from syncd.sandbox.apis.cyclesoftware.webhooks import Webhooks
from syncd.sandbox.apis.cyclis import Cyclis
from syncd.sandbox.apis.cyclis.callbacks import Callbacks
from syncd.sandbox.catalog import FAMILIES, ZONES
from syncd.sandbox.faults import Faults
from syncd.sandbox.limits import Limits, Window
from syncd.sandbox.world import Key, Record, Sizes, World

LOG_SIZE = 20_000  # requests that are remembered


def utc_now() -> datetime:
    """Return the instant of the system's clock."""
    return datetime.now(UTC)


class Sandbox:
    """State of the APIs: what they hold, whom they let in, what they spend, how they misbehave."""

    def __init__(
        self,
        *,
        seed: int = 1,
        customers: int = 400,
        now: Callable[[], datetime] = utc_now,
        latency_s: float = 0.0,
        page_size: int = 500,
        limits: Limits | Mapping[str, Limits] | None = None,
        zones: Mapping[str, str] | None = None,
        **sizes: int,
    ) -> None:
        """Build the world.

        `limits` alone means CycleSoftware's; a mapping sets them by API (the others have none unless it says so).
        `zones` sets the zone of an API's zone-less times. `sizes` are the other fields of `Sizes`, such as vehicles=40.
        """
        self.now: Callable[[], datetime] = lambda: now().astimezone(UTC)
        self.latency_s = latency_s
        self.faults = Faults()
        self.requests: deque[LogEntry] = deque(maxlen=LOG_SIZE)
        self.world = World(
            seed=seed,
            families=FAMILIES,
            sizes=Sizes(customers=customers, **sizes),
            now=self.now,
            zones={**ZONES, **(zones or {})},
        )
        self.apis: list[Api] = [package.open_api(self.world, page_size=page_size) for package in packages().values()]
        self.callbacks: Callbacks = next(api for api in self.apis if isinstance(api, Cyclis)).callbacks
        self.webhooks: Webhooks = next(api for api in self.apis if isinstance(api, CycleSoftware)).webhooks
        given = {"cyclesoftware": limits} if isinstance(limits, Limits) else dict(limits or {})
        self.windows = {api: Window(value) for api, value in {"cyclesoftware": Limits(), **given}.items()}

    # The world

    def truth(self, api: str, stream: str) -> list[Record]:
        """Return every record of a stream as it would be sent now, whatever the faults; deleted ones are not in it.

        `makeId` of a model and `_customer_id` of a phone number (its holder) are added, for they stand elsewhere.
        """
        return self.world.truth(api, stream)

    def deleted_sales_orders(self) -> list[Record]:
        """Return the deleted sales orders, as they are sent where `include_deleted=1` is asked for."""
        return self.world["cyclesoftware", CANCELLED].records()

    def get(self, api: str, stream: str, key: Key) -> Record:
        """Return a copy of one record; KeyError if there is none."""
        return self.world.get(api, stream, key)

    def put(self, api: str, stream: str, record: Record, *, modified_at: datetime | None = None) -> None:
        """Create or replace a record by its key, changed now unless a time is given."""
        self.world.put(api, stream, record, modified_at=modified_at)

    def delete(self, api: str, stream: str, key: Key) -> None:
        """Delete a record; KeyError if there is none."""
        self.world.delete(api, stream, key)

    def evolve(self, steps: int = 1) -> None:
        """Let work go on for so many steps: records change, come, go, are sold, brought back and moved."""
        self.world.evolve(steps)

    def revoke_company(self, company_id: str) -> None:
        """Take a company from the Cyclis key: it, its orders and its cyclists vanish without a change."""
        self.world.revoked.add(company_id)

    def grant_company(self, company_id: str) -> None:
        """Give a company to the Cyclis key: its old orders and cyclists appear without a change."""
        self.world.revoked.discard(company_id)

    @property
    def lookups(self) -> dict[str, dict[str, list[Any]]]:
        """Keys that a configuration could ask for, by stream; all exist now."""
        return {stream: keys for api in self.apis for stream, keys in api.lookups().items()}
