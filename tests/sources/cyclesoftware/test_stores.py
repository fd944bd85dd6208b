"""CycleSoftware's stores and platform keys: the vendor's samples."""

import hashlib
import json
from decimal import Decimal

from syncd.records.parser import Parser
from syncd.records.rows import Reject
from tests.support.sources.cyclesoftware import (
    STORE,
    ZONE,
    parsed,
    table,
    values,
)

KEY_TEXT = "Ls6m1ZOgt5JbClmZZHAr8GNhk1qL4Dx0SB7hyyWf"  # the vendor's sample, good for nothing

PLATFORM_KEY = f"""{{
    "key": "{KEY_TEXT}", "is_active": true,
    "store": {{
        "store_id": "1-3", "store_gln": "", "store_name": "CycleSoftware", "store_address": "Kievitsven 22Z",
        "store_postal_code": "5249JJ", "store_city": "Rosmalen", "store_country_code": "NL",
        "store_phone_number": "073 303 0050", "store_email": "email1@example.nl", "store_coordinates": [0, 0],
        "store_meta_data": {{"drg_dealer_number": "999"}}
    }}
}}"""


def test_store_sample() -> None:
    row = parsed("stores", STORE)
    assert values("stores", row) == {
        "store_id": "5185-1",
        "store_gln": "8718288145482",
        "store_name": "CS-Unit test",
        "store_address": "Kievitsven 22",
        "store_postal_code": "5249JJ",
        "store_phone_number": "",
        "store_country_code": "NL",
        "store_email": "email5185@example.nl",
        "store_latitude": Decimal("51.7261667"),
        "store_longitude": Decimal("5.3978953"),
    }
    assert row.extra is None
    assert not row.notes


def test_platform_key_sample_holds_a_digest_only() -> None:
    row = parsed("platform_keys", PLATFORM_KEY)
    assert values("platform_keys", row) == {
        "key_sha256": hashlib.sha256(KEY_TEXT.encode()).hexdigest(),
        "is_active": True,
        "store_id": "1-3",
        "store_gln": "",
        "store_name": "CycleSoftware",
        "store_address": "Kievitsven 22Z",
        "store_postal_code": "5249JJ",
        "store_city": "Rosmalen",
        "store_country_code": "NL",
        "store_phone_number": "073 303 0050",
        "store_email": "email1@example.nl",
        "store_latitude": Decimal(0),
        "store_longitude": Decimal(0),
        "store_meta_data_drg_dealer_number": "999",
    }
    assert row.extra is None
    assert not row.notes


def test_record_without_a_key_is_turned_away_without_its_secret() -> None:
    record = json.loads(PLATFORM_KEY)
    found = Parser(table("platform_keys"), ZONE).parse(json.dumps({**record, "key": None}).encode())
    assert isinstance(found, Reject)
    assert KEY_TEXT not in found.record
