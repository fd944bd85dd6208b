"""The peer's side: loads all customers with dlt, in an environment of its own (`bench.peer`), in its fastest setting.

    python bench/dlt_load.py CUSTOMERS UPSTREAM_URL DATABASE_URL FOLDER [PAGE]

As dlt's page on performance advises: pages instead of rows, files that rotate so that each core normalizes some, and
COPY of CSV instead of INSERT. Merge by key; the phone numbers become a child table. Its other way to merge (`upsert`),
one process instead of two, and INSERT took more CPU.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any

PAGE = 1_000
SETTINGS = {
    "NORMALIZE__WORKERS": str(os.cpu_count() or 1),
    "SOURCES__DATA_WRITER__FILE_MAX_ITEMS": "50000",
    "SOURCES__DATA_WRITER__BUFFER_MAX_ITEMS": "10000",
    "NORMALIZE__DATA_WRITER__BUFFER_MAX_ITEMS": "10000",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    "RUNTIME__LOG_LEVEL": "ERROR",
}


def load(customers: int, url: str, database_url: str, folder: str, page: int = PAGE) -> None:
    """Load once; `folder` holds the pipeline's state from one run to the next."""
    os.environ.update(SETTINGS)
    import dlt
    from dlt.sources.helpers import requests

    @dlt.resource(name="customers", primary_key="customer_id", write_disposition="merge")
    def listed() -> Iterator[list[dict[str, Any]]]:
        for offset in range(0, customers, page):
            yield requests.get(f"{url}/api/v1/customers/list.json?offset={offset}").json()["customers"]

    # dlt wants a host and a password; libpq heeds the socket's folder, which the query names, and asks for no password
    destination = dlt.destinations.postgres(database_url.replace("@/", ":none@localhost/"))
    pipeline = dlt.pipeline("bench", pipelines_dir=folder, dataset_name="peer", destination=destination)
    pipeline.run(listed(), loader_file_format="csv")


if __name__ == "__main__":
    customers, url, database_url, folder, *rest = sys.argv[1:]
    load(int(customers), url, database_url, folder, *map(int, rest))
