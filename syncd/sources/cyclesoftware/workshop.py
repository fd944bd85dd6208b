"""The workshop: the codes of its repairs, with price and time."""

from syncd.contract import BIGINT, TEXT, Stream, Table, column
from syncd.contract.options import DAY_S
from syncd.sources.cyclesoftware.api import SCHEMA, listing
from syncd.sources.cyclesoftware.forms import DATA, bare_list

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
