"""Autengo (used cars, API 3.0.0): vehicles, makes, models, values of filters, and the contacts that are asked for.

Owns every fact about this API; what each rule rests on stands in docs/sources/autengo.md. Only reads: the contact and
opportunity endpoints that write are never called.
"""

from typing import Final

from syncd.contract import Source
from syncd.sources.autengo.api import DEALER, LANGUAGE, OPTIONS, SCHEMA, USER, Login, fault_of
from syncd.sources.autengo.contacts import CONTACTS_STREAM
from syncd.sources.autengo.filter_values import FILTER_VALUES_STREAM
from syncd.sources.autengo.reference import MAKES_STREAM, MODELS_STREAM
from syncd.sources.autengo.vehicles import VEHICLES_STREAM

SOURCE: Final = Source(
    type=SCHEMA,
    contract="1.0",
    schema_comment="Mirror of Autengo, the used-car trade platform (API 3.0.0)",
    example_name="cars",
    base_url=None,
    options=OPTIONS,
    streams=(VEHICLES_STREAM, MAKES_STREAM, MODELS_STREAM, CONTACTS_STREAM, FILTER_VALUES_STREAM),
    account=(DEALER, USER),
    auth=Login,
    fault_of=fault_of,
    headers=lambda options: {"Accept-Language": LANGUAGE.of(options)},
    zone="Europe/Berlin",
)
