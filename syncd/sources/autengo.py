"""Autengo (used cars, API 3.0.0): its tables, its token, and how its lists are walked.

Owns every fact about this API; what each rule rests on stands in docs/sources/autengo.md. Only reads: the contact and
opportunity endpoints that write are never called.

Vehicles are walked by value: each request asks for what is not older than the last row of the answer before. So a row
that moves while the list is walked can only move to where the walk has not been yet, and ties at the edge of a page are
read again. Whatever speaks against the order or the filter makes the pass go on by offset, from where that is safe.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Hashable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from urllib.parse import quote
from zoneinfo import ZoneInfo

import msgspec

from syncd.config import OptionSpec, Secret
from syncd.errors import BadCredentials, BadPayload, BadRequest, NotFound, Throttled, UpstreamError
from syncd.paging import TAIL_KEYS, Resume, Slice, walk_offsets
from syncd.records import column, elements, envelope, scalar
from syncd.source import Answer, Auth, Column, Cursor, Kind, Page, Scope, Send, Source, Stream, Table, Walk, snake

RENEW_AT: Final = 0.9  # of a token's life; our choice
TOKEN_LIFE_S: Final = 3600.0  # where expires_in cannot be read; the sample says 86400, a 401 corrects either
SHORTEST_LIFE_S: Final = 60.0  # an expires_in below this would make every request log in first
FAULT_CHARS: Final = 200  # source.py: longest fault text
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
                self._token = None
        key = {"X-Api-Key": self._api_key.reveal()}
        self._take(await send("POST", "/auth/token", headers=key, json=self._ids), now)

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
            raise BadCredentials(
                f"the login gave no token: {fault or 'the answer has no `token`'}",
                hint="check api_key, dealer_alzura_id and user_alzura_id",
                status=answer.status,
            )
        try:
            life_s = max(float(scalar(members.get("expires_in"))), SHORTEST_LIFE_S)
            self._expires_at = now + timedelta(seconds=life_s)
        except (TypeError, ValueError, OverflowError):
            life_s = TOKEN_LIFE_S
            self._expires_at = now + timedelta(seconds=life_s)
        self._token, self._renew_at = token, now + timedelta(seconds=life_s * RENEW_AT)


def _auth(options: Mapping[str, Any]) -> Auth:
    return _Token(options)


def fault_of(answer: Answer) -> str | None:
    """Read the error text: `message`, `error` or `statusText`; inside a 200 only if `status` or `error` tells of one."""
    try:
        members = {name: scalar(raw) for name, raw in envelope(answer.body).items() if len(raw) < 10_000}
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


def _slice(answer: Answer, asked: int, position: int, key: str, *, limit: int | None) -> Slice:
    """Read one list answer; new rows begin at `position`, which may be one after `asked`.

    The list ends where `total` says so, if the page is not full as well; with no rows at the position it ends in doubt
    if `total` promises more. Without a `limit` (a list that documents no paging) `total` alone counts.
    """
    members = envelope(answer.body)
    records = elements(members.get("list"), "list")
    total, echoed, clamped = _whole(members.get("total")), _whole(members.get("offset")), _whole(members.get("limit"))
    if echoed != asked and (limit is not None or echoed is not None):
        raise BadPayload(f"asked for offset {asked}, the answer is for offset {echoed}")
    following: int | None = asked + len(records)
    doubt = None
    if not records or (asked == position - 1 and following == position):
        if total is not None and total > position:
            doubt = f"the list ends after {position} rows, its total says {total}"
        following = None
    elif limit is None:
        following = following if total is not None and total > asked + len(records) else None
    elif total is not None and total <= asked + len(records) and len(records) < min(limit, clamped or limit):
        following = None
    keys = [
        value if isinstance(value, (str, int)) and value != "" else None
        for (value,) in (_peek(r, key) for r in records)
    ]
    return Slice(records=records, keys=keys, next_offset=following, answer=answer, total=total, doubt=doubt)


async def _reference(walk: Walk, path: str, key: str) -> tuple[list[bytes], datetime, str | None]:
    """Fetch a whole reference list: its records, when it was asked for, and why it may be incomplete.

    No paging is documented; if `total` says that there is more, the rest is asked for by offset.
    """
    records: list[bytes] = []
    known: set[Hashable] = set()
    position, doubt = 0, None
    started_at = walk.now()

    async def fetch(offset: int) -> Slice:
        limit = int(walk.options["limit"])
        params = (("offset", str(offset)), ("limit", str(limit))) if offset else ()
        answer = await walk.upstream.request("GET", path, params=params)
        piece = _slice(answer, offset, position, key, limit=None)
        if offset and piece.total and known.issuperset(piece.keys):
            told = f"the list ends after {position} rows, its total says {piece.total}"
            return Slice(records=[], keys=[], next_offset=None, answer=answer, doubt=told)
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


def _written(at: datetime, zone: ZoneInfo) -> tuple[str, str]:
    """Write an instant as a filter value, in UTC and in the vendor's zone: the earlier first."""
    texts = [f"{at.astimezone(where):%Y-%m-%d %H:%M:%S}" for where in (UTC, zone)]
    return min(texts), max(texts)


def first_value(cursor: Cursor, zone: ZoneInfo, overlap: timedelta) -> str | None:
    """Return the `updated` from which a live pass starts: the earliest reading of the watermark, less the overlap."""
    if not cursor.get("since"):
        return None
    value = _written(datetime.fromisoformat(cursor["since"]) - overlap, zone)[0]
    if last := _moment(cursor.get("last_updated")):
        value = min(value, f"{last - overlap:%Y-%m-%d %H:%M:%S}")
    return value


@dataclass(kw_only=True)
class _Pass:
    """One pass through the vehicles: where it stands and what it has seen.

    value, resume   the lower bound of the requests now (None: no filter), and the place in the list that it gives
    came_from       value and resume before the last step by value, until that step has proved sound
    anchors         keys that the answer after a step by value must hold again
    seen            identities of the rows met; None in a resumed pass, which cannot tell
    """

    walk: Walk
    order: str
    start: str | None
    end: str | None
    value: str | None
    resume: Resume | None = None
    by_value: bool = True
    plain: bool = False
    started_at: datetime | None = None
    last_updated: str | None = None
    doubt: str | None = None
    expected: int | None = None
    seen: set[Hashable] | None = field(default_factory=set)
    came_from: tuple[str | None, Resume] | None = None
    anchors: frozenset[Hashable] = frozenset()

    @staticmethod
    def of(walk: Walk) -> "_Pass":
        """Begin a pass, or take up the one that the cursor holds."""
        cursor = walk.cursor or {}
        zone, overlap = ZoneInfo(walk.options["zone"]), timedelta(seconds=walk.options["overlap"])
        start = end = None
        if walk.kind == "live":
            start = first_value(cursor, zone, overlap)
        elif walk.kind == "backfill":
            start = _written(walk.since, zone)[0] if walk.since else None
            end = _written(walk.until, zone)[1] if walk.until else None
        fresh = _Pass(
            walk=walk,
            order="created" if walk.kind == "sweep" else "updated",
            start=start,
            end=end,
            value=start,
            last_updated=cursor.get("last_updated"),
        )
        stored = cursor.get("pass")
        if not stored or (walk.kind == "backfill" and (stored["start"], stored["end"]) != (start, end)):
            return fresh
        fresh.start, fresh.end, fresh.value = stored["start"], stored["end"], stored["value"]
        fresh.resume = Resume.from_json(stored)
        fresh.by_value, fresh.plain, fresh.doubt = stored["by_value"], stored["plain"], stored["doubt"]
        fresh.started_at, fresh.last_updated = datetime.fromisoformat(stored["started_at"]), stored["last_updated"]
        fresh.seen = None
        return fresh

    async def pages(self) -> AsyncIterator[Page]:
        """Walk to the end: each inner walk goes by offset within one lower bound, each step by value begins a new one."""
        moved = True
        while moved:
            steps = cast("AsyncGenerator[tuple[Slice, Resume | None]]", walk_offsets(self._fetch, resume=self.resume))
            async with aclosing(steps):
                async for piece, after in steps:
                    self._note(piece)
                    moved = self._move(piece, after)
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
        answer = await self.walk.upstream.request("GET", "/vehicle", params=params)
        self.started_at = self.started_at or answer.safe_at
        position = self.resume.offset if self.resume else 0
        return _slice(answer, offset, position, "sellingId", limit=limit)

    def _note(self, piece: Slice) -> None:
        """Remember what the pass has seen."""
        if self.expected is None:
            self.expected = piece.total
        if self.seen is not None:
            self.seen.update(
                key if key is not None else row for key, row in zip(piece.keys, piece.records, strict=True)
            )
        for record in piece.records:
            updated = _peek(record, "updated")[0]
            moment, latest = _moment(updated), _moment(self.last_updated)
            if moment and (latest is None or moment > latest):
                self.last_updated = updated

    def _move(self, piece: Slice, after: Resume | None) -> bool:
        """Decide how the pass goes on; True if a new inner walk begins at `value` and `resume`."""
        came_from, self.came_from = self.came_from, None
        if came_from and self.anchors.isdisjoint(piece.keys):
            # the filter does not give back the row it was made of: it reads times otherwise than they are written,
            # or excludes the bound, or just that row changed; where the pass stood by offset, it is safe
            self.value, self.resume, self.by_value = *came_from, False
            return True
        values = [(value, _moment(value)) for value in (_peek(record, self.order)[0] for record in piece.records)]
        moments = [moment for _, moment in values if moment]
        if self.by_value and any(later < earlier - FOLD for earlier, later in zip(moments, moments[1:], strict=False)):
            return self._start_again(f"the list is not in the order of `{self.order}` that was asked for")
        if after is None:
            falls_short = self.seen is not None and len(self.seen) < (self.expected or 0)
            # rows without a time are outside of every lower bound: look for them by offset
            return falls_short and not self.plain and self._start_again(None)
        self.resume = after
        (last, moment), bound = values[-1] if values else (None, None), _moment(self.value)
        if not (self.by_value and moment and (bound is None or moment > bound)):
            return False
        self.came_from = (self.value, after)
        self.anchors = frozenset(
            key for key, (value, _) in zip(piece.keys, values, strict=True) if value == last and key is not None
        )
        self.value, self.resume = last, None
        return True

    def _start_again(self, doubt: str | None) -> bool:
        """Walk the whole pass once more, by offset only."""
        self.value, self.resume, self.by_value, self.plain, self.doubt = self.start, None, False, True, doubt
        return True

    def _page(self, piece: Slice, *, complete: bool) -> Page:
        sweeps = complete and self.walk.kind == "sweep"
        return Page(
            records=piece.records,
            cursor=self._cursor(complete=complete),
            requested_at=piece.answer.sent_at,
            scope=Scope() if sweeps else None,
            whole_walk=sweeps,
            doubt=self.doubt or (piece.doubt if complete else None),
            total=self.expected,
        )

    def _cursor(self, *, complete: bool) -> Cursor:
        """Return the cursor after a page; a step by value is stored as the place by offset from which it was made."""
        before = {name: value for name, value in (self.walk.cursor or {}).items() if name != "pass"}
        started_at = cast("datetime", self.started_at)
        if complete:
            if self.walk.kind != "live":
                return {}
            since = max([started_at, *([datetime.fromisoformat(before["since"])] if before.get("since") else [])])
            return {"since": since.isoformat(), "last_updated": self.last_updated}
        value, resume = self.came_from or (self.value, self.resume)
        place = (resume or Resume(offset=0, tail=())).to_json()
        stored = {"started_at": started_at.isoformat(), "start": self.start, "end": self.end, "value": value, **place}
        stored |= {
            "by_value": self.by_value,
            "plain": self.plain,
            "doubt": self.doubt,
            "last_updated": self.last_updated,
        }
        return {**before, "pass": stored}


async def _walk_vehicles(walk: Walk) -> AsyncIterator[Page]:
    async for page in _Pass.of(walk).pages():
        yield page


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
    records, started_at, doubt = await _reference(walk, "/vehicle/reference/make", "makeId")
    yield Page(
        records=records,
        cursor={},
        requested_at=started_at,
        scope=Scope(),
        whole_walk=True,
        doubt=doubt,
        total=len(records),
    )


def _with_make(record: bytes, make_id: int) -> bytes:
    """Return a model's record with the make id of its request; what is no object stays as it is, to be rejected."""
    try:
        members = {name: msgspec.Raw(raw) for name, raw in envelope(record).items()}
    except BadPayload:
        return record
    return msgspec.json.encode({"makeId": make_id} | {k: v for k, v in members.items() if k != "makeId"})


async def _walk_models(walk: Walk) -> AsyncIterator[Page]:
    """Walk the models make by make; each page is all there is of its make."""
    makes = sorted(set(await walk.mirrored("makes", "make_id")))
    done = ((walk.cursor or {}).get("pass") or {}).get("make_id")
    for make_id in makes:
        if done is not None and make_id <= done:
            continue
        asked_at, doubt = walk.now(), None
        models: Sequence[bytes] = ()
        try:
            path = f"/vehicle/reference/make/{make_id}/model"
            models, asked_at, doubt = await _reference(walk, path, "modelId")
        except NotFound:
            pass
        yield Page(
            records=[_with_make(record, make_id) for record in models],
            cursor={"pass": {"make_id": make_id}},
            requested_at=asked_at,
            scope=None if doubt else Scope(column="make_id", values=(make_id,)),
            doubt=doubt,
        )
    orphans = sorted(set(await walk.mirrored("models", "make_id")).difference(makes)) if makes else []
    scope = Scope(column="make_id", values=tuple(orphans)) if orphans else None
    yield Page(records=[], cursor={}, requested_at=walk.now(), scope=scope)


async def _ask_contact(walk: Walk, path: str, key: object) -> bytes:
    answer = await walk.upstream.request("GET", f"{path}/{quote(str(key), safe='')}")
    return _inner(envelope(_inner(envelope(answer.body), "data")), "contact")


async def _walk_contacts(walk: Walk) -> AsyncIterator[Page]:
    """Ask for each contact; keys that the upstream refuses are told of at the end, after all others were read."""
    steps = sorted((name, str(key)) for name, keys in walk.lookup.items() for key in set(keys))
    done = tuple(((walk.cursor or {}).get("pass") or {}).get("after", ()))
    refused: list[str] = []
    for name, key in steps:
        if (name, key) <= done:
            continue
        requested_at, records, scope = walk.now(), [], None
        by_id = name == "ids"
        try:
            if by_id and not re.fullmatch(r"\d{1,18}", key):
                raise BadRequest(f"{key!r} is not a contact id: expected an integer")
            records = [await _ask_contact(walk, "/contact" if by_id else "/contact/tecfactura", key)]
        except NotFound:
            value = int(key) if by_id else key
            scope = Scope(column="id" if by_id else "tecfactura_id", values=(value,), guarded=False)
        except BadRequest as error:
            refused.append(f"{name} {key!r}: {error}")
        after = {"pass": {"after": [name, key]}}
        yield Page(records=records, cursor=after, requested_at=requested_at, scope=scope, total=len(steps))
    yield Page(records=[], cursor={}, requested_at=walk.now())
    if refused:
        raise BadRequest(
            f"{len(refused)} of {len(steps)} contacts were refused, first {refused[0]}", hint="correct the keys"
        )


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
        Stream(name="models", table=MODELS, walk=_walk_models, every_s=86_400.0),
        Stream(
            name="contacts",
            table=CONTACTS,
            walk=_walk_contacts,
            every_s=900.0,
            lookup=("ids", "tecfactura_ids"),
            confirm=_confirm_contact,
        ),
    ),
    auth=_auth,
    fault_of=fault_of,
    headers=lambda options: {"Accept-Language": str(options["language"])},
    zone="Europe/Berlin",
)
