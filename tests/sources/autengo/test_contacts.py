"""Autengo's contacts: the vendor's sample, and lookups by both ids."""

from datetime import date
from decimal import Decimal
from typing import Any

from syncd.errors import BadRequest
from tests.support.bench import Bench
from tests.support.sources.autengo import SAMPLES, assert_mirrors, parsed, synced, values

CONTACT: dict[str, Any] = {
    "id": 123,
    "title": "Mr",
    "first_name": "Max",
    "last_name": "Mustermann",
    "street_address": "123 Main St",
    "zip_code": "12345",
    "city": "Anytown",
    "phone_number": "555-1234",
    "phone_number_mobile": "555-5678",
    "email": "max.mustermann@example.org",
    "fax_number": Decimal(1234567),
    "website": "https://example.org",
    "contact_source": "walkIn",
    "customer_rating": Decimal(5),
    "is_privat": False,
    "is_opt_in": False,
    "date_of_birth": date(1990, 1, 1),
    "license_plate": "B-AB 1234",
    "facebook": "https://facebook.com/example",
    "linkedin": "https://linkedin.com/in/example",
    "xing": "https://xing.com/profile/example",
    "key_account": "Key Account A",
    "phone_number_business": "555-9999",
    "phone_number_business_mobile": "555-9998",
    "fax_number_business": "555-9997",
    "contact_person_business": "Jane Doe",
    "website_business": "https://business.example.org",
    "email_business": "business@example.org",
    "ust_id": "DE123456789",
    "billing_street_address": "456 Billing St",
    "billing_zip_code": "54321",
    "billing_city": "Billingtown",
    "title_or_degree": "Dr.",
    "type": "customer",
    "position": "Manager",
    "country": "Germany",
    "billing_country": "Germany",
    "tax_id": "DE123456789",
    "iban": "DE89370400440532013000",
    "bic": "COBADEFFXXX",
    "sales_tax_regulation": "withTax",
    "notes": "Important customer notes",
    "customer_number": "C-10001",
    "driver_license_number": "D1234567",
    "driver_license_issued_by": "Berlin",
    "driver_license_date_of_issue": date(2010, 5, 10),
    "tecfactura_id": "D123456789",
}


def test_contact_sample() -> None:
    row = parsed("contacts", SAMPLES["contacts"][0])
    assert values("contacts", row) == CONTACT
    assert row.extra is None


async def test_contacts_by_both_ids(bench: Bench) -> None:
    await synced(bench, "contacts")
    await assert_mirrors(bench, "contacts", bench.sandbox.truth("autengo", "contacts"))
    key = bench.sandbox.lookups["contacts"]["ids"][1]
    other = bench.sandbox.truth("autengo", "contacts")[-1]
    bench.sandbox.delete("autengo", "contacts", key)
    bench.sandbox.delete("autengo", "contacts", other["ID"])
    result = await synced(bench, "contacts")
    assert result.counts.deleted == 2
    await assert_mirrors(bench, "contacts", bench.sandbox.truth("autengo", "contacts"))


async def test_refused_contact_costs_no_other(bench: Bench) -> None:
    stream = bench.config.sources["cars"].streams["contacts"]
    assert isinstance(stream.lookup, dict)
    stream.lookup["ids"] = ("none", *stream.lookup["ids"])
    result = await bench.sync("cars.contacts")
    assert result.outcome == "failed"
    assert isinstance(result.error, BadRequest)
    assert "'none'" in str(result.error)
    await assert_mirrors(bench, "contacts", bench.sandbox.truth("autengo", "contacts"))
