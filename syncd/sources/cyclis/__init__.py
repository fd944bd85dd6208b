"""Cyclis: bike lease orders, cyclists, companies and dealers that one API key may see.

Owns every fact about this API; `docs/sources/cyclis.md` says which page each rests on. Its walks only ever read; the
one callback address is touched by `CALLBACKS` alone, which only `syncd callbacks` uses.
"""

from syncd.contract import Source
from syncd.contract.options import CALLBACK_OPTIONS, OVERLAP
from syncd.sources.cyclis.api import API_TOKEN, PATHS, SCHEMA, ZONE, fault_of, token_auth
from syncd.sources.cyclis.callbacks import CALLBACKS, FIELD, PATH
from syncd.sources.cyclis.listings import COMPANIES_STREAM, CYCLISTS_STREAM, DEALERS_STREAM
from syncd.sources.cyclis.orders import ORDERS_STREAM

SOURCE = Source(
    type=SCHEMA,
    contract="1.0",
    schema_comment="Mirror of Cyclis, a lessor of company bikes",
    example_name="lease",
    base_url=None,
    zone="Europe/Brussels",
    account=(API_TOKEN,),  # nothing else names it
    auth=token_auth,
    fault_of=fault_of,
    options=(API_TOKEN, ZONE, OVERLAP, *PATHS.values(), *CALLBACK_OPTIONS, PATH, FIELD),
    callbacks=CALLBACKS,
    streams=(COMPANIES_STREAM, DEALERS_STREAM, CYCLISTS_STREAM, ORDERS_STREAM),
)
