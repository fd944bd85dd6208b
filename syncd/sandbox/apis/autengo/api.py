"""Autengo's endpoints: an API key plus a token, lists with limit and offset, filters and order in qs brackets.

Owns the form of its answers and its tokens; data and time come from the world.
"""

import base64
import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from syncd.sandbox.answer import Answer, Ask, Route
from syncd.sandbox.apis.autengo import filter_values
from syncd.sandbox.apis.autengo.records import translated
from syncd.sandbox.world import Dice, Record, World

PREFIX = "/autengo/v3"
# Made up, under the names of syncd's configuration.
CREDENTIALS: dict[str, str | int] = {
    "api_key": "sandbox-autengo-key-77c1",
    "dealer_alzura_id": 1234567890,
    "user_alzura_id": 987654321,
}
TOKEN_LIFE_S = 86_400  # documented
DEFAULT_LIMIT = 25  # documented
HIGHEST_LIMIT = 100  # more is clamped without a word


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


COLUMNS = _words(
    "created updated makeId makeName modelId modelName modelVersion vehicleState firstRegistration constructionDate "
    "kilometers vehicleTypeId trimLine modelRange climatisationType conditionType powerKw cubicCapacity doorCount "
    "seatCount pollutionBadge colorId isMetallicColor airbagType interiorType interiorColorId fuelType fuelDetailType "
    "transmissionType isDamaged hadAccidentDamage isDrivable hasFullServiceHistory cylinders price isPluginHybrid "
    "isE10Enabled driveType previousOwnerCount"
)
SEARCHED = ("makeName", "modelName", "modelVersion", "description", "internalId")
FILTER = re.compile(r"^(and|or)\[(\w+)\](?:\[\d*\])?$")  # and[a]=, and[a][]= and and[a][0]= are all written by qs
CONDITION = re.compile(r"^(=|<>|<=|>=|<|>)\|(.*)$", re.DOTALL)
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(kw_only=True)
class Token:
    """One token that was given out; `uses_left` is None unless a fault lets it die early."""

    expires_at: datetime
    uses_left: int | None = None


class Autengo:
    """The endpoints of Autengo over one world."""

    name = "autengo"
    prefix = PREFIX
    source_name = "cars"
    credentials = CREDENTIALS
    gzips = False
    tells_limits = False

    def __init__(self, world: World) -> None:
        self._world = world
        self.tokens: dict[str, Token] = {}
        self.tie_shuffle = 0  # rows with equal order values come in another order for each number
        self._cache: tuple[int, list[Record]] = (-1, [])

    def routes(self) -> list[Route]:
        """Return all endpoints."""
        return [
            Route(method="POST", path="/auth/token", stream="auth", handler=self._issue, public=True),
            Route(method="GET", path="/auth/refresh", stream="auth", handler=self._refresh),
            Route(method="GET", path="/vehicle", stream="vehicles", handler=self._vehicles),
            Route(method="GET", path="/vehicle/reference/make", stream="makes", handler=self._makes),
            Route(method="GET", path="/vehicle/reference/make/{id}/model", stream="models", handler=self._models),
            Route(method="GET", path="/vehicle/filter/values", stream="filter_values", handler=self._filter_values),
            Route(method="GET", path="/vehicle/{id}", stream="vehicles", handler=self._vehicle),
            Route(method="GET", path="/contact/tecfactura/{id}", stream="contacts", handler=self._tecfactura),
            Route(method="GET", path="/contact/{id}", stream="contacts", handler=self._contact),
        ]

    # Authentication

    def refusal(self, ask: Ask) -> Answer | None:
        """Return the 401 for a wrong key or token, or None if both are right."""
        if ask.headers.get("X-Api-Key") != CREDENTIALS["api_key"]:
            return self.error(401, "Invalid API key")
        if ask.path.endswith("/auth/token"):
            return None
        token = self.tokens.get(_token_of(ask))
        if token is None or self._world.now() >= token.expires_at or token.uses_left == 0:
            return self.error(401, "Token is missing, unknown or expired")
        if token.uses_left is not None:
            token.uses_left -= 1
        return None

    def error(self, status: int, message: str) -> Answer:
        """Return an error in the form of the documented envelope."""
        return Answer(status=status, body={"status": "error", "statusText": message})

    def end_session(self, ask: Ask) -> None:
        """Make the request's token invalid."""
        self.tokens.pop(_token_of(ask), None)

    def login_failure(self) -> Answer:
        """Return a token answer that holds no token."""
        return self.error(200, "Token could not be issued")

    def lookups(self) -> dict[str, dict[str, list[Any]]]:
        """Return the keys that `contacts` can be asked for: half by each of its two numbers; all exist now."""
        contacts = self._world.truth(self.name, "contacts")
        half = len(contacts) // 2
        return {
            "contacts": {
                "ids": [contact["ID"] for contact in contacts[:half]],
                "tecfactura_ids": [contact["tecfacturaId"] for contact in contacts[half:]],
            }
        }

    def _issue(self, ask: Ask) -> Answer:
        try:
            given = msgspec.json.decode(ask.body, type=dict[str, Any])
        except msgspec.DecodeError:
            return self.error(400, "Invalid request")
        account = CREDENTIALS
        right = (given.get("dealerAlzuraId"), given.get("userAlzuraId")) == (
            account["dealer_alzura_id"],
            account["user_alzura_id"],
        )
        return self._token() if right else self.error(401, "Unknown dealer or user")

    def _refresh(self, _ask: Ask) -> Answer:
        return self._token()

    def _token(self) -> Answer:
        now = self._world.now()
        claims = {"sub": "sandbox", "iat": int(now.timestamp()), "jti": len(self.tokens)}
        parts = [{"alg": "HS256", "typ": "JWT"}, claims]
        head = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
        token = f"{head}.{Dice(self._world.seed, 'token', len(self.tokens)).digits(20)}"
        self.tokens[token] = Token(expires_at=now + timedelta(seconds=TOKEN_LIFE_S))
        return Answer(
            body={"token": token, "expires_in": TOKEN_LIFE_S, "token_type": "Bearer", "scope": "AutengoApiV3"}
        )

    # Vehicles

    def _vehicles(self, ask: Ask) -> Answer:
        try:
            limit = min(ask.number("limit", DEFAULT_LIMIT), HIGHEST_LIMIT)
            offset = ask.number("offset", 0)
            found = self._filtered(ask)
            found = self._ordered(ask, found)
        except ValueError as error:
            return self.error(400, f"Invalid request: {error}")
        page = found[offset : offset + min(limit, ask.page_limit or limit)]
        rows = [self._sent(ask, record["sellingId"]) for record in page]
        body = {"total": len(found), "limit": limit, "offset": offset, "list": rows}
        return Answer(body=body, rows_at=("list",), paging="total", more=offset + len(rows) < len(found))

    def _records(self) -> list[Record]:
        """Return all vehicles, decoded once per change; nobody may change them."""
        vehicles = self._world[self.name, "vehicles"]
        makes = self._world[self.name, "makes"]
        version = vehicles.version + makes.version
        if self._cache[0] != version:
            ids = {record["makeName"]: record["makeId"] for record in makes.records()}
            records = [{**record, "makeId": ids.get(record["makeName"])} for record in vehicles.records()]
            self._cache = (version, records)
        return self._cache[1]

    def _sent(self, ask: Ask, selling_id: str) -> msgspec.Raw:
        vehicles = self._world[self.name, "vehicles"]
        if not ask.headers.get("Accept-Language", "de").lower().startswith("en"):
            return vehicles.raw(selling_id)
        return msgspec.Raw(msgspec.json.encode(translated(vehicles.get(selling_id))))

    def _filtered(self, ask: Ask) -> list[Record]:
        conditions: dict[str, dict[str, list[tuple[str, str]]]] = {"and": {}, "or": {}}
        for name, value in ask.query.items():
            if match := FILTER.match(name):
                group, field = match.groups()
                if field not in COLUMNS:
                    raise ValueError(f"{field} cannot be filtered by")
                parsed = CONDITION.match(value)
                conditions[group].setdefault(field, []).append((parsed[1], parsed[2]) if parsed else ("=", value))
        search = ask.query.get("search", "").lower()
        return [
            record
            for record in self._records()
            if all(_holds(record, field, given) for field, given in conditions["and"].items())
            and (not conditions["or"] or any(_holds(record, field, given) for field, given in conditions["or"].items()))
            and (not search or any(search in str(record.get(field, "")).lower() for field in SEARCHED))
        ]

    def _ordered(self, ask: Ask, found: list[Record]) -> list[Record]:
        field, direction = ask.query.get("order[field]"), ask.query.get("order[dir]")
        if (field is None) != (direction is None):
            raise ValueError("both order[field] and order[dir] are required")
        field, direction = field or "created", direction or "desc"
        if field not in COLUMNS or direction not in {"asc", "desc"}:
            raise ValueError(f"order {field} {direction}")
        # Ties stand in no order that a client could know.
        ties = {
            record["sellingId"]: Dice("tie", self.tie_shuffle, record["sellingId"]).below(1 << 60) for record in found
        }
        found = sorted(found, key=lambda record: ties[record["sellingId"]])
        return sorted(found, key=lambda record: _sortable(_plain(record.get(field))), reverse=direction == "desc")

    def _vehicle(self, ask: Ask) -> Answer:
        if ask.params["id"] not in self._world[self.name, "vehicles"]:
            return self.error(404, "Vehicle not found")
        return Answer(body={"vehicle": self._sent(ask, ask.params["id"])}, rows_at=("vehicle",))

    def _filter_values(self, ask: Ask) -> Answer:
        found = filter_values.answer(self._world, ask)
        return found if isinstance(found, Answer) else self.error(400, f"Invalid request: {found}")

    def _makes(self, _ask: Ask) -> Answer:
        makes = self._world[self.name, "makes"]
        rows = [makes.raw(key) for key in makes.keys()]  # noqa: SIM118 (a method of ours)
        return Answer(body={"total": len(rows), "list": rows}, rows_at=("list",))

    def _models(self, ask: Ask) -> Answer:
        models = [
            record for record in self._world[self.name, "models"].records() if str(record["makeId"]) == ask.params["id"]
        ]
        rows = []
        for record in models:
            del record["makeId"]  # it stands in the path only
            rows.append(msgspec.Raw(msgspec.json.encode(record)))
        return Answer(body={"total": len(rows), "list": rows}, rows_at=("list",))

    # Contacts

    def _contact(self, ask: Ask) -> Answer:
        contacts = self._world[self.name, "contacts"]
        known = ask.params["id"].isdecimal() and int(ask.params["id"]) in contacts
        return self._found(contacts.raw(int(ask.params["id"])) if known else None)

    def _tecfactura(self, ask: Ask) -> Answer:
        contacts = self._world[self.name, "contacts"]
        keys = {record.get("tecfacturaId"): record["ID"] for record in contacts.records()}
        key = keys.get(ask.params["id"])
        return self._found(None if key is None else contacts.raw(key))

    def _found(self, contact: msgspec.Raw | None) -> Answer:
        if contact is None:
            return self.error(404, "Contact not found")
        body = {"status": "success", "statusText": "Contact created successfully", "data": {"contact": contact}}
        return Answer(body=body, rows_at=("data", "contact"))


def _token_of(ask: Ask) -> str:
    for name, schemes in (("X-Authorization", {"bearer"}), ("Authorization", {"jwt", "bearer"})):
        scheme, _, token = ask.headers.get(name, "").partition(" ")
        if scheme.lower() in schemes:
            return token.strip()
    return ""


def _plain(value: Any) -> Any:
    return value["key"] if isinstance(value, dict) and "key" in value else value


def _sortable(value: Any) -> tuple[int, Any]:
    """Return a sort key that takes values of mixed types; null comes first."""
    if value is None:
        return (0, 0)
    return (2, value) if isinstance(value, str) else (1, value)


def _holds(record: Record, field: str, conditions: list[tuple[str, str]]) -> bool:
    """Whether a record fits: one of the plain values (they mean "in"), and all comparisons."""
    equals = [text for sign, text in conditions if sign == "="]
    others = [(sign, text) for sign, text in conditions if sign != "="]
    value = _plain(record.get(field))
    return (not equals or any(_compared(value, "=", text) for text in equals)) and all(
        _compared(value, sign, text) for sign, text in others
    )


def _compared(value: Any, sign: str, text: str) -> bool:
    if value is None:
        return sign == "<>"
    given: Any = text
    if isinstance(value, bool):
        given = text.lower() in {"true", "1"}
    elif isinstance(value, int | float):
        try:
            given = float(text)
        except ValueError:
            return False
    return OPERATORS[sign](value, given)
