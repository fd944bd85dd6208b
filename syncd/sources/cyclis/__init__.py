"""Cyclis: bike lease orders, cyclists, companies and dealers that one API key may see.

Owns every fact about this API; `docs/sources/cyclis.md` says which page each rests on. Its walks only ever read; the
one callback address is touched by `CALLBACKS` alone, which only `syncd callbacks` uses.
"""

from syncd.config import OptionSpec
from syncd.contract import CALLBACK_OPTIONS, Source
from syncd.contract.toolkit import DAY_S, MINUTE_S
from syncd.sources.cyclis.api import SCHEMA, fault_of, token_auth
from syncd.sources.cyclis.callbacks import CALLBACKS
from syncd.sources.cyclis.listings import COMPANIES_STREAM, CYCLISTS_STREAM, DEALERS_STREAM
from syncd.sources.cyclis.orders import ORDERS_STREAM


def _path_option(stream: str) -> OptionSpec:
    return OptionSpec(kind="str", default=f"/{stream}", comment=f"path of the {stream} below base_url")


SOURCE = Source(
    type=SCHEMA,
    schema_comment="Mirror of Cyclis, a lessor of company bikes",
    example_name="lease",
    base_url=None,
    zone="Europe/Brussels",
    auth=token_auth,
    fault_of=fault_of,
    options={
        "api_token": OptionSpec(kind="secret", comment="the API key that Cyclis gave"),
        "zone": OptionSpec(kind="zone", default="Europe/Brussels", comment="zone of times that are sent without one"),
        "overlap": OptionSpec(
            kind="duration",
            default=10 * MINUTE_S,
            minimum=MINUTE_S,
            maximum=7 * DAY_S,
            comment="how far before its cursor a live run asks again, for changes that are committed late",
        ),
        **{f"{stream}_path": _path_option(stream) for stream in ("orders", "cyclists", "dealers", "companies")},
        **CALLBACK_OPTIONS,
        "callbacks_path": OptionSpec(
            kind="str", default="/callbacks", comment="path below base_url where the address is registered"
        ),
        "callbacks_field": OptionSpec(kind="str", default="url", comment="field in which it is sent there"),
    },
    callbacks=CALLBACKS,
    streams=(COMPANIES_STREAM, DEALERS_STREAM, CYCLISTS_STREAM, ORDERS_STREAM),
)
