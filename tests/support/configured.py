"""Source types for tests of the configuration: like ours, and with an option of every kind."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from syncd.config import (
    BudgetConfig,
    Config,
    OptionSpec,
    SourceSpec,
    StreamSpec,
)
from syncd.errors import ConfigError

SECRET = OptionSpec(kind="secret")
TEXT = OptionSpec(kind="str")
OVERLAP = OptionSpec(kind="duration", default=900.0, minimum=60, maximum=86_400)


def streams_of(*specs: StreamSpec) -> dict[str, StreamSpec]:
    return {spec.name: spec for spec in specs}


REGISTRY: Mapping[str, SourceSpec] = MappingProxyType(
    {
        "cyclesoftware": SourceSpec(
            type="cyclesoftware",
            base_url="https://api.cyclesoftware.nl",
            options={
                "username": TEXT,
                "password": SECRET,
                "zone": OptionSpec(kind="zone", default="Europe/Amsterdam"),
                "overlap": OVERLAP,
                "page_rows": OptionSpec(kind="int", default=500, minimum=1, maximum=5000),
                "weight": OptionSpec(kind="float", default=1.0),
                "gzip": OptionSpec(kind="bool", default=True),
                "stores": OptionSpec(kind="list[int]", default=()),
                "countries": OptionSpec(kind="list[str]", default=("nl",)),
                "begins": OptionSpec(kind="day", default=None),
            },
            streams=streams_of(
                StreamSpec(name="customers", every_s=300, sweep_s=604_800),
                StreamSpec(name="stores", every_s=86_400),
                StreamSpec(name="stock", every_s=900, lookup=("barcodes", "article_ids")),
                StreamSpec(name="leads", every_s=900, lookup=("uuids",)),
            ),
        ),
        "cyclis": SourceSpec(
            type="cyclis",
            base_url=None,
            options={"api_token": SECRET},
            streams=streams_of(
                StreamSpec(
                    name="orders",
                    every_s=300,
                    sweep_s=604_800,
                    options={"company_ids": OptionSpec(kind="list[int]", default=())},
                ),
            ),
            budget=BudgetConfig(per_minute=60),
        ),
        "autengo": SourceSpec(
            type="autengo",
            base_url="https://api.autengo.com/v3",
            options={
                "api_key": SECRET,
                "dealer_alzura_id": OptionSpec(kind="int"),
                "user_alzura_id": OptionSpec(kind="int"),
                "auth_header": OptionSpec(
                    kind="str", default="x-authorization", choices=("x-authorization", "authorization")
                ),
            },
            streams=streams_of(
                StreamSpec(name="vehicles", every_s=300, sweep_s=86_400),
                StreamSpec(name="contacts", every_s=3600, lookup=("ids", "tecfactura_ids")),
            ),
        ),
        "ghs": SourceSpec(
            type="ghs",
            base_url="https://api2.ghs-automotive.nl",
            options={"api_key": SECRET, "username": TEXT, "password": SECRET},
            streams=streams_of(
                StreamSpec(name="products", every_s=3600, lookup=("ids", "ean_codes", "search_terms")),
                StreamSpec(name="orders", every_s=900, sweep_s=604_800),
                StreamSpec(name="urgent_messages"),
            ),
        ),
    }
)

ENVIRON = {"HOME": "/home/someone"}
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
"""The configuration that we ship; `EXAMPLE_ENVIRON` is what it needs."""
EXAMPLE_ENVIRON = {
    "SHOP_WEBHOOK_SECRET": "w",
    **ENVIRON,
    "SHOP_PASSWORD": "s1-hunter",
    "CYCLIS_TOKEN": "s2-hunter",
    "AUTENGO_KEY": "s3-hunter",
    "GHS_KEY": "s4-hunter",
    "GHS_PASSWORD": "s5-hunter",
    "SYNCD_HASH_KEY": "s6-hunter-of-16-signs",
    "SYNCD_OPERATOR_TOKEN": "s7-hunter-of-20-signs",
    "NOTIFY_URL": "json://s7-hunter@localhost",
    "ACCOUNTS_URL": "postgresql://reader:s9-hunter@localhost/accounts",
    "HEARTBEAT_URL": "https://hc.example.com/s8-hunter",
}

SHOP = '[sources.shop]\ntype = "cyclesoftware"\nusername = "u"\n'
SHOP_WITH_PASSWORD = SHOP + 'password = "hunter2"\n'

CUSTOMERS = "[sources.shop.streams.customers]\n"

Load = Callable[..., Config]
"""Loads a text as the configuration file: see the fixture `load_text` of tests/unit."""


def problems_of(load_text: Load, text: str, **arguments: object) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, **arguments)
    head, *lines = str(caught.value).split("\n")
    assert f"has {len(lines)} problem" in head
    return [line.removeprefix("  ") for line in lines]
