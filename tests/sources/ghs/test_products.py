"""GHS' products: samples, odd values, and lookups by id, EAN code and search term."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from syncd.errors import BadRequest
from tests.support.bench import Bench, MakeBench
from tests.support.search import sampled
from tests.support.sources.ghs import assert_mirrors, parsed, synced, values

VENDORS_EXAMPLE_AT = datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC)  # 1400000000000 on its page

BEFORE_EPOCH = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)

UNSET = "/Date(-62135596800000)/"

PRODUCT: dict[str, Any] = {
    "id": "001200037",
    "articleDataId": "4711",
    "alfaCode": "BREM",
    "articleNo": "0 986 494 001",
    "name": "Remblokkenset",
    "commercialName": None,
    "description": "Vooras",
    "shortDescription": "Remblok",
    "longDescription": "<p>Remblok</p>",
    "brandName": "Brembo",
    "brandId": "065",
    "productGroup": "Remblokken",
    "productGroupId": "0402",
    "boschProductGroupId": "B12",
    "requiresLegitimation": False,
    "isGaik": True,
    "isNotRetourable": False,
    "isFGas": False,
    "canBackorder": True,
    "nettoPrice": 23.45,
    "brutoPrice": 38.5,
    "isLeadSurcharge": False,
    "leadSurcharge": 0,
    "isDisposalFee": True,
    "disposalFee": 0.15,
    "priceLabel": "per set",
    "unitsPerSale": 1,
    "quantityLinkedWarehouse": 2,
    "quantityAllWarehouses": 40,
    "depositFee": 12.0,
    "environmentalTax": 0.05,
    "removalFee": 1.1,
    "hasCharacteristic": True,
    "countryCode": "NL",
    "availableLinkedWarehouse": "/Date(1400000000000-0000)/",
    "availableNextRoute": False,
    "routeExpiryDate": "/Date(1436853600000-0000)/",
    "isNextRoute": False,
    "isVheckRoute": True,
    "isInPromotion": False,
    "isNettoPriceProvided": True,
    "isRouteInfoProvided": False,
    "isKnownProduct": True,
    "relevance": 0.875,
    "brandLabel": "A",
    "sortOrder": 3,
    "origins": ["TecDoc"],
    "hasSetParts": False,
    "isRentalProduct": False,
    "isLeisureProduct": False,
    "hasCompatibleCars": True,
    "hbase": None,
    "heijl": {"code": "7"},
    "tecDoc": {"articleId": 12},
    "aldoc": {"brandId": 3},
    "autoElectra": None,
}


def test_product_with_every_known_field() -> None:
    row = parsed("products", PRODUCT)
    assert row.extra is None
    assert not row.absent
    assert values("products", row) == {
        "id": "001200037",
        "article_data_id": "4711",
        "alfa_code": "BREM",
        "article_no": "0 986 494 001",
        "name": "Remblokkenset",
        "commercial_name": None,
        "description": "Vooras",
        "short_description": "Remblok",
        "long_description": "<p>Remblok</p>",
        "brand_name": "Brembo",
        "brand_id": "065",
        "product_group": "Remblokken",
        "product_group_id": "0402",
        "bosch_product_group_id": "B12",
        "requires_legitimation": False,
        "is_gaik": True,
        "is_not_retourable": False,
        "is_f_gas": False,
        "can_backorder": True,
        "netto_price": Decimal("23.45"),
        "bruto_price": Decimal("38.5"),
        "is_lead_surcharge": False,
        "lead_surcharge": Decimal(0),
        "is_disposal_fee": True,
        "disposal_fee": Decimal("0.15"),
        "price_label": "per set",
        "units_per_sale": Decimal(1),
        "quantity_linked_warehouse": Decimal(2),
        "quantity_all_warehouses": Decimal(40),
        "deposit_fee": Decimal(12),
        "environmental_tax": Decimal("0.05"),
        "removal_fee": Decimal("1.1"),
        "has_characteristic": True,
        "country_code": "NL",
        "available_linked_warehouse_at": VENDORS_EXAMPLE_AT,
        "available_linked_warehouse": None,
        "available_next_route_at": None,
        "available_next_route": False,  # as no document has it
        "route_expiry_date": datetime(2015, 7, 14, 6, 0, tzinfo=UTC),  # 08:00 in the vendor's example of routes
        "is_next_route": False,
        "is_vheck_route": True,
        "is_in_promotion": False,
        "is_netto_price_provided": True,
        "is_route_info_provided": False,
        "is_known_product": True,
        "relevance": Decimal("0.875"),
        "brand_label": "A",
        "sort_order": 3,
        "origins": '["TecDoc"]',
        "has_set_parts": False,
        "is_rental_product": False,
        "is_leisure_product": False,
        "has_compatible_cars": True,
        "hbase": None,
        "heijl": '{"code": "7"}',
        "tec_doc": '{"articleId": 12}',
        "aldoc": '{"brandId": 3}',
        "auto_electra": None,
    }


@pytest.mark.parametrize(
    ("field", "sent", "column", "expected", "kept"),
    [
        ("routeExpiryDate", UNSET, "route_expiry_date", None, True),
        ("routeExpiryDate", "/Date(1400000000000)/", "route_expiry_date", VENDORS_EXAMPLE_AT, False),
        ("routeExpiryDate", "/Date(0+0200)/", "route_expiry_date", datetime(1970, 1, 1, tzinfo=UTC), False),
        ("routeExpiryDate", "/Date(-1000)/", "route_expiry_date", BEFORE_EPOCH, False),
        ("routeExpiryDate", "/Date(99999999999999999)/", "route_expiry_date", None, True),
        ("nettoPrice", "NaN", "netto_price", None, True),
        ("nettoPrice", None, "netto_price", None, False),
        ("brandId", 65, "brand_id", "65", True),
        ("quantityLinkedWarehouse", 0.5, "quantity_linked_warehouse", Decimal("0.5"), False),
        ("isGaik", "NO", "is_gaik", False, True),
        ("availableNextRoute", UNSET, "available_next_route_at", None, True),
        ("availableNextRoute", UNSET, "available_next_route", None, True),
        ("availableNextRoute", "/Date(1400000000000-0000)/", "available_next_route_at", VENDORS_EXAMPLE_AT, False),
        ("availableNextRoute", True, "available_next_route", True, False),
        ("availableNextRoute", None, "available_next_route", None, False),
        ("origins", "array", "origins", '"array"', False),
        ("productKind", {"a": 1}, "name", "Remblokkenset", True),
    ],
)  # fmt: skip
def test_odd_value_of_a_product(field: str, sent: Any, column: str, expected: Any, kept: bool) -> None:
    row = parsed("products", {**PRODUCT, field: sent})
    assert values("products", row)[column] == expected
    assert (json.loads(row.extra or "{}").get(field) == sent and sent is not None) is kept


def found_by(bench: Bench, keys: Mapping[str, Sequence[str]] | None = None) -> list[dict[str, Any]]:
    """Return the products that the configured keys find, or those given."""
    keys = keys or bench.sandbox.lookups["products"]

    def fits(record: dict[str, Any]) -> bool:
        texts = [record[name] or "" for name in ("name", "articleNo", "brandName", "description", "id")]
        terms = [term.lower() for term in keys["search_terms"]]
        return (
            record["id"] in keys["ids"]
            or bool({*record["tecDoc"]["eanNumbers"]} & {*keys["ean_codes"]})
            or any(term in text.lower() for term in terms for text in texts)
        )

    return [record for record in bench.sandbox.truth("ghs", "products") if fits(record)]


async def test_products_by_id_ean_and_term(bench: Bench) -> None:
    await synced(bench, "products")
    await assert_mirrors(bench, "products", found_by(bench))
    queries = [entry.query for entry in bench.sandbox.requests if entry.stream == "products"]
    assert all(query["withoutRouteInfo"] == "true" for query in queries)
    assert {query["take"] for query in queries if "searchTerm" in query} == {"25"}


async def test_unknown_product_is_buried_by_its_id_only(bench: Bench) -> None:
    await synced(bench, "products")
    keys = bench.sandbox.lookups["products"]
    by_ean = next(
        record["id"]
        for record in bench.sandbox.truth("ghs", "products")
        if record["tecDoc"]["eanNumbers"][0] in keys["ean_codes"]
    )
    bench.sandbox.delete("ghs", "products", keys["ids"][0])
    bench.sandbox.delete("ghs", "products", by_ean)
    assert (await synced(bench, "products")).counts.deleted == 1
    [buried] = await bench.rows("ghs.products", "_deleted_at IS NOT NULL")
    assert buried["id"] == keys["ids"][0]


async def test_refused_keys_cost_no_other(make_bench: MakeBench) -> None:
    bench = await make_bench(products=600)
    lookup: Any = bench.config.sources["parts"].streams["products"].lookup
    lookup["ids"], lookup["ean_codes"] = lookup["ids"][:9], lookup["ean_codes"][:9]
    known = dict(lookup)
    lookup["ids"] = ("123", *lookup["ids"])
    lookup["search_terms"] = (*lookup["search_terms"], "e")
    result = await bench.sync("parts.products")
    assert isinstance(result.error, BadRequest)
    assert "2 of " in str(result.error)
    assert "9 characters" in result.error.hint
    await assert_mirrors(bench, "products", found_by(bench, known))
    lookup["ids"] = lookup["ids"][1:]
    result = await bench.sync("parts.products")
    assert result.error
    assert "refine the search term 'e'" in result.error.hint


@pytest.mark.parametrize(
    "fault", sampled(["expired-session-empty-list", "shuffled-order", "clamped-limit", "rotate-cookie"], every=2)
)
async def test_products_survive(bench: Bench, fault: str) -> None:
    bench.sandbox.faults.add(fault, api="ghs", stream="products", times=3)
    await bench.sync("parts.products")
    bench.sandbox.faults.clear()
    await synced(bench, "products")
    await assert_mirrors(bench, "products", found_by(bench))
