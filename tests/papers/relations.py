"""What leads to what in the mirror: as papers tell it, and as a foreign key of whole keys would say it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from sqlalchemy import Table

from syncd.sources import registry
from syncd.storage.mirror.tables import metadata

# Which column leads to which table, as far as the vendors' pages or samples say so. Nothing is enforced: what an
# upstream sends may lead nowhere.
LEADS_TO = {
    "cyclesoftware.article_objects": {"object_id": "stock_items"},
    "cyclesoftware.article_suppliers": {"supplier_id": "suppliers"},
    "cyclesoftware.customer_phone_numbers": {"customer_id": "customers"},
    "cyclesoftware.insurances": {"customer_id": "customers", "stock_object_id": "stock_items"},
    "cyclesoftware.leads": {"customer_id": "customers", "store_id": "stores"},
    "cyclesoftware.packing_list_items": {
        "supplier_id": "suppliers",
        "employee_id": "employees",
        "stock_object_id": "stock_items",
    },
    "cyclesoftware.platform_keys": {"store_id": "stores"},
    "cyclesoftware.proforma_invoices": {"customer_id": "customers", "sales_order_id": "sales_orders"},
    "cyclesoftware.repair_objects": {"customer_id": "customers"},
    "cyclesoftware.rental_objects": {"stock_object_id": "stock_items"},
    "cyclesoftware.sales_orders": {
        "customer_id": "customers",
        "sales_employee_id": "employees",
        "last_update_employee_id": "employees",
    },
    "cyclesoftware.service_items": {"customer_id": "customers", "object_id": "repair_objects"},
    "cyclesoftware.warehouse_backlog_items": {"supplier_id": "suppliers"},
    "cyclesoftware.warehouse_delivered_items": {"supplier_id": "suppliers"},
    "cyclesoftware.warehouse_pos_items": {"warehouse_stock_item_id": "warehouse_stock_items"},
    "cyclesoftware.warehouse_assemblies": {
        "stock_item_id": "warehouse_stock_items",
        "outbound_order_item_id": "warehouse_open_order_items",
    },
    "cyclesoftware.comments": {"customer_id": "customers", "employee_id": "employees"},
    "cyclesoftware.supplier_orders": {"supplier_id": "suppliers"},
    "cyclesoftware.supplier_order_items": {"supplier_order_id": "supplier_orders"},
    "cyclesoftware.stock": {"store_id": "stores"},
    "cyclesoftware.stock_objects": {
        "stock_object_id": "stock_items",
        "customer_id": "customers",
        "sales_order_id": "sales_orders",
        "object_brand_id": "suppliers",
    },
    "cyclesoftware.stock_items": {"store_id": "stores", "sales_order_id": "sales_orders"},
    "cyclesoftware.trading_hours_employees": {"employee_id": "employees"},
    "cyclis.cyclists": {"company_id": "companies"},
    "cyclis.orders": {"cyclist_id": "cyclists", "company_id": "companies"},
    "autengo.models": {"make_id": "makes"},
    "autengo.vehicles": {"make_name": "makes", "model_name": "models"},
    "ghs.orders": {"items": "products"},
}


@dataclass(frozen=True, kw_only=True)
class Relation:
    """The columns of a table that name one row of another by its whole key. Tables are told as `schema.name`."""

    table: str
    columns: tuple[str, ...]
    to: str
    keys: tuple[str, ...]

    @property
    def named(self) -> str:
        """The column that makes the relation: the last one, which the others only narrow down."""
        return self.columns[-1]


@cache
def relations() -> tuple[Relation, ...]:
    """Return every relation that a foreign key could say: from rows to what they belong to, and what LEADS_TO names.

    What leads to a table by something other than its whole key is left out, such as a name or a number within JSON.
    """
    tables = metadata(registry().values(), history="history").tables
    found = dict.fromkeys([*_to_parents(), *_to_others(tables)])
    return tuple(sorted(found, key=lambda each: (each.table, each.columns)))


def _to_parents() -> Iterator[Relation]:
    for kind in registry().values():
        for stream in kind.streams:
            parent = f"{stream.table.schema}.{stream.table.name}"
            for child in stream.table.children:
                key = ("source", *stream.table.key)
                place = f"{child.table.schema}.{child.table.name}"
                yield Relation(table=place, columns=key, to=parent, keys=key)


def _to_others(tables: Mapping[str, Table]) -> Iterator[Relation]:
    for place, columns in LEADS_TO.items():
        schema = place.partition(".")[0]
        for column, name in columns.items():
            to = f"{schema}.{name}"
            keys = tuple(each.name for each in tables[to].primary_key)
            own = (*keys[:-1], column)
            if set(own) <= set(tables[place].columns.keys()) and all(
                str(tables[place].columns[mine].type) == str(tables[to].columns[theirs].type)
                for mine, theirs in zip(own, keys, strict=True)
            ):
                yield Relation(table=place, columns=own, to=to, keys=keys)
