"""Autengo (used cars, API 3.0.0): its tables, its token, and how its lists are walked.

Owns every fact about this API; what each rule rests on stands in docs/sources/autengo.md. Only reads: the contact and
opportunity endpoints that write are never called.

Vehicles are walked by value: each request asks for what is not older than the last row of the answer before. So a row
that moves while the list is walked can only move to where the walk has not been yet, and ties at the edge of a page are
read again. Whatever speaks against the order or the filter makes the pass go on by offset, from where that is safe.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, cast
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from syncd.config import OptionSpec, Secret
from syncd.contract import (
    ALIVE,
    Answer,
    Column,
    Cursor,
    Index,
    Kind,
    Page,
    Scope,
    Send,
    Source,
    Stream,
    Table,
    Walk,
    snake,
)
from syncd.contract.paging import Resume, Slice, walk_offsets
from syncd.errors import BadCredentials, BadPayload, BadRequest, NotFound, Throttled, UpstreamError
from syncd.records.parser import column, elements, envelope, scalar
from syncd.records.values import earliest_reading, latest_reading

RENEW_AT: Final = 0.9  # of a token's life; our choice
TOKEN_LIFE_S: Final = 3600.0  # where expires_in cannot be read; the sample says 86400, a 401 corrects either
SHORTEST_LIFE_S: Final = 60.0  # an expires_in below this would make every request log in first
FAULT_CHARS: Final = 200  # source.py: longest fault text
FAULT_BYTES: Final = 10_000  # a larger member is a list, not a text to be read for faults
LOGIN_HINT: Final = "Check api_key, dealer_alzura_id and user_alzura_id in the configuration."
STALE: Final = timedelta(hours=1)  # after this an interrupted listing starts again; our choice
FOLD: Final = timedelta(hours=1)  # local times run back by this on the autumn night without any disorder
TEXT, BIGINT, NUMERIC, BOOLEAN, DATE = Kind.TEXT, Kind.BIGINT, Kind.NUMERIC, Kind.BOOLEAN, Kind.DATE
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d")
_PER_100_KM = "; unit not documented, by its values"


# --- Tables -----------------------------------------------------------------------------------------------------------


def _field(name: str, kind: Kind, comment: str) -> Column:
    return column(snake(name), kind, comment, name)


def _choice(name: str, kind: Kind, comment: str) -> tuple[Column, Column]:
    """Make the two columns of a `{key, text}` value."""
    wording = f"Text of {snake(name)} in the language that the source's option `language` asks for"
    return column(snake(name), kind, comment, name, "key"), column(f"{snake(name)}_text", TEXT, wording, name, "text")


VEHICLES: Final = Table(
    schema="autengo",
    name="vehicles",
    key=("selling_id",),
    comment="Vehicles of the dealer's stock, incoming and sold ones included (GET /vehicle)",
    personal=("vin",),
    columns=(
        _field("sellingId", TEXT, "Autengo's id of the vehicle, e.g. AIQWXW"),
        _field("internalId", TEXT, "The dealer's own id of the vehicle"),
        _field("branchId", BIGINT, "Id of the branch to which the vehicle belongs"),
        _field("makeName", TEXT, "Make, in words; the list gives no make id (see autengo.makes)"),
        _field("modelName", TEXT, "Model, in words"),
        _field("modelVersion", TEXT, "Version of the model, e.g. GTI 1.6"),
        _field(
            "sourceType", TEXT, "Where it came from: repurchased, trade-in, factoryCar, leasingReturn; not translated"
        ),
        *_choice("vehicleState", TEXT, "Where it is in the trade: incoming, inventory or sold"),
        _field("description", TEXT, "Free text of the dealer; may hold HTML"),
        _field("firstRegistration", DATE, "Day of the first registration"),
        _field("kilometers", NUMERIC, "Mileage in kilometres"),
        *_choice("vehicleTypeId", BIGINT, "Body type, a number of 1 to 10 (6: saloon)"),
        *_choice(
            "climatisationType", TEXT, "none, airConditioning, automaticClimateControl, …Control2, …3 or …4 (zones)"
        ),
        *_choice("conditionType", TEXT, "new, used, employeesCar, classic, demonstration or dayRegistration"),
        _field("vin", TEXT, "Vehicle identification number"),
        _field("powerKw", NUMERIC, "Power in kW"),
        _field("cubicCapacity", NUMERIC, "Displacement in cm³"),
        _field("doorCount", NUMERIC, "Number of doors"),
        _field("seatCount", NUMERIC, "Number of seats"),
        *_choice("pollutionBadge", NUMERIC, "German emission badge, a number of 1 to 5 (4: green)"),
        *_choice("emissionClass", NUMERIC, "Emission class, a number of 1 to 10 (9: Euro 6d-Temp)"),
        *_choice("colorId", BIGINT, "Colour, a number of 1 to 14 (7: blue)"),
        _field("manufacturerColorName", TEXT, "The manufacturer's name of the colour"),
        _field("isMetallicColor", BOOLEAN, "Whether the paint is metallic"),
        *_choice("airbagType", TEXT, "driverAirbag, frontAirbag, driverSideAirbag or driverSideOtherAirbag"),
        *_choice("interiorType", TEXT, "alcantara, cloth, fullLeather, partialLeather, velour or other"),
        *_choice("interiorColorId", BIGINT, "Colour of the interior, a number of 1 to 14 (3: beige)"),
        *_choice(
            "fuelType",
            TEXT,
            "cng, diesel, electric, electricDiesel, electricGasoline, ethanol, gasoline, hydrogen or lpg",
        ),
        *_choice(
            "fuelDetailType", TEXT, "Fuel in detail, e.g. super95, superE1095, biodiesel, cngH, ethanol85, electric"
        ),
        *_choice("transmissionType", TEXT, "automatic, manual or semiAutomatic"),
        _field("isDamaged", BOOLEAN, "Whether it is damaged now"),
        _field("hadAccidentDamage", BOOLEAN, "Whether it ever had accident damage"),
        _field("isDrivable", BOOLEAN, "Whether it can be driven"),
        _field("nextInspection", TEXT, "When the next inspection is due, as sent; usually a month such as 2017-05"),
        _field("isInspectionNew", BOOLEAN, "Whether it is sold with a new inspection"),
        _field("lastService", TEXT, "When it was last serviced, as sent; documented as text, usually a day"),
        _field("hasFullServiceHistory", BOOLEAN, "Whether the service history is complete"),
        *_choice("tyreType", TEXT, "summerTyres, winterTyres or allSeasonTyres"),
        _field("tyreBrand", TEXT, "Make of the tyres"),
        _field("tyreTreadL", TEXT, "Tread left front (presumably mm); documented as text, a number also comes"),
        _field("tyreTreadR", TEXT, "Tread right front (presumably mm); documented as text, a number also comes"),
        _field("tyreTreadBL", TEXT, "Tread left back (presumably mm); documented as text, a number also comes"),
        _field("tyreTreadBR", TEXT, "Tread right back (presumably mm); documented as text, a number also comes"),
        _field("warrantyExpiry", DATE, "Last day of the warranty"),
        _field("tsn", TEXT, "Type code of the German registration (Typschlüsselnummer)"),
        _field(
            "hsn", NUMERIC, "Maker code of the German registration (Herstellerschlüsselnummer), without leading zeros"
        ),
        _field("gears", NUMERIC, "Number of gears"),
        _field("cylinders", NUMERIC, "Number of cylinders"),
        _field("countryId", TEXT, "Country version, e.g. DE"),
        _field("deliveryDate", TEXT, "When it can be delivered, as sent; documented as text, usually a day"),
        _field("deliveryPeriod", TEXT, "Time of delivery, as sent; the vendor's page gives no meaning (sample: TODO)"),
        _field("isNonSmoker", BOOLEAN, "Whether nobody smoked in it"),
        _field("particulateFilter", BOOLEAN, "Whether it has a particulate filter"),
        _field("isBioDieselSuitable", BOOLEAN, "Whether it runs on biodiesel"),
        _field("isVegetableOilSuitable", BOOLEAN, "Whether it runs on vegetable oil"),
        _field("isPluginHybrid", BOOLEAN, "Whether it is a plug-in hybrid"),
        _field("isE10Enabled", BOOLEAN, "Whether it runs on petrol with 10 % of ethanol"),
        _field("weight", NUMERIC, "Weight, presumably in kg"),
        _field("hasSparewheel", BOOLEAN, "Whether it has a spare wheel"),
        *_choice("driveType", TEXT, "Driven axle: front, rear, all or other"),
        _field("created", Kind.TIMESTAMP, "When it was added; sent without a zone, read in the source's zone"),
        _field("updated", Kind.TIMESTAMP, "When it was last changed; sent without a zone, read in the source's zone"),
        _field("previousOwnerCount", NUMERIC, "Number of owners before"),
        _field("isWarrantyGranted", BOOLEAN, "Whether the dealer gives a warranty"),
        _field("isNetPrice", BOOLEAN, 'Whether the price is net of tax; "NO" also comes and is kept in _extra'),
        _field("isPriceNegotiable", BOOLEAN, 'Whether the price is negotiable; "NO" also comes and is kept in _extra'),
        _field("dealerPrice", NUMERIC, "Price for dealers, in euro"),
        _field("equipment", Kind.JSON, "Equipment, as sent; documented as an array without elements"),
        _field("damages", Kind.JSON, "Damages, as sent; documented as an array without elements"),
        _field("documents", Kind.JSON, "Documents, as sent; documented as an array without elements"),
        _field("ads", Kind.JSON, "Where it is advertised, as sent; documented as an array without elements"),
        _field("priceExport", NUMERIC, "Export price, in euro"),
        _field("recommendedRetailPrice", NUMERIC, "Recommended retail price, in euro"),
        _field("priceYard", NUMERIC, "Price on the yard, in euro"),
        _field("priceOverpass", NUMERIC, "Transfer price, in euro"),
        *_choice("slidingDoor", TEXT, "slidingDoorRight, slidingDoorLeft or slidingDoorBoth"),
        _field("emissionsCombinedCo2Class", TEXT, "CO₂ class, combined: A to G"),
        _field("emissionsDischargedCo2Class", TEXT, "CO₂ class with the battery discharged: A to G"),
        _field("co2EmissionCombined", NUMERIC, "CO₂ in g/km, combined" + _PER_100_KM),
        _field("consumptionFuelCombined", NUMERIC, "Fuel in l/100 km, combined" + _PER_100_KM),
        _field("consumptionFuelCity", NUMERIC, "Fuel in l/100 km, in town" + _PER_100_KM),
        _field("consumptionFuelSuburban", NUMERIC, "Fuel in l/100 km, at the edge of town" + _PER_100_KM),
        _field("consumptionFuelRural", NUMERIC, "Fuel in l/100 km, on country roads" + _PER_100_KM),
        _field("consumptionFuelHighway", NUMERIC, "Fuel in l/100 km, on motorways" + _PER_100_KM),
        _field("consumptionPowerCombined", NUMERIC, "Power in kWh/100 km, combined" + _PER_100_KM),
        _field("co2EmissionCombinedWeighted", NUMERIC, "CO₂ in g/km, weighted (plug-in hybrids)" + _PER_100_KM),
        _field(
            "consumptionFuelCombinedWeighted", NUMERIC, "Fuel in l/100 km, weighted (plug-in hybrids)" + _PER_100_KM
        ),
        _field(
            "consumptionPowerCombinedWeighted", NUMERIC, "Power in kWh/100 km, weighted (plug-in hybrids)" + _PER_100_KM
        ),
        _field("co2EmissionsDischarged", NUMERIC, "CO₂ in g/km with the battery discharged" + _PER_100_KM),
        _field("consumptionPowerCity", NUMERIC, "Power in kWh/100 km, in town" + _PER_100_KM),
        _field("consumptionPowerSuburban", NUMERIC, "Power in kWh/100 km, at the edge of town" + _PER_100_KM),
        _field("consumptionPowerRural", NUMERIC, "Power in kWh/100 km, on country roads" + _PER_100_KM),
        _field("consumptionPowerHighway", NUMERIC, "Power in kWh/100 km, on motorways" + _PER_100_KM),
        _field("electricRangePluginHybrid", NUMERIC, "Electric range of a plug-in hybrid, presumably in km"),
        _field("energieCostFuelPrice", NUMERIC, "Fuel price that the energy costs are reckoned with, presumably EUR/l"),
        _field(
            "energieCostPowerPrice", NUMERIC, "Power price that the energy costs are reckoned with, presumably EUR/kWh"
        ),
        _field(
            "energieCostConsumptionPriceYear", NUMERIC, "Year whose mean energy prices are used; the sample says 1500"
        ),
        _field("energieCostTax", NUMERIC, "Vehicle tax, presumably EUR a year"),
        _field("energieCostConsumptionCosts", NUMERIC, "Energy costs at 15,000 km a year, presumably EUR"),
        _field("energieCostCo2CostsLow", NUMERIC, "CO₂ costs over 10 years at a low CO₂ price, presumably EUR"),
        _field("energieCostCo2CostsHigh", NUMERIC, "CO₂ costs over 10 years at a high CO₂ price, presumably EUR"),
        _field("energieCostCo2CostsMiddle", NUMERIC, "CO₂ costs over 10 years at a middle CO₂ price, presumably EUR"),
    ),
    indexes=(
        Index(
            name="vehicles_at_hand", on=("created",), where=f"{ALIVE} AND vehicle_state IN ('incoming', 'inventory')"
        ),
    ),
)

MAKES: Final = Table(
    schema="autengo",
    name="makes",
    key=("make_id",),
    comment="Reference list of the makes (GET /vehicle/reference/make)",
    columns=(
        _field("makeId", BIGINT, "Autengo's id of the make"),
        _field("makeName", TEXT, "Name of the make, e.g. Audi"),
    ),
)

MODELS: Final = Table(
    schema="autengo",
    name="models",
    key=("make_id", "model_id"),
    comment="Reference list of the models of each make (GET /vehicle/reference/make/:makeId/model)",
    columns=(
        _field("makeId", BIGINT, "Id of the make; taken from the request, the answer does not repeat it"),
        _field("modelId", BIGINT, "Autengo's id of the model"),
        _field("modelName", TEXT, "Name of the model, e.g. A4"),
    ),
)

CONTACTS: Final = Table(
    schema="autengo",
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
        _field("ID", BIGINT, "Autengo's id of the contact"),
        _field("title", TEXT, "Mr or Mrs"),
        _field("firstName", TEXT, "First name"),
        _field("lastName", TEXT, "Last name"),
        _field("streetAddress", TEXT, "Street and number"),
        _field("zipCode", TEXT, "Postal code, up to 16 signs; leading zeros count"),
        _field("city", TEXT, "Town"),
        _field("phoneNumber", TEXT, "Telephone"),
        _field("phoneNumberMobile", TEXT, "Mobile telephone"),
        _field("email", TEXT, "E-mail address"),
        _field("faxNumber", NUMERIC, "Fax; documented as a number, so leading zeros are lost upstream"),
        _field("website", TEXT, "Web site"),
        column("contact_source", TEXT, "walkIn, mail, platform, phone, offlineMarketing or onlineMarketing", "source"),
        _field("customerRating", NUMERIC, "The dealer's rating of the customer, 1 to 5"),
        _field("isPrivat", BOOLEAN, "Whether it is a private customer"),
        _field("isOptIn", BOOLEAN, "Whether marketing was agreed to"),
        _field("dateOfBirth", DATE, "Day of birth"),
        _field("licensePlate", TEXT, "License plate"),
        _field("facebook", TEXT, "Facebook profile"),
        _field("linkedin", TEXT, "LinkedIn profile"),
        _field("xing", TEXT, "Xing profile"),
        _field("keyAccount", TEXT, "Key account"),
        _field("phoneNumberBusiness", TEXT, "Telephone at work"),
        _field("phoneNumberBusinessMobile", TEXT, "Mobile telephone at work"),
        _field("faxNumberBusiness", TEXT, "Fax at work"),
        _field("contactPersonBusiness", TEXT, "Person to speak to at the company"),
        _field("websiteBusiness", TEXT, "Web site of the company"),
        _field("emailBusiness", TEXT, "E-mail address at work"),
        _field("ustId", TEXT, "VAT id (Umsatzsteuer-Identifikationsnummer)"),
        _field("billingStreetAddress", TEXT, "Billing address: street and number"),
        _field("billingZipCode", TEXT, "Billing address: postal code, up to 16 signs"),
        _field("billingCity", TEXT, "Billing address: town"),
        _field("titleOrDegree", TEXT, "Academic title, up to 64 signs"),
        _field("type", TEXT, "customer, supplier, partner or prospect"),
        _field("position", TEXT, "Position in the company, up to 64 signs"),
        _field("country", TEXT, "Country in words, up to 64 signs"),
        _field("billingCountry", TEXT, "Billing address: country in words, up to 64 signs"),
        _field("taxId", TEXT, "Tax number, up to 64 signs"),
        _field("iban", TEXT, "IBAN, up to 64 signs"),
        _field("bic", TEXT, "BIC, up to 64 signs"),
        _field("salesTaxRegulation", TEXT, "reverseCharge, taxless or withTax"),
        _field("notes", TEXT, "Notes of the dealer, up to 16 million signs"),
        _field("customerNumber", TEXT, "The dealer's customer number, up to 64 signs"),
        _field("driverLicenseNumber", TEXT, "Number of the driving licence, up to 100 signs"),
        _field("driverLicenseIssuedBy", TEXT, "Authority that issued the driving licence"),
        _field("driverLicenseDateOfIssue", DATE, "Day on which the driving licence was issued"),
        _field("tecfacturaId", TEXT, "Id of the contact in Tec Faktura"),
    ),
)


# --- Login and faults -------------------------------------------------------------------------------------------------


class _Token:
    """Signs requests with the API key and a token; renews the token before it expires."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._api_key: Secret = options["api_key"]
        self._ids = {"dealerAlzuraId": options["dealer_alzura_id"], "userAlzuraId": options["user_alzura_id"]}
        self._header, _, self._scheme = str(options["token_header"]).partition(": ")
        self._token: str | None = None
        self._renew_at = self._expires_at = datetime.min.replace(tzinfo=UTC)

    def headers(self) -> Mapping[str, str]:
        """Return the key, and the token if there is one."""
        signed = {"X-Api-Key": self._api_key.reveal()}
        return signed | {self._header: f"{self._scheme} {self._token}"} if self._token else signed

    def due(self, now: datetime) -> bool:
        """Say whether there is no token, or one near its end."""
        return self._token is None or now >= self._renew_at

    async def login(self, send: Send, now: datetime) -> None:
        """Renew the token; where that fails, or there is none, ask for a new one."""
        if self._token and now < self._expires_at:
            try:
                self._take(await send("GET", "/auth/refresh", headers=self.headers()), now)
                return
            except Throttled:
                raise
            except UpstreamError:
                pass
        self._token = None
        try:
            self._take(await send("POST", "/auth/token", headers=self.headers(), json=self._ids), now)
        except BadPayload as error:
            if error.status != 200:
                raise
            raise BadCredentials(str(error), hint=LOGIN_HINT, status=200) from None

    def refused(self) -> bool:
        """Forget the token; a new one may help."""
        self._token = None
        return True

    def received(self, answer: Answer, cookies: Mapping[str, str], now: datetime) -> None:
        """Do nothing: answers carry nothing for the token."""

    def _take(self, answer: Answer, now: datetime) -> None:
        members = envelope(answer.body)
        token = scalar(members.get("token"))
        if (fault := fault_of(answer)) or not (isinstance(token, str) and token):
            told = fault or "the answer has no `token`"
            raise BadCredentials(f"the login gave no token: {told}", hint=LOGIN_HINT, status=answer.status)
        try:
            life = timedelta(seconds=max(float(scalar(members.get("expires_in"))), SHORTEST_LIFE_S))
            self._renew_at, self._expires_at = now + life * RENEW_AT, now + life
        except (TypeError, ValueError, OverflowError):
            life = timedelta(seconds=TOKEN_LIFE_S)
            self._renew_at, self._expires_at = now + life * RENEW_AT, now + life
        self._token = token


def fault_of(answer: Answer) -> str | None:
    """Read `message`, `error` or `statusText`; inside a 200 only if `status` or `error` tells of an error."""
    try:
        members = {name: scalar(raw) for name, raw in envelope(answer.body).items() if len(raw) < FAULT_BYTES}
    except BadPayload:
        return None
    error = members.get("error")
    told = error not in (None, False, "", {}, []) or str(members.get("status")).lower() in ("error", "fail", "failed")
    if answer.status < 300 and not told:
        return None
    inner = error if isinstance(error, dict) else {}
    texts = (members.get("message"), inner.get("message"), error, members.get("statusText"), members.get("status"))
    return next((text[:FAULT_CHARS] for text in texts if isinstance(text, str) and text), "error" if told else None)


# --- Lists ------------------------------------------------------------------------------------------------------------


def _peek(record: bytes, *names: str) -> list[Any]:
    """Read a few small fields of a record; None for what is missing, or if the record is no object."""
    try:
        members = envelope(record)
    except BadPayload:
        return [None] * len(names)
    return [scalar(members.get(name)) for name in names]


def _whole(raw: bytes | None) -> int | None:
    """Read a count of an envelope, sent as a number or as digits."""
    value = scalar(raw)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


async def _slice(
    walk: Walk, path: str, params: Sequence[tuple[str, str]], key: str, *, asked: int, position: int, limit: int | None
) -> Slice:
    """Ask for one slice of a list; rows not met before begin at `position`, which may be one after `asked`.

    The list ends where `total` says so, if the page is not full as well; with no rows at the position it ends in doubt
    if `total` promises more. Without a `limit` (a list that documents no paging) `total` alone counts. An empty list is
    asked for twice before it is believed, because an expired session may answer so.
    """
    for _ in range(2):
        answer = await walk.upstream.request("GET", path, params=params)
        members = envelope(answer.body)
        if records := elements(members.get("list"), "list"):
            break
    total, echoed, clamped = (_whole(members.get(name)) for name in ("total", "offset", "limit"))
    if echoed != asked and (limit is not None or echoed is not None):
        raise BadPayload(f"asked for offset {asked}, the answer is for offset {echoed}: is the offset ignored?")
    following: int | None = asked + len(records)
    promised, doubt = (total or 0) > asked + len(records), None
    if not records or (asked == position - 1 and following == position):
        doubt = f"the list ends after {position} rows, its total says {total}" if (total or 0) > position else None
        following = None
    elif not promised and (limit is None or (total is not None and len(records) < min(limit, clamped or limit))):
        following = None
    found = [_peek(record, key)[0] for record in records]
    keys = [value if isinstance(value, (str, int)) and value != "" else None for value in found]
    return Slice(records=records, keys=keys, next_offset=following, answer=answer, total=total, doubt=doubt)


async def _reference(walk: Walk, path: str, key: str) -> tuple[list[bytes], datetime, str | None]:
    """Fetch a whole reference list: its records, when it was asked for, and why it may be incomplete.

    No paging is documented; if `total` says that there is more, the rest is asked for by offset.
    """
    records: list[bytes] = []
    known: set[Hashable] = set()
    position, doubt, started_at = 0, None, walk.now()

    async def fetch(offset: int) -> Slice:
        params = (("offset", str(offset)), ("limit", str(walk.options["limit"]))) if offset else ()
        piece = await _slice(walk, path, params, key, asked=offset, position=position, limit=None)
        if offset and piece.records and known.issuperset(piece.keys):
            told = f"the list ends after {position} rows, its total says {piece.total}"
            return replace(piece, next_offset=None, doubt=told)
        return piece

    async for piece, after in walk_offsets(fetch):
        records.extend(piece.records)
        known.update(piece.keys)
        position, doubt = after.offset if after else position, piece.doubt
    return records, started_at, doubt


# --- Vehicles ---------------------------------------------------------------------------------------------------------


def _moment(value: Any) -> datetime | None:
    """Read an upstream time as the naive moment by which the list is ordered; None for what is no time."""
    if not (isinstance(value, str) and _TIME.match(value)):
        return None
    try:
        return datetime.fromisoformat(value[:19])
    except ValueError:
        return None


def _bounds(walk: Walk, cursor: Cursor) -> tuple[str | None, str | None]:
    """Return the first and last `updated` of a pass as filter values; right whichever zone the filter is read in.

    A live pass starts from the watermark or the newest `updated` ever seen, whichever is earlier, less the overlap.
    """
    zone = ZoneInfo(walk.options["zone"])
    if walk.kind == "backfill":
        first = earliest_reading(walk.since, zone) if walk.since else None
        last = latest_reading(walk.until, zone) if walk.until else None
        return _written(first), _written(last)
    if walk.kind == "sweep" or not cursor.get("since"):
        return None, None
    since, newest = earliest_reading(datetime.fromisoformat(cursor["since"]), zone), _moment(cursor.get("last_updated"))
    return _written(min(since, newest or since) - timedelta(seconds=walk.options["overlap"])), None


def _written(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else None


def _is_stale(walk: Walk, stored: Mapping[str, Any] | None) -> bool:
    """Say whether an unfinished listing is too old to go on: what was deleted behind it would stay alive."""
    return stored is not None and walk.now() - datetime.fromisoformat(stored["started_at"]) > STALE


@dataclass(kw_only=True)
class _Pass:
    """One pass through the vehicles: where it stands and what it has seen.

    value, resume   the lower bound of the requests now (None: no filter), and the place in the list that it gives
    came_from       value and resume before the last step by value, until that step has proved sound
    anchors         keys that the answer after a step by value must hold again
    plain           True once the pass walks from its start again, by offset only
    seen            identities of the rows met; None in a resumed pass, which cannot tell
    """

    walk: Walk
    order: str
    start: str | None
    end: str | None
    value: str | None
    resume: Resume | None = None
    came_from: tuple[str | None, Resume] | None = None
    anchors: frozenset[Hashable] = frozenset()
    by_value: bool = True
    plain: bool = False
    doubt: str | None = None
    started_at: datetime | None = None
    last_updated: str | None = None
    starts_over: bool = False
    expected: int | None = None
    seen: set[Hashable] | None = field(default_factory=set)

    @staticmethod
    def of(walk: Walk) -> "_Pass":
        """Begin a pass, or take up the one that the cursor holds."""
        cursor, order = walk.cursor or {}, "created" if walk.kind == "sweep" else "updated"
        stored = cursor.get("pass")
        stale = walk.kind == "sweep" and _is_stale(walk, stored)
        if stored and not stale:
            plain = {
                name: stored[name] for name in ("start", "end", "value", "by_value", "plain", "doubt", "last_updated")
            }
            begun_at = datetime.fromisoformat(stored["started_at"])
            return _Pass(
                walk=walk, order=order, resume=Resume.from_json(stored), started_at=begun_at, seen=None, **plain
            )
        start, end = _bounds(walk, cursor)
        last_updated = cursor.get("last_updated")
        return _Pass(
            walk=walk,
            order=order,
            start=start,
            end=end,
            value=start,
            last_updated=last_updated,
            starts_over=stale,
        )

    async def pages(self) -> AsyncIterator[Page]:
        """Walk to the end: an inner walk goes by offset within one lower bound, a step by value begins a new one."""
        moved = True
        while moved:
            steps = cast(
                "AsyncGenerator[tuple[Slice, Resume | None], None]", walk_offsets(self._fetch, resume=self.resume)
            )
            async with aclosing(steps):
                async for piece, after in steps:
                    times = [_peek(record, self.order, "updated") for record in piece.records]
                    self._note(piece, [updated for _, updated in times])
                    moved = self._move(piece, [value for value, _ in times], after)
                    yield self._page(piece, complete=after is None and not moved)
                    if moved:
                        break

    async def _fetch(self, offset: int) -> Slice:
        limit = int(self.walk.options["limit"])
        bounds = [f">=|{self.value}"] if self.value else []
        bounds += [f"<=|{self.end}"] if self.end else []
        name = f"and[{self.order}]" + ("[]" if len(bounds) > 1 else "")
        params = [("order[field]", self.order), ("order[dir]", "asc"), *((name, bound) for bound in bounds)]
        params += [("offset", str(offset)), ("limit", str(limit))]
        position = self.resume.offset if self.resume else 0
        return await _slice(self.walk, "/vehicle", params, "sellingId", asked=offset, position=position, limit=limit)

    def _note(self, piece: Slice, updated: Sequence[Any]) -> None:
        """Remember what the pass has seen."""
        self.started_at = self.started_at or piece.answer.safe_at
        self.expected = piece.total if self.expected is None else self.expected
        if self.seen is not None:
            rows = zip(piece.keys, piece.records, strict=True)
            self.seen.update(record if key is None else key for key, record in rows)
        times = [value for value in (*updated, self.last_updated) if _moment(value)]
        newest = max(times, key=lambda value: str(_moment(value)), default=None)
        self.last_updated = newest

    def _move(self, piece: Slice, values: Sequence[Any], after: Resume | None) -> bool:
        """Decide how the pass goes on; True if a new inner walk begins at `value` and `resume`."""
        came_from, self.came_from = self.came_from, None
        if came_from and self.anchors.isdisjoint(piece.keys):
            # the filter does not give back the row it was made of: it reads times otherwise than they are written,
            # or excludes the bound, or just that row changed; where the pass stood by offset, it is safe
            (self.value, self.resume), self.by_value = came_from, False
            return True
        moments = [moment for moment in map(_moment, values) if moment]
        if self.by_value and any(later < earlier - FOLD for earlier, later in pairwise(moments)):
            return self._start_again(f"the list is not in the order of `{self.order}` that was asked for")
        if after is None:
            # rows without a time are outside of every lower bound: look for them by offset
            falls_short = self.seen is not None and len(self.seen) < (self.expected or 0)
            return falls_short and not self.plain and self._start_again(None)
        self.resume = after
        last, bound = _moment(values[-1]) if values else None, _moment(self.value)
        if not (self.by_value and last and (bound is None or last > bound)):
            return False
        rows = zip(piece.keys, values, strict=True)
        self.anchors = frozenset(key for key, value in rows if value == values[-1] and key is not None)
        self.came_from, self.value, self.resume = (self.value, after), values[-1], None
        return True

    def _start_again(self, doubt: str | None) -> bool:
        """Walk the whole pass once more, by offset only."""
        self.value, self.resume, self.by_value, self.plain, self.doubt = self.start, None, False, True, doubt
        return True

    def _page(self, piece: Slice, *, complete: bool) -> Page:
        sweeps = complete and self.walk.kind == "sweep"
        starts_over, self.starts_over = self.starts_over, False
        return Page(
            records=piece.records,
            cursor=self._after() if complete else self._within(),
            requested_at=piece.answer.sent_at,
            scope=Scope() if sweeps else None,
            whole_walk=sweeps,
            starts_over=starts_over,
            doubt=self.doubt,
            total=self.expected,
        )

    def _within(self) -> Cursor:
        """Return the cursor within the pass: a step by value is stored as the place by offset that it was made from."""
        value, resume = self.came_from or (self.value, self.resume)
        place = (resume or Resume(offset=0, tail=())).to_json()
        started_at = self.started_at.isoformat() if self.started_at else None
        stored = {"started_at": started_at, "start": self.start, "end": self.end, "value": value, **place}
        stored |= {name: getattr(self, name) for name in ("by_value", "plain", "doubt", "last_updated")}
        return {**(self.walk.cursor or {}), "pass": stored}

    def _after(self) -> Cursor:
        """Return the cursor after the pass: the watermark, which never goes backwards.

        While no vehicle was ever seen there is none: the next pass asks for everything again.
        """
        if self.walk.kind != "live" or self.started_at is None or self.last_updated is None:
            return {}
        before = (self.walk.cursor or {}).get("since")
        since = max(self.started_at, datetime.fromisoformat(before)) if before else self.started_at
        return {"since": since.isoformat(), "last_updated": self.last_updated}


async def _walk_vehicles(walk: Walk) -> AsyncIterator[Page]:
    """Walk once; a live pass that goes on where a killed run stopped is followed by a fresh one.

    What was committed late meanwhile may lie before the place to go on from.
    """
    again = True
    while again:
        again = walk.kind == "live" and "pass" in (walk.cursor or {})
        async for page in _Pass.of(walk).pages():
            yield page
            walk = replace(walk, cursor=page.cursor)


async def _confirm_vehicle(walk: Walk, key: tuple[Any, ...]) -> bytes:
    """Ask for one vehicle. An id that a listing gave is well formed, so the documented 400 means that it is gone."""
    try:
        answer = await walk.upstream.request("GET", f"/vehicle/{quote(str(key[0]), safe='')}")
    except BadRequest as error:
        if error.status == 400:
            raise NotFound(str(error), status=400) from None
        raise
    return _inner(envelope(answer.body), "vehicle")


def _inner(members: Mapping[str, bytes], name: str) -> bytes:
    """Return the object that a detail answer wraps. Raises BadPayload if there is none."""
    if members.get(name, b"null")[:1] != b"{":
        raise BadPayload(f"expected an object in `{name}`")
    return members[name]


# --- Makes, models, contacts ------------------------------------------------------------------------------------------


async def _walk_makes(walk: Walk) -> AsyncIterator[Page]:
    rows, started_at, doubt = await _reference(walk, "/vehicle/reference/make", "makeId")
    yield Page(records=rows, cursor={}, requested_at=started_at, scope=Scope(), whole_walk=True, doubt=doubt)


def _with_make(record: bytes, make_id: int) -> bytes:
    """Return a model's record with the make id of its request; what is no object stays as it is, to be rejected."""
    try:
        members = {name: msgspec.Raw(raw) for name, raw in envelope(record).items()}
    except BadPayload:
        return record
    return msgspec.json.encode({"makeId": make_id} | {name: raw for name, raw in members.items() if name != "makeId"})


def _member(record: bytes, name: str) -> bytes | None:
    """Return a member of a record as sent; None if there is none."""
    try:
        return envelope(record).get(name)
    except BadPayload:
        return None


async def _walk_models(walk: Walk) -> AsyncIterator[Page]:
    """Walk the models make by make, as one listing: it speaks for the makes whose list came whole, and for lost makes.

    The makes are asked for here, so that a first sync need not wait for their stream. A make without a list (404) is
    left alone: the answer is odd. A listing that goes on where a killed run stopped is followed by a fresh one: what
    was listed before may have changed since.
    """
    listed, _, unsound = await _reference(walk, "/vehicle/reference/make", "makeId")
    texts = {str(scalar(_member(record, "makeId"))) for record in listed}
    found = {int(text) for text in texts if re.fullmatch("[0-9]{1,18}", text)}
    makes: list[int] = sorted(found.union(await walk.mirrored("makes", "make_id") if unsound else ()))
    stored = (walk.cursor or {}).get("pass")
    new: dict[str, Any] = {"started_at": walk.now().isoformat(), "unsure": []}
    asked_at = walk.now()
    for begun in [new] if not stored or _is_stale(walk, stored) else [stored, new]:
        going, starts_over = begun, bool(stored) and begun is new
        for make_id in makes:
            if make_id <= going.get("make_id", -1):
                continue
            models: Sequence[bytes] = ()
            doubt: str | None = "no list"
            with suppress(NotFound):
                models, asked_at, doubt = await _reference(walk, f"/vehicle/reference/make/{make_id}/model", "modelId")
            going = {**going, "make_id": make_id, "unsure": [*going["unsure"], *([make_id] if doubt else [])]}
            records = [_with_make(record, make_id) for record in models]
            yield Page(records=records, cursor={"pass": going}, requested_at=asked_at, starts_over=starts_over)
            starts_over = False
    lost = [] if unsound else await walk.mirrored("models", "make_id")
    spoken_for = set(makes).union(lost).difference(going["unsure"]) if makes else ()
    scope = Scope(column="make_id", values=tuple(sorted(spoken_for))) if spoken_for else None
    yield Page(records=[], cursor={}, requested_at=asked_at, scope=scope, whole_walk=scope is not None)


async def _ask_contact(walk: Walk, path: str, key: object) -> bytes:
    answer = await walk.upstream.request("GET", f"{path}/{quote(str(key), safe='')}")
    return _inner(envelope(_inner(envelope(answer.body), "data")), "contact")


async def _walk_contacts(walk: Walk) -> AsyncIterator[Page]:
    """Ask for each contact; keys that the upstream refuses are told of at the end, after all others were read.

    Ids come last: a contact that only lost its Tec Faktura id is raised again in the same pass. A pass that goes on
    where a killed run stopped is followed by a fresh one: what was asked for before may have changed since.
    """
    steps = sorted(((name, str(key)) for name, keys in walk.lookup.items() for key in set(keys)), reverse=True)
    done = ((walk.cursor or {}).get("pass") or {}).get("after")
    refused: dict[str, str] = {}
    rest = [step for step in steps if step < tuple(done)] if done else []
    for name, key in [*rest, *steps]:
        requested_at, by_id = walk.now(), name == "ids"
        records: list[bytes] = []
        scope = None
        try:
            if by_id and not re.fullmatch(r"[0-9]{1,18}", key):
                raise BadRequest(f"{key!r} is no contact id: expected an integer")
            records = [await _ask_contact(walk, "/contact" if by_id else "/contact/tecfactura", key)]
        except NotFound:
            column_name, value = ("id", int(key)) if by_id else ("tecfactura_id", key)
            scope = Scope(column=column_name, values=(value,), guarded=False)
        except BadRequest as error:
            refused[key] = str(error)
        after = {"pass": {"after": [name, key]}}
        yield Page(records=records, cursor=after, requested_at=requested_at, scope=scope, total=len(steps))
    yield Page(records=[], cursor={}, requested_at=walk.now())
    if refused:
        told = f"{len(refused)} of {len(steps)} contacts were refused, the first: {next(iter(refused.values()))}"
        raise BadRequest(told, hint="Correct the ids in the configuration.")


async def _confirm_contact(walk: Walk, key: tuple[Any, ...]) -> bytes:
    return await _ask_contact(walk, "/contact", key[0])


SOURCE: Final = Source(
    type="autengo",
    schema_comment="Mirror of Autengo, the used-car trade platform (API 3.0.0)",
    base_url=None,
    options={
        "api_key": OptionSpec(kind="secret", comment="API key, sent as X-Api-Key"),
        "dealer_alzura_id": OptionSpec(kind="int", minimum=1, comment="Alzura id of the dealer"),
        "user_alzura_id": OptionSpec(kind="int", minimum=1, comment="Alzura id of the user"),
        "token_header": OptionSpec(
            kind="str",
            default="X-Authorization: Bearer",
            choices=("X-Authorization: Bearer", "Authorization: JWT", "Authorization: Bearer"),
            comment="Header and scheme of the token; the vendor's page names both headers",
        ),
        "language": OptionSpec(
            kind="str", default="de", choices=("de", "en"), comment="Language of the `_text` columns"
        ),
        "zone": OptionSpec(kind="zone", default="Europe/Berlin", comment="Zone of the times, which come without one"),
        "overlap": OptionSpec(
            kind="duration", default=600.0, minimum=0, comment="How far before its watermark a live pass starts"
        ),
        "limit": OptionSpec(
            kind="int", default=100, minimum=1, maximum=1000, comment="Vehicles asked for in a request"
        ),
    },
    streams=(
        Stream(
            name="vehicles",
            table=VEHICLES,
            walk=_walk_vehicles,
            every_s=300.0,
            sweep_s=86_400.0,
            backfills=True,
            confirm=_confirm_vehicle,
        ),
        Stream(name="makes", table=MAKES, walk=_walk_makes, every_s=86_400.0),
        Stream(name="models", table=MODELS, walk=_walk_models, every_s=86_400.0, reads=("makes",)),
        Stream(
            name="contacts",
            table=CONTACTS,
            walk=_walk_contacts,
            every_s=900.0,
            lookup=("ids", "tecfactura_ids"),
            confirm=_confirm_contact,
        ),
    ),
    auth=_Token,
    fault_of=fault_of,
    headers=lambda options: {"Accept-Language": str(options["language"])},
    zone="Europe/Berlin",
)
