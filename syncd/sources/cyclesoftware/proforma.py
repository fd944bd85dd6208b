"""Pro-forma invoices: sales that are not booked yet."""

from syncd.contract import BIGINT, DATE, TIMESTAMP, Stream, Table, column
from syncd.contract.options import MINUTE_S
from syncd.sources.cyclesoftware.api import SCHEMA
from syncd.sources.cyclesoftware.paged_lists import full_list

PROFORMA_INVOICES = Table(
    schema=SCHEMA,
    name="proforma_invoices",
    key=("sales_transaction_number",),
    comment="Pro-forma invoices; one that was invoiced or dropped is gone; needs the scope sales-export",
    personal=("customer_id",),
    refers={"customer_id": "customers"},
    columns=(
        column("created_at", TIMESTAMP, "When it was created; sent in local time"),
        column("customer_id", BIGINT, "The customer; 0 for nobody known"),
        column("modified_at", TIMESTAMP, "When it was last modified; sent in local time"),
        column("sales_order_id", BIGINT, "The sales order; 0 or null if there is none", optional=True),
        column("sales_transaction_number", BIGINT, "Number of the transaction, which its invoice will bear too"),
        column("store_id", BIGINT, "Store within the account: the second part of stores.store_id"),
        column("total_amount_cents", BIGINT, "Amount in euro cents"),
        column("transaction_date", DATE, "Day of the transaction"),
        column("unpayed_amount_cents", BIGINT, "What is still to be paid, in euro cents; the vendor's spelling"),
    ),
)

PROFORMA_PATH = "/api/v1/invoices/proforma.json"

PROFORMA_INVOICES_STREAM = Stream(
    name="proforma_invoices",
    table=PROFORMA_INVOICES,
    walk=full_list(PROFORMA_INVOICES, PROFORMA_PATH),
    every_s=30 * MINUTE_S,
)
