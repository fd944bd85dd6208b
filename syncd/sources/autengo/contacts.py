"""Contacts that the configuration names, asked for one by one."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any, Final
from urllib.parse import quote

from syncd.contract import (
    BIGINT,
    BOOLEAN,
    DATE,
    NUMERIC,
    TEXT,
    Page,
    Scope,
    Stream,
    Table,
    Walk,
    camel_column,
    column,
)
from syncd.contract.early import in_order
from syncd.contract.errors import BadRequest, NotFound
from syncd.contract.options import MINUTE_S
from syncd.records.readers import (
    envelope,
)
from syncd.sources.autengo.api import (
    SCHEMA,
    inner_object,
)

CONTACTS: Final = Table(
    schema=SCHEMA,
    name="contacts",
    key=("id",),
    comment="Contacts of the dealer that the configuration names (GET /contact/:id, /contact/tecfactura/:tecfacturaId)",
    person=True,
    personal=(
        "id",
        "title",
        "first_name",
        "last_name",
        "street_address",
        "zip_code",
        "city",
        "phone_number",
        "phone_number_mobile",
        "email",
        "fax_number",
        "website",
        "customer_rating",
        "date_of_birth",
        "license_plate",
        "facebook",
        "linkedin",
        "xing",
        "phone_number_business",
        "phone_number_business_mobile",
        "fax_number_business",
        "contact_person_business",
        "website_business",
        "email_business",
        "ust_id",
        "billing_street_address",
        "billing_zip_code",
        "billing_city",
        "title_or_degree",
        "position",
        "tax_id",
        "iban",
        "bic",
        "notes",
        "customer_number",
        "driver_license_number",
        "driver_license_issued_by",
        "driver_license_date_of_issue",
        "tecfactura_id",
    ),
    needed=("tecfactura_id",),
    columns=(
        camel_column("ID", BIGINT, "Autengo's id of the contact"),
        camel_column("title", TEXT, "Mr or Mrs"),
        camel_column("firstName", TEXT, "First name"),
        camel_column("lastName", TEXT, "Last name"),
        camel_column("streetAddress", TEXT, "Street and number"),
        camel_column("zipCode", TEXT, "Postal code, up to 16 signs; leading zeros count"),
        camel_column("city", TEXT, "Town"),
        camel_column("phoneNumber", TEXT, "Telephone"),
        camel_column("phoneNumberMobile", TEXT, "Mobile telephone"),
        camel_column("email", TEXT, "E-mail address"),
        camel_column("faxNumber", NUMERIC, "Fax; documented as a number, so leading zeros are lost upstream"),
        camel_column("website", TEXT, "Web site"),
        column("contact_source", TEXT, "walkIn, mail, platform, phone, offlineMarketing or onlineMarketing", "source"),
        camel_column("customerRating", NUMERIC, "The dealer's rating of the customer, 1 to 5"),
        camel_column("isPrivat", BOOLEAN, "Whether it is a private customer"),
        camel_column("isOptIn", BOOLEAN, "Whether marketing was agreed to"),
        camel_column("dateOfBirth", DATE, "Day of birth"),
        camel_column("licensePlate", TEXT, "License plate"),
        camel_column("facebook", TEXT, "Facebook profile"),
        camel_column("linkedin", TEXT, "LinkedIn profile"),
        camel_column("xing", TEXT, "Xing profile"),
        camel_column("keyAccount", TEXT, "Key account"),
        camel_column("phoneNumberBusiness", TEXT, "Telephone at work"),
        camel_column("phoneNumberBusinessMobile", TEXT, "Mobile telephone at work"),
        camel_column("faxNumberBusiness", TEXT, "Fax at work"),
        camel_column("contactPersonBusiness", TEXT, "Person to speak to at the company"),
        camel_column("websiteBusiness", TEXT, "Web site of the company"),
        camel_column("emailBusiness", TEXT, "E-mail address at work"),
        camel_column("ustId", TEXT, "VAT id (Umsatzsteuer-Identifikationsnummer)"),
        camel_column("billingStreetAddress", TEXT, "Billing address: street and number"),
        camel_column("billingZipCode", TEXT, "Billing address: postal code, up to 16 signs"),
        camel_column("billingCity", TEXT, "Billing address: town"),
        camel_column("titleOrDegree", TEXT, "Academic title, up to 64 signs"),
        camel_column("type", TEXT, "customer, supplier, partner or prospect"),
        camel_column("position", TEXT, "Position in the company, up to 64 signs"),
        camel_column("country", TEXT, "Country in words, up to 64 signs"),
        camel_column("billingCountry", TEXT, "Billing address: country in words, up to 64 signs"),
        camel_column("taxId", TEXT, "Tax number, up to 64 signs"),
        camel_column("iban", TEXT, "IBAN, up to 64 signs"),
        camel_column("bic", TEXT, "BIC, up to 64 signs"),
        camel_column("salesTaxRegulation", TEXT, "reverseCharge, taxless or withTax"),
        camel_column("notes", TEXT, "Notes of the dealer, up to 16 million signs"),
        camel_column("customerNumber", TEXT, "The dealer's customer number, up to 64 signs"),
        camel_column("driverLicenseNumber", TEXT, "Number of the driving licence, up to 100 signs"),
        camel_column("driverLicenseIssuedBy", TEXT, "Authority that issued the driving licence"),
        camel_column("driverLicenseDateOfIssue", DATE, "Day on which the driving licence was issued"),
        camel_column("tecfacturaId", TEXT, "Id of the contact in Tec Faktura"),
    ),
)


async def _ask_contact(walk: Walk, path: str, key: object) -> bytes:
    answer = await walk.upstream.request("GET", f"{path}/{quote(str(key), safe='')}")
    return inner_object(envelope(inner_object(envelope(answer), "data")), "contact")


async def _walk_contacts(walk: Walk) -> AsyncIterator[Page]:
    """Ask for each contact; keys that the upstream refuses are told of at the end, after all others were read.

    Ids come last: a contact that only lost its Tec Faktura id is raised again in the same pass. A pass that goes on
    where a killed run stopped is followed by a fresh one: what was asked for before may have changed since.
    """
    steps = sorted(((name, str(key)) for name, keys in walk.lookup.items() for key in set(keys)), reverse=True)
    done = ((walk.cursor or {}).get("pass") or {}).get("after")
    refused: dict[str, str] = {}
    rest = [step for step in steps if step < tuple(done)] if done else []
    async for step, (page, refusal) in in_order([*rest, *steps], partial(_contact_page, walk), walk.early):
        if refusal:
            refused[step[1]] = refusal
        yield replace(page, cursor={"pass": {"after": list(step)}}, total=len(steps))
    yield Page(records=[], cursor={}, requested_at=walk.now())
    if refused:
        told = f"{len(refused)} of {len(steps)} contacts were refused, the first: {next(iter(refused.values()))}"
        raise BadRequest(told, hint="Correct the ids in the configuration.")


async def _contact_page(walk: Walk, step: tuple[str, str]) -> tuple[Page, str | None]:
    """Ask for one contact; return its page, and why the upstream refused the key if it did."""
    (name, key), requested_at = step, walk.now()
    by_id = name == "ids"
    records: list[bytes] = []
    scope = refusal = None
    try:
        if by_id and not re.fullmatch(r"[0-9]{1,18}", key):
            raise BadRequest(f"{key!r} is no contact id: expected an integer")
        records = [await _ask_contact(walk, "/contact" if by_id else "/contact/tecfactura", key)]
    except NotFound:
        column_name, value = ("id", int(key)) if by_id else ("tecfactura_id", key)
        scope = Scope(column=column_name, values=(value,), guarded=False)
    except BadRequest as error:
        refusal = str(error)
    return Page(records=records, cursor=None, requested_at=requested_at, scope=scope), refusal


async def _confirm_contact(walk: Walk, key: tuple[Any, ...]) -> bytes:
    return await _ask_contact(walk, "/contact", key[0])


CONTACTS_STREAM: Final = Stream(
    name="contacts",
    table=CONTACTS,
    walk=_walk_contacts,
    every_s=15 * MINUTE_S,
    lookup=("ids", "tecfactura_ids"),
    confirm=_confirm_contact,
)
