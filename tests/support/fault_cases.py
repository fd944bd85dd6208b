"""What each fault of the sandbox does to one answer: a table of cases."""

from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from tests.support.caller import CUSTOMERS, VEHICLES, Reply

PATHS: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {
    ("cyclesoftware", "customers"): (CUSTOMERS, {"offset": 100}),
    ("cyclesoftware", "stock_items"): ("/api/v1/stock/pos-items.json", {}),
    ("cyclis", "orders"): ("/orders", {}),
    ("autengo", "vehicles"): (VEHICLES, {"offset": 25}),
    ("ghs", "orders"): ("/api/orders", {"skip": 20, "take": 20}),
    ("ghs", "products"): ("/api/products", {"searchTerm": "e", "take": 20}),
}
Check = Callable[[Reply, Reply], object]


def rows(reply: Reply) -> list[Any]:
    body = reply.json()
    return next(body[name] for name in ("customers", "data", "list", "orders", "products") if name in body)


def first(reply: Reply) -> dict[str, Any]:
    row: dict[str, Any] = rows(reply)[0]
    return row


def offset_of(reply: Reply) -> Any:
    return reply.json()["pagination"]["next_offset"]


def status(wanted: int) -> Check:
    return lambda bad, _good: bad.status == wanted


def limited(name: str, value: Callable[[str], bool]) -> Check:
    return lambda bad, _good: value(bad.headers.get(name, ""))


def skew_s(reply: Reply, other: Reply) -> float:
    return (parsedate_to_datetime(reply.headers["Date"]) - parsedate_to_datetime(other.headers["Date"])).total_seconds()


@dataclass(kw_only=True)
class Case:
    """`check` compares the answer with the fault to the one without."""

    check: Check
    api: str = "cyclesoftware"
    stream: str = "customers"
    params: dict[str, Any] = field(default_factory=dict)


CYCLIS: dict[str, Any] = {"api": "cyclis", "stream": "orders"}
CARS: dict[str, Any] = {"api": "autengo", "stream": "vehicles"}
PARTS: dict[str, Any] = {"api": "ghs", "stream": "orders"}
CASES: dict[str, Case] = {
    "error-in-200": Case(check=lambda bad, _: bad.status == 200 and bad.json()["error"] is True),
    "html-200": Case(check=lambda bad, _: bad.status == 200 and b"<html" in bad.body),
    "empty-200": Case(check=lambda bad, _: bad.status == 200 and bad.body == b""),
    "error-xml": Case(
        check=lambda bad, _: bad.status == 401 and b"<error>1</error>" in bad.body, params={"status": 401}
    ),
    "error-soap": Case(check=lambda bad, _: bad.status == 500 and b"SOAP-ENV:Fault" in bad.body),
    "nested-error": Case(check=lambda bad, _: bad.json()["data"]["data"]["error"] == "NOACC", **CYCLIS),
    "error-500": Case(check=status(503), params={"status": 503}),
    "gateway-504": Case(check=status(504), **PARTS),
    "reset-205": Case(check=lambda bad, _: bad.status == 205 and bad.body == b"", **PARTS),
    "not-found-list": Case(check=status(404)),
    "redirect-other-host": Case(check=lambda bad, _: bad.status == 302 and "elsewhere" in bad.headers["Location"]),
    "auth-expired": Case(check=status(401)),
    "broken-session": Case(check=lambda bad, _: bad.status == 401 and b"broken-session" in bad.body, **PARTS),
    "bad-credentials": Case(check=status(401)),
    "scope-revoked": Case(check=status(403)),
    "rotate-cookie": Case(check=lambda bad, _: bad.status == 200 and "ss-id=" in bad.headers["Set-Cookie"], **PARTS),
    "expired-session-empty-list": Case(check=lambda bad, _: bad.status == 200 and rows(bad) == [], **PARTS),
    "bom": Case(check=lambda bad, good: bad.body == b"\xef\xbb\xbf" + good.body),
    "wrong-charset": Case(check=lambda bad, _: "iso-8859-1" in bad.headers["Content-Type"]),
    "wrong-content-length": Case(
        check=lambda bad, good: good.body.startswith(bad.body) and len(bad.body) < len(good.body)
    ),
    "slow-drip": Case(check=lambda bad, good: bad.body == good.body, params={"chunk_bytes": 20_000, "delay_s": 0.001}),
    "unasked-gzip": Case(check=lambda bad, _: bad.headers["Content-Encoding"] == "gzip", **CARS),
    "gzip-bomb": Case(check=lambda bad, _: bad.headers["Content-Encoding"] == "gzip", params={"megabytes": 2}),
    "clock-ahead": Case(check=lambda bad, good: skew_s(bad, good) == 600),
    "clock-behind": Case(check=lambda bad, good: skew_s(bad, good) == -60, params={"skew_s": 60}),
    "clock-jumps": Case(check=lambda bad, good: abs(skew_s(bad, good)) == 600),
    "bad-date": Case(check=lambda bad, _: bad.headers["Date"] == "gisteren"),
    "unstable-ties": Case(check=lambda bad, good: len(rows(bad)) == len(rows(good)), **CARS),
    "shuffled-order": Case(check=lambda bad, good: rows(bad) != rows(good), api="ghs", stream="products"),
    "ignored-offset": Case(check=lambda bad, good: first(bad) != first(good) and first(bad)["customer_id"] == 4),
    "clamped-limit": Case(check=lambda bad, _: len(rows(bad)) == 10 and bad.json()["limit"] == 25, **CARS),
    "linked-pages": Case(
        check=lambda bad, _: len(rows(bad)) == 50 and "127.0.0.1" in bad.json()["links"]["next"], **CYCLIS
    ),
    "next-offset-repeats": Case(check=lambda bad, _: offset_of(bad) == 100),
    "next-offset-falls": Case(check=lambda bad, _: offset_of(bad) == 50),
    "next-offset-absent": Case(check=lambda bad, _: "next_offset" not in bad.json()["pagination"]),
    "next-offset-string": Case(check=lambda bad, _: offset_of(bad) == "200"),
    "empty-page-with-next": Case(check=lambda bad, _: rows(bad) == [] and offset_of(bad) == 200),
    "count-disagrees": Case(check=lambda bad, _: bad.json()["pagination"]["count"] == len(rows(bad)) + 1),
    "total-changes": Case(check=lambda bad, good: bad.json()["total"] != good.json()["total"], **CARS),
    "next-link-other-host": Case(check=lambda bad, _: "elsewhere" in bad.json()["links"]["next"], **CYCLIS),
    "duplicate-key-on-page": Case(
        check=lambda bad, _: first(bad)["customer_id"] == rows(bad)[1]["customer_id"] and first(bad) != rows(bad)[1]
    ),
    "nul-in-text": Case(check=lambda bad, _: b"\\u0000" in bad.body),
    "lone-surrogate": Case(check=lambda bad, _: b"\\ud83d" in bad.body),
    "wrong-type": Case(check=lambda bad, _: first(bad)["name"] is False, params={"field": "name"}),
    "huge-integer": Case(check=lambda bad, _: first(bad)["discount_percentage"] == 2**70),
    "big-integer": Case(check=lambda bad, _: first(bad)["discount_percentage"] == 2**53 + 1),
    "nan": Case(check=lambda bad, _: b"NaN" in bad.body, **CYCLIS),
    "infinity": Case(check=lambda bad, _: b"Infinity" in bad.body, **CARS),
    "megabyte-note": Case(check=lambda bad, _: len(bad.body) > 3_000_000, **PARTS),
    "null-field": Case(check=lambda bad, _: first(bad)["city"] is None, params={"field": "city"}),
    "invalid-utf8": Case(check=lambda bad, _: b"\xc3\x28" in bad.body),
    "unknown-field": Case(check=lambda bad, _: first(bad)["attributes"]["brand_new_field"] == "nieuw", **CYCLIS),
    "missing-field": Case(check=lambda bad, _: "city" not in first(bad), params={"field": "city"}),
    "unknown-enum": Case(check=lambda bad, _: first(bad)["attributes"]["state"] == "zweeft", **CYCLIS),
    "bad-time": Case(check=lambda bad, _: first(bad)["updated"] == "0000-00-00 00:00:00", **CARS),
    "null-key": Case(check=lambda bad, _: first(bad)["customer_id"] is None),
    "empty-key": Case(check=lambda bad, _: first(bad)["sellingId"] == "", **CARS),
    "missing-key": Case(check=lambda bad, _: "id" not in first(bad), **CYCLIS),
    "string-key": Case(check=lambda bad, good: first(bad)["customer_id"] == str(first(good)["customer_id"])),
    "orphan-relation": Case(
        check=lambda bad, _: first(bad)["relationships"]["company"]["data"]["id"].endswith("dead"), **CYCLIS
    ),
    "null-record": Case(check=lambda bad, good: rows(bad) == [None, *rows(good)]),
    "row-vanishes": Case(check=lambda bad, good: rows(bad) == rows(good)[1:]),
    "empty-list": Case(check=lambda bad, _: rows(bad) == [] and offset_of(bad) is None),
    "null-list": Case(check=lambda bad, _: bad.json()["customers"] is None),
    "missing-list": Case(check=lambda bad, _: "customers" not in bad.json()),
    "arrays-reordered": Case(
        check=lambda bad, good: first(bad)["phone_numbers"] == first(good)["phone_numbers"][::-1] != []
    ),
    "rate-limited": Case(check=lambda bad, _: bad.status == 429 and "Retry-After" not in bad.headers),
    "early-429": Case(
        check=lambda bad, _: bad.status == 429 and int(bad.headers["X-RateLimit-Minutely-Remaining"]) > 300
    ),
    "retry-after": Case(check=limited("Retry-After", lambda text: text == "30")),
    "retry-after-date": Case(check=limited("Retry-After", lambda text: text.endswith("GMT"))),
    "retry-after-garbage": Case(check=limited("Retry-After", lambda text: text == "straks")),
    "retry-after-huge": Case(check=limited("Retry-After", lambda text: int(text) > 10**9)),
    "other-spender": Case(
        check=lambda bad, good: (
            int(good.headers["X-RateLimit-Daily-Remaining"]) - int(bad.headers["X-RateLimit-Daily-Remaining"]) == 11
        )
    ),
    "reset-in-past": Case(
        check=lambda bad, good: (
            int(bad.headers["X-RateLimit-Daily-Reset"]) < parsedate_to_datetime(good.headers["Date"]).timestamp()
        )
    ),
    "no-limit-headers": Case(check=lambda bad, _: not [name for name in bad.headers if name.startswith("X-RateLimit")]),
    "bad-limit-headers": Case(check=limited("X-RateLimit-Daily-Limit", lambda text: text == "onbeperkt")),
    "own-offsets-only": Case(check=status(400), params={"rows": 77}),
    "parameter-refused": Case(check=status(400), params={"which": "offset", "most": 99}),
    "header-refused": Case(check=status(406), params={"which": "Accept-Encoding"}),
    "firewall-page": Case(check=lambda bad, _: bad.status == 403 and b"Just a moment" in bad.body),
    "echo": Case(check=lambda bad, _: bad.status == 400 and b"Authorization" in bad.body),
    "retry-later": Case(check=lambda bad, _: bad.status == 503 and bad.headers["Retry-After"] == "30"),
    "odd-status": Case(check=status(304)),
    "odd-cookie": Case(check=lambda bad, _: "ss-id=odd\x01session" in bad.headers["Set-Cookie"], **PARTS),
    "odd-link": Case(check=lambda bad, _: "\x01" in bad.json()["links"]["next"], **CYCLIS),
    "encoded-body": Case(
        check=lambda bad, good: bad.headers["Content-Encoding"] == "shrunk" and len(bad.body) == len(good.body),
        params={"encoding": "shrunk"},
    ),
}  # fmt: skip
