"""The workshop: the codes of its repairs, and the objects that it repairs."""

from typing import Any

from syncd.contract import BIGINT, BOOLEAN, JSON, TEXT, Cost, Stream, Table, Walk, column
from syncd.contract.errors import BadPayload
from syncd.contract.options import DAY_S, HOUR_S
from syncd.records.readers import Keys, envelope
from syncd.sources.cyclesoftware.api import SCHEMA, listing
from syncd.sources.cyclesoftware.forms import DATA, bare_list
from syncd.sources.cyclesoftware.paged_lists import ROWS_MAX, full_list

REPAIR_CODES = Table(
    schema=SCHEMA,
    name="repair_codes",
    key=("code_id", "code"),
    comment="Repairs that the workshop sells by code; needs the scope resources",
    columns=(
        column("code_id", BIGINT, "Number of the code; the vendor's sample gives two codes the same one"),
        column("code", TEXT, "The code as the shop types it; text, so that a leading zero stays"),
        column("category", TEXT, "Group of repairs"),
        column("description", TEXT, "What is done"),
        column("extra_text", TEXT, "More about it"),
        column("price_cents", BIGINT, "Price in euro cents", optional=True),
        column("time_minutes", BIGINT, "Time that it takes, in minutes"),
        column("workshop_rate_id", BIGINT, "Rate by which it is charged: enums, subject workshop_rates"),
        column("vat_code", BIGINT, "VAT code: enums, subject vat_codes"),
    ),
)

REPAIR_CODES_STREAM = Stream(
    name="repair_codes",
    table=REPAIR_CODES,
    walk=listing(REPAIR_CODES, "/api/v1/workshop/repair-codes.json", DATA, records_of=bare_list),
    every_s=DAY_S,
)

_REPAIR_OBJECTS_PATH = "/api/v1/workshop/repair-objects"

REPAIR_OBJECTS = Table(
    schema=SCHEMA,
    name="repair_objects",
    key=("object_id",),
    comment="Bikes and other objects of customers, as the workshop knows them; needs the scope resources",
    personal=(
        "customer_id",
        "license_plate",
        "frame_id",
        "chip_id",
        "key_id",
        "engine_id",
        "battery_id",
        "lock_id",
        "lease_fleet_customer_id",
        "lease_employer_customer_id",
        "lease_contract_number",
    ),
    refers={
        "customer_id": "customers",
        "lease_fleet_customer_id": "customers",
        "lease_employer_customer_id": "customers",
    },
    columns=(
        column("object_id", BIGINT, "Number of the object in the workshop; other numbers than stock_items.object_id"),
        column("customer_id", BIGINT, "The customer whose object it is"),
        column("object_barcode", TEXT, "Barcode of the object"),
        column("is_active", BOOLEAN, "False once the customer no longer owns it; it is not deleted then"),
        column("object_type_name", TEXT, "Kind of object in words"),
        column("category", TEXT, "Category in words"),
        column("brand", TEXT, "Brand, e.g. Gazelle"),
        column("model", TEXT, "Model"),
        column("model_year", TEXT, "Model year as typed"),
        column("color", TEXT, "Colour in words"),
        column("variant", TEXT, "Variant in words"),
        column("phone_number_id", TEXT, "Which number of the customer to call: customer_phone_numbers.phone_number_id"),
        column("license_plate", TEXT, "Licence plate"),
        column("km_mileage", TEXT, "Mileage in kilometres, as typed"),
        column("frame_id", TEXT, "Frame number"),
        column("chip_id", TEXT, "Number of the chip"),
        column("key_id", TEXT, "Number of the key"),
        column("engine_id", TEXT, "Number of the engine"),
        column("battery_id", TEXT, "Number of the battery"),
        column("lock_id", TEXT, "Number of the lock"),
        column("workshop_rate_id", BIGINT, "Rate by which its repairs are charged: enums, subject workshop_rates"),
        column("service_level_id", BIGINT, "Number of the service level"),
        column("images", JSON, "Pictures as sent"),
        column("lease_fleet_customer_id", BIGINT, "The lease company, as a customer; 0 if it is not leased"),
        column("lease_employer_customer_id", BIGINT, "The employer, as a customer; 0 if it is not leased"),
        column("lease_contract_number", TEXT, "Number of the lease contract"),
    ),
)


async def _confirm_repair_object(walk: Walk, key: tuple[Any, ...]) -> bytes:
    """Return one repair object as sent, asked for by its number."""
    answer = await walk.upstream.request("GET", f"{_REPAIR_OBJECTS_PATH}/{int(key[0])}.json")
    fields = envelope(answer)
    record = fields.get(DATA, answer.body if "object_id" in fields else b"")
    if Keys(REPAIR_OBJECTS).of(record) != key:
        raise BadPayload(f"asked for repair object {key[0]}, got another or none")
    return record


REPAIR_OBJECTS_STREAM = Stream(
    name="repair_objects",
    table=REPAIR_OBJECTS,
    walk=full_list(REPAIR_OBJECTS, f"{_REPAIR_OBJECTS_PATH}.json", "next_url", [("limit", str(ROWS_MAX))]),
    every_s=6 * HOUR_S,
    confirm=_confirm_repair_object,
    cost=Cost(page_rows=1_000),
)
