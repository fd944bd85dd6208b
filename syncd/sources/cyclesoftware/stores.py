"""Stores whose stock the account may see, and the platform's keys to their data."""

from syncd.contract import (
    BOOLEAN,
    NUMERIC,
    SHA256,
    TEXT,
    Column,
    Kind,
    Stream,
    Table,
    column,
)
from syncd.contract.options import HOUR_S
from syncd.sources.cyclesoftware.api import SCHEMA, listing


def _store_columns(*under: str, city: bool = False) -> tuple[Column, ...]:
    """Return the columns of a store, which stands in the record itself or in its object `under`."""

    def of(name: str, comment: str, *, kind: Kind = TEXT) -> Column:
        return column(name, kind, comment, *under, name)

    place = (*under, "store_coordinates")
    return (
        of("store_id", "The store as [account]-[store], e.g. 5185-1"),
        of("store_gln", "Global Location Number; empty or shared by several stores at times"),
        of("store_name", "Name of the store"),
        of("store_address", "Street and house number"),
        of("store_postal_code", "Postcode, e.g. 5249JJ"),
        *((of("store_city", "City"),) if city else ()),
        of("store_phone_number", "Phone number in any form, or empty"),
        of("store_country_code", "Country, e.g. NL"),
        of("store_email", "E-mail address"),
        column("store_latitude", NUMERIC, "Latitude in degrees; 0 with longitude 0 where it is not known", *place, 0),
        column("store_longitude", NUMERIC, "Longitude in degrees; 0 with latitude 0 where it is not known", *place, 1),
    )


STORES = Table(
    schema=SCHEMA,
    name="stores",
    key=("store_id",),
    comment="Stores whose stock the account may see, those of other accounts among them",
    columns=_store_columns(),
)


_DEALER_NUMBER = ("store", "store_meta_data", "drg_dealer_number")

PLATFORM_KEYS = Table(
    schema=SCHEMA,
    name="platform_keys",
    key=("key_sha256",),
    comment="Stores that gave the platform a key to their data; needs the scope platform",
    columns=(
        column("key_sha256", SHA256, "SHA-256 in hexadecimal of the store's key, which is never stored", "key"),
        column("is_active", BOOLEAN, "Whether the key is enabled"),
        *_store_columns("store", city=True),
        column("store_meta_data_drg_dealer_number", TEXT, "Dealer number at Dynamo Retail Group", *_DEALER_NUMBER),
    ),
)


STORES_STREAM = Stream(
    name="stores",
    table=STORES,
    walk=listing(STORES, "/api/v1/stock-in-store-locator/stores.json", "stores"),
    every_s=HOUR_S,
)

PLATFORM_KEYS_STREAM = Stream(
    name="platform_keys",
    table=PLATFORM_KEYS,
    walk=listing(PLATFORM_KEYS, "/api/v1/platform/authentication/keys.json", "keys"),
    every_s=6 * HOUR_S,
)
