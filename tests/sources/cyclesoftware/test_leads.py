"""CycleSoftware's leads: the vendor's sample, and lookups by UUID."""

import json
import uuid
from datetime import UTC, datetime

import pytest

from syncd.contract import Scope
from syncd.errors import ConfigError, NotFound
from tests.support.sources.cyclesoftware import LEAD, Script, pages_of, parsed, values, walk_of


def test_lead_sample() -> None:
    row = parsed("leads", LEAD)
    assert values("leads", row) == {
        "uuid": uuid.UUID("0c6b40a4-a217-11e8-92bb-005056a46320"),
        "store_id": "1-1",
        "type": "information",
        "status": "open",
        "title": "Kieskeurig: proefrit",
        "message": "Een potientiele klant wil een proefrit maken",
        "costs_ex_vat_cents": 1500,
        "options_test_ride_requested": False,
        "options_phone_call_requested": True,
        "options_finance_information_requested": False,
        "options_insurance_information_requested": True,
        "object_description": "Batavus Crescendo",
        "object_id": 12212,
        "object_article_number": "ART1",
        "object_barcode": "877474749349",
        "exchange_object_exchange_description": "",
        "exchange_object_exchange_remarks": "krasje",
        "customer_address_id": 91953,
        "customer_address_type": "delivery_address",
        "customer_id": 235240102,
        "customer_is_business_address": False,
        "customer_company_name": "",
        "customer_name": "Name 91953",
        "customer_street": "Slangenburg",
        "customer_house_number": "314",
        "customer_house_number_postfix": "",
        "customer_postal_code": "7423ZR",
        "customer_city": "Deventer",
        "customer_country_code": "NL",
        "customer_phone_number": "06 38668303",
        "customer_email": "email91953@example.nl",
        "customer_notes": "",
        "created_at": datetime(2020, 4, 14, 4, 33, 26, tzinfo=UTC),
        "modified_at": datetime(2020, 4, 14, 4, 33, 26, tzinfo=UTC),
    }
    assert row.extra is None
    assert not row.notes


async def test_leads() -> None:
    known, gone = uuid.UUID("0c6b40a4-a217-11e8-92bb-005056a46320"), uuid.uuid4()
    script = Script(
        [{"error": False, "sales_lead": json.loads(LEAD)}, NotFound("404"), {"sales_lead": json.loads(LEAD)}]
    )
    other = uuid.uuid4()
    pages = await pages_of("leads", walk_of(script, lookup={"uuids": [str(known).upper(), str(gone), str(other)]}))
    assert [asked[1] for asked in script.asked] == [f"/api/v1/leads/{key}.json" for key in (known, gone, other)]
    assert [page.scope for page in pages] == [
        Scope(column="uuid", values=(known,), guarded=False),
        Scope(column="uuid", values=(gone,), guarded=False),
        None,  # it came back with another uuid: proves nothing about the one asked for
    ]
    assert [len(page.records) for page in pages] == [1, 0, 1]


async def test_invalid_uuid_is_named_before_anything_is_asked() -> None:
    script = Script([])
    with pytest.raises(ConfigError, match="not-a-uuid"):
        await pages_of("leads", walk_of(script, lookup={"uuids": [str(uuid.uuid4()), "not-a-uuid"]}))
    assert not script.asked
