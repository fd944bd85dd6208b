"""Autengo (used cars, API 3.0.0): vehicles, makes, models, and the contacts that the configuration names.

Owns every fact about this API; what each rule rests on stands in docs/sources/autengo.md. Only reads: the contact and
opportunity endpoints that write are never called.
"""

from typing import Final

from syncd.config import OptionSpec
from syncd.contract import Source
from syncd.sources.autengo.api import SCHEMA, Login, fault_of
from syncd.sources.autengo.contacts import CONTACTS_STREAM
from syncd.sources.autengo.reference import MAKES_STREAM, MODELS_STREAM
from syncd.sources.autengo.vehicles import VEHICLES_STREAM

SOURCE: Final = Source(
    type=SCHEMA,
    schema_comment="Mirror of Autengo, the used-car trade platform (API 3.0.0)",
    example_name="cars",
    base_url=None,
    options={
        "api_key": OptionSpec(kind="secret", comment="API key, sent as X-Api-Key"),
        "dealer_alzura_id": OptionSpec(kind="int", minimum=1, comment="Alzura id of the dealer"),
        "user_alzura_id": OptionSpec(kind="int", minimum=1, comment="Alzura id of the user"),
        "token_header": OptionSpec(
            kind="str",
            default="X-Authorization: Bearer",
            choices=("X-Authorization: Bearer", "Authorization: JWT", "Authorization: Bearer"),
            comment="Header and scheme of the token; the vendor's page names both headers",
        ),
        "language": OptionSpec(
            kind="str", default="de", choices=("de", "en"), comment="Language of the `_text` columns"
        ),
        "zone": OptionSpec(kind="zone", default="Europe/Berlin", comment="Zone of the times, which come without one"),
        "overlap": OptionSpec(
            kind="duration", default=600.0, minimum=0, comment="How far before its watermark a live pass starts"
        ),
        "limit": OptionSpec(
            kind="int", default=100, minimum=1, maximum=1000, comment="Vehicles asked for in a request"
        ),
    },
    streams=(VEHICLES_STREAM, MAKES_STREAM, MODELS_STREAM, CONTACTS_STREAM),
    auth=Login,
    fault_of=fault_of,
    headers=lambda options: {"Accept-Language": str(options["language"])},
    zone="Europe/Berlin",
)
