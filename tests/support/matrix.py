"""The fault matrix as a table: each fault of the sandbox, the streams it can strike, and what is expected of a run."""

from typing import Any

import pytest

from tests.support.matrix_fault import AT_ONCE, EITHER, FAILED, MAYBE_THROTTLED, OK, SOON, THROTTLED, Fault
from tests.support.matrix_streams import (
    BARE,
    CHILDREN,
    DATED,
    FLAT,
    INSURANCES,
    LIMITED,
    LISTED,
    LISTS,
    NUMBERED,
    NUMBERS,
    ONCE,
    ONE_BY_ONE,
    PAGED,
    PAYMENTS,
    REPAIRS,
    ROWS,
    SESSIONS,
    SEVERAL,
    TOKENS,
    WAREHOUSE,
    WIRE,
)


def _passing(name: str, says: str, **more: Any) -> Fault:
    return Fault(name=name, streams=WIRE, says=says, **more)


def _lying(name: str, says: str, streams: tuple[str, ...] = WIRE, **more: Any) -> Fault:
    return Fault(name=name, streams=streams, once=EITHER, says=says, **more)


def _limiting(name: str, **more: Any) -> Fault:
    streams = ("shop.customers", "shop.stock", "lease.orders", "cars.vehicles", "parts.orders")
    return Fault(
        name=name, streams=streams, once=MAYBE_THROTTLED, lasting=THROTTLED, says="429|budget", sweeps=False, **more
    )


def _harmless(name: str, streams: tuple[str, ...] = WIRE, **more: Any) -> Fault:
    return Fault(name=name, streams=streams, lasting=OK, **more)


def _odd(name: str, streams: tuple[str, ...] = (*ROWS, *CHILDREN), *, sweeps: bool = False, **more: Any) -> Fault:
    return Fault(name=name, streams=streams, lasting=OK, rest=AT_ONCE, sweeps=sweeps, **more)


MATRIX: tuple[Fault, ...] = (
    # HTTP
    _passing("reset", "no whole answer"),
    _passing("reset", "no whole answer", params={"at": "start"}),
    _passing("truncated-body", "no whole answer"),
    _passing("corrupt-gzip", "no whole answer"),
    Fault(name="error-500", streams=LISTED, says="500"),
    Fault(name="reset", streams=LISTED, says="no whole answer"),
    Fault(name="truncated-body", streams=LISTED, says="no whole answer"),
    Fault(name="hang", streams=("shop.customers", "lease.orders", "cars.vehicles", "parts.orders"), once=EITHER,
          says="Timeout", sweeps=False),
    Fault(name="slow-drip", streams=("shop.customers", "lease.orders", "cars.vehicles", "parts.orders"), once=EITHER,
          says="Timeout", sweeps=False, params={"chunk_bytes": 4, "delay_s": 0.1}),
    _passing("gateway-504", "504"),
    _passing("error-500", "500"),
    _passing("error-xml", "500"),
    _passing("error-soap", "500"),
    _passing("reset-205", "205"),
    Fault(name="error-500", streams=SEVERAL, says="503", params={"status": 503}, after=1),
    _lying("error-in-200", "error inside|expected"),
    _lying("html-200", "HTML"),
    _lying("empty-200", "empty body"),
    _lying("error-in-200", "error inside|expected", streams=LISTED),
    _lying("html-200", "HTML", streams=LISTED),
    _lying("empty-200", "empty body", streams=LISTED),
    _lying("not-found-list", "404", streams=tuple(each for each in LISTED if each != "shop.code_list_entries")),
    _lying("null-list", "expected an array", streams=("shop.enums", "shop.employees", "shop.suppliers",
                                                     "shop.code_list_entries"), re_asked=True),
    _lying("nested-error", "error inside|expected", streams=(*LISTS, "shop.stores", "cars.models"), re_asked=True),
    _lying("wrong-content-length", "broken|expected"),
    _lying("not-found-list", "404", streams=(*LISTS, "shop.stores", "lease.dealers", "shop.platform_keys")),
    _lying("redirect-other-host", "redirect to elsewhere.example"),
    _lying("null-list", "expected an array", streams=(*LISTS, "shop.stores", "shop.stock", "lease.cyclists"),
           re_asked=True),
    _lying("missing-list", "expected an array", streams=(*LISTS, "shop.stores", "shop.stock", "lease.cyclists"),
           re_asked=True),
    _harmless("gzip-required", streams=LIMITED, strikes=False, sweeps=False),
    _harmless("unasked-gzip", sweeps=False),
    _harmless("unasked-gzip", params={"labelled": False}, sweeps=False),
    _harmless("bom", sweeps=False),
    _harmless("wrong-charset", sweeps=False),
    Fault(name="gzip-bomb", streams=("shop.stores", "lease.dealers", "cars.makes", "parts.account"), once=FAILED,
          says="larger than", lasting=None, params={"megabytes": 300}, sweeps=False),
    # Links, tokens and windows of days
    Fault(name="next-url-absent", streams=TOKENS[:1], once=FAILED, says="next_url. is missing"),
    Fault(name="next-url-repeats", streams=TOKENS, once=FAILED, says="paging loop"),
    Fault(name="token-expired", streams=TOKENS, lasting=FAILED),
    Fault(name="token-expired", streams=TOKENS, lasting=FAILED, params={"inside": True}),
    _harmless("range-refused", streams=DATED),
    _harmless("range-clamped", streams=DATED),
    _harmless("days-in-utc", streams=DATED),
    _harmless("last-day-excluded", streams=DATED),
    _harmless("row-left-out", streams=REPAIRS, params={"key": 820_002}),
    _lying("error-in-200", "error inside|expected", streams=(*REPAIRS, *PAYMENTS)),
    _lying("scope-revoked", "403", streams=(*REPAIRS, *PAYMENTS)),
    _lying("error-in-200", "error inside|expected", streams=INSURANCES),
    _lying("scope-revoked", "403", streams=INSURANCES),
    _lying("empty-200", "empty body", streams=INSURANCES),
    Fault(name="truncated-body", streams=INSURANCES, says="no whole answer"),
    Fault(name="reset", streams=(*REPAIRS, *PAYMENTS), says="no whole answer"),
    Fault(name="empty-list", streams=PAYMENTS, once=EITHER, lasting=EITHER, rest=AT_ONCE, buries=True),
    Fault(name="error-500", streams=TOKENS, says="500", after=1),
    _lying("error-in-200", "error inside|expected", streams=TOKENS),
    _lying("missing-list", "expected an array", streams=TOKENS, re_asked=True),
    _lying("scope-revoked", "403", streams=TOKENS),
    _harmless("row-inserted-ahead", streams=TOKENS),
    _harmless("duplicate-key-on-page", streams=TOKENS),
    Fault(name="stock-changes-unseen", streams=("shop.articles",), lasting=OK, deletes=True),
    _odd("unknown-field", leaves="drift", streams=("shop.articles",)),
    _odd("wrong-type", leaves="drift", streams=("shop.articles",)),
    _odd("missing-field", streams=("shop.articles",)),
    Fault(name="row-vanishes", streams=("shop.articles",), lasting=None, rest=AT_ONCE),
    Fault(name="null-key", streams=TOKENS, once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    # Authentication
    _passing("auth-expired", "401"),
    Fault(name="auth-expired", streams=SEVERAL, says="401", after=1),
    Fault(name="broken-session", streams=("parts.orders", "parts.products"), says="401"),
    Fault(name="error-xml", streams=("shop.customers", "shop.stock", "lease.orders"), says="401",
          params={"status": 401}),
    _passing("bad-credentials", "401"),
    _lying("scope-revoked", "403"),
    _lying("scope-revoked", "403", streams=LISTED),
    Fault(name="login-error-200", streams=SESSIONS, once=EITHER, says="login", target="auth"),
    Fault(name="refresh-fails", streams=("cars.vehicles",), lasting=OK, target="auth",
          wait={"hours": 22.5}),
    Fault(name="token-expires-early", streams=SESSIONS, once=OK, lasting=EITHER, says="401", target="auth"),
    _harmless("rotate-cookie", streams=("parts.orders", "parts.products")),
    Fault(name="expired-session-empty-list", streams=("cars.vehicles", "cars.models", "parts.orders", "parts.products"),
          lasting=EITHER),
    Fault(name="odd-session", streams=SESSIONS, once=OK, says="session", target="auth"),
    Fault(name="odd-cookie", streams=("parts.orders", "parts.products"), lasting=OK),
    Fault(name="odd-link", streams=("lease.orders", "lease.dealers"), once=FAILED, says="links.next"),
    # Strangers
    Fault(name="firewall-page", streams=WIRE, once=OK, says="not the API's own answer"),
    Fault(name="firewall-page", streams=WIRE, once=EITHER, says="HTML page", params={"form": "nginx", "status": 404}),
    Fault(name="firewall-page", streams=LISTS, once=EITHER, says="HTML page", params={"form": "portal", "status": 200}),
    Fault(name="odd-status", streams=WIRE, once=FAILED, says="nothing changed since"),
    Fault(name="retry-later", streams=WIRE, once=OK, says="503"),
    Fault(name="echo", streams=("shop.customers", "lease.orders"), once=FAILED, says="400"),
    Fault(name="echo", streams=("cars.vehicles", "parts.orders"), once=EITHER, says="400"),  # they know another way
    _harmless("encoded-body", sweeps=False),
    _harmless("encoded-body", params={"encoding": "zstd"}, sweeps=False),
    Fault(name="encoded-body", streams=WIRE, once=FAILED, says="encoded as 'shrunk'", params={"encoding": "shrunk"}),
    Fault(name="unsound-http", streams=WIRE, once=FAILED, says="Duplicate Content-Length"),
    Fault(name="unsound-http", streams=WIRE, once=FAILED, says="Got more than", params={"kind": "long-header"}),
    Fault(name="unsound-http", streams=WIRE, once=FAILED, says="chunk size", params={"kind": "chunk"}),
    # Servers that refuse what no document promises
    _harmless("own-offsets-only", streams=("shop.customers", "shop.sales_orders"), params={"rows": 4}),
    _harmless("own-offsets-only", streams=("parts.orders",), params={"rows": 100}, sweeps=False),
    _harmless("parameter-refused", streams=("cars.vehicles",), params={"which": "limit", "most": 3}),
    _harmless("parameter-refused", streams=("cars.vehicles",), params={"which": "order[field]"}),
    _harmless("parameter-refused", streams=("parts.orders",), params={"which": "take", "most": 25}),
    _harmless("parameter-refused", streams=("shop.stock",), params={"batch": 1}),
    _harmless("header-refused", streams=("shop.customers", "shop.stock", "lease.orders", "parts.orders"),
              params={"which": "Accept", "value": "json"}),
    _harmless("header-refused", streams=("cars.vehicles", "cars.models"), params={"which": "Accept-Language"}),
    # Limits
    _limiting("rate-limited"),
    _limiting("early-429"),
    _limiting("retry-after"),
    _limiting("retry-after-date"),
    _limiting("retry-after-garbage"),
    _limiting("retry-after-huge"),
    _limiting("daily-exhausted"),
    Fault(name="other-spender", streams=LIMITED, lasting=MAYBE_THROTTLED, params={"requests": 200}),
    _harmless("reset-in-past", streams=LIMITED, sweeps=False),
    _harmless("no-limit-headers", streams=LIMITED, sweeps=False),
    _harmless("bad-limit-headers", streams=LIMITED, sweeps=False),
    Fault(name="rate-limited", streams=LISTED, once=MAYBE_THROTTLED, lasting=THROTTLED, says="429|budget",
          sweeps=False),
    # Paging
    _harmless("row-inserted-ahead", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders")),
    Fault(name="row-deleted-ahead", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          lasting=EITHER, deletes=True),
    Fault(name="row-moved-ahead", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          lasting=EITHER),
    _harmless("late-commit", streams=(*LISTS, "shop.stores", "cars.models")),
    _harmless("object-moves", streams=("shop.stock", "shop.stock_items")),
    _harmless("shuffled-order", streams=("parts.products",)),
    _harmless("unstable-ties", streams=("cars.vehicles",), ties=True),
    Fault(name="ignored-offset", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          once=EITHER, lasting=EITHER, ties=True),
    _harmless("clamped-limit", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders",
                                        "parts.products"), params={"rows": 2}),
    _harmless("linked-pages", streams=("lease.orders", "lease.cyclists", "lease.companies", "lease.dealers"),
              params={"rows": 3}),
    _harmless("since-ignored", streams=("shop.customers", "shop.sales_orders", "lease.orders", "cars.vehicles"),
              sweeps=False),
    Fault(name="next-offset-repeats", streams=("shop.customers", "shop.sales_orders"), once=FAILED, says="loop"),
    Fault(name="next-offset-falls", streams=("shop.customers", "shop.sales_orders"), once=FAILED, says="loop"),
    Fault(name="next-offset-absent", streams=("shop.customers", "shop.sales_orders"), once=FAILED, says="pagination"),
    Fault(name="next-offset-absent", streams=("shop.customers", "shop.sales_orders"), once=FAILED, says="pagination",
          params={"whole": True}),
    _harmless("next-offset-string", streams=("shop.customers", "shop.sales_orders")),
    Fault(name="empty-page-with-next", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          once=EITHER, lasting=EITHER),
    Fault(name="count-disagrees", streams=("shop.customers", "shop.sales_orders", "cars.vehicles", "parts.orders"),
          once=EITHER, lasting=EITHER),
    Fault(name="total-changes", streams=("cars.vehicles", "parts.orders"), lasting=EITHER),
    Fault(name="next-link-other-host", streams=("lease.orders", "lease.cyclists", "lease.dealers"), once=FAILED,
          says="another host"),
    _harmless("next-link-other-host", streams=("shop.customers", "cars.vehicles", "parts.orders")),
    _harmless("duplicate-key-on-page", streams=(*LISTS, "shop.stock_items", "shop.stores", "shop.stock", "cars.makes")),
    _harmless("duplicate-key-on-page", streams=(*LISTS, "shop.stores", "shop.stock"), params={"stale": False}),
    _harmless("duplicate-key-on-page", streams=FLAT),
    Fault(name="error-500", streams=PAGED, says="503", params={"status": 503}, after=1),
    _lying("empty-200", "empty body", streams=PAGED),
    _lying("scope-revoked", "403", streams=PAGED),
    _lying("html-200", "HTML", streams=PAGED),
    _lying("error-in-200", "error inside|expected", streams=PAGED),
    _lying("null-list", "expected an array", streams=PAGED, re_asked=True),
    Fault(name="truncated-body", streams=PAGED, says="no whole answer"),
    _harmless("row-inserted-ahead", streams=PAGED),
    Fault(name="row-deleted-ahead", streams=PAGED, lasting=None, deletes=True),
    _harmless("clamped-limit", streams=PAGED, params={"rows": 2}),
    _harmless("duplicate-key-on-page", streams=PAGED),
    Fault(name="next-offset-repeats", streams=NUMBERED, once=FAILED, says="loop"),
    Fault(name="next-offset-absent", streams=NUMBERED, once=FAILED, says="pagination"),
    _harmless("next-offset-string", streams=NUMBERED),
    Fault(name="error-500", streams=ONE_BY_ONE, says="503", params={"status": 503}, after=1),
    Fault(name="truncated-body", streams=ONE_BY_ONE, says="no whole answer"),
    Fault(name="auth-expired", streams=ONE_BY_ONE, says="401"),
    Fault(name="rate-limited", streams=ONE_BY_ONE, once=MAYBE_THROTTLED, lasting=THROTTLED, says="429|budget",
          sweeps=False),
    _lying("scope-revoked", "403", streams=ONE_BY_ONE),
    _lying("empty-200", "empty body", streams=ONE_BY_ONE),
    _lying("html-200", "HTML", streams=ONE_BY_ONE),
    _lying("error-in-200", "error inside|expected", streams=ONE_BY_ONE),
    _lying("null-list", "expected an array", streams=("shop.comments",)),
    _odd("unknown-field", leaves="drift", streams=("shop.stock_objects", "shop.comments", "shop.supplier_orders")),
    _odd("wrong-type", leaves="drift", streams=("shop.stock_objects", "shop.comments", "shop.supplier_orders")),
    _odd("nul-in-text", leaves="drift", streams=("shop.comments",)),
    _odd("missing-field", streams=("shop.stock_objects", "shop.comments")),
    _odd("null-field", streams=("shop.stock_objects", "shop.comments")),
    Fault(name="null-key", streams=("shop.comments",), once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    Fault(name="null-key", streams=("shop.stock_objects",), once=FAILED, lasting=FAILED, says="got another"),
    _harmless("clamped-limit", streams=("shop.comments",), params={"rows": 2}),
    Fault(name="next-url-absent", streams=WAREHOUSE[:2], once=FAILED, says="next_url. is missing"),
    Fault(name="next-url-repeats", streams=WAREHOUSE[1:2], once=FAILED, says="paging loop"),
    Fault(name="token-expired", streams=WAREHOUSE[1:2], lasting=FAILED),
    Fault(name="token-expired", streams=WAREHOUSE[1:2], lasting=FAILED, params={"inside": True}),
    Fault(name="next-offset-repeats", streams=WAREHOUSE[2:3], once=FAILED, says="loop"),
    Fault(name="next-offset-absent", streams=WAREHOUSE[2:3], once=FAILED, says="pagination"),
    _harmless("next-offset-string", streams=WAREHOUSE[2:3]),
    _harmless("row-inserted-ahead", streams=(*WAREHOUSE[:1], WAREHOUSE[2])),
    Fault(name="error-500", streams=WAREHOUSE[:-1], says="503", params={"status": 503}, after=1),
    Fault(name="truncated-body", streams=WAREHOUSE, says="no whole answer"),
    _lying("scope-revoked", "403", streams=WAREHOUSE),
    _lying("empty-200", "empty body", streams=WAREHOUSE),
    _lying("error-in-200", "error inside|expected", streams=WAREHOUSE),
    _lying("not-found-list", "404", streams=WAREHOUSE),
    _lying("null-list", "expected an array", streams=WAREHOUSE),
    _harmless("clamped-limit", streams=(*WAREHOUSE[:1], WAREHOUSE[2]), params={"rows": 2}),
    _odd("unknown-field", leaves="drift", streams=WAREHOUSE),
    _odd("wrong-type", leaves="drift", streams=WAREHOUSE),
    _odd("missing-field", streams=WAREHOUSE),
    _odd("row-vanishes", streams=WAREHOUSE, buries=True, sweeps=True),
    _harmless("duplicate-key-on-page", streams=tuple(each for each in WAREHOUSE if "pos_items" not in each)),
    # a row that came twice: the walk proves nothing, so what is gone waits for the next one
    Fault(name="duplicate-key-on-page", streams=("shop.warehouse_pos_items",), once=OK, lasting=None, rest=AT_ONCE),
    Fault(name="error-500", streams=BARE, says="500"),
    Fault(name="truncated-body", streams=BARE, says="no whole answer"),
    Fault(name="auth-expired", streams=BARE, says="401"),
    _lying("empty-200", "empty body", streams=BARE),
    _lying("html-200", "HTML", streams=BARE),
    _lying("error-in-200", "error inside|expected", streams=BARE),
    _lying("not-found-list", "404", streams=BARE),
    _lying("null-list", "expected an array", streams=BARE),
    # Data
    _odd("unknown-field", leaves="drift", streams=ONCE),
    _odd("wrong-type", leaves="drift", streams=ONCE),
    _odd("nul-in-text", leaves="drift", streams=ONCE),
    _odd("unknown-field", leaves="drift", streams=PAGED),
    _odd("wrong-type", leaves="drift", streams=PAGED),
    Fault(name="null-key", streams=PAGED[:1], once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE,
          refuses_once=True),
    Fault(name="null-key", streams=PAGED[1:], once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    _odd("missing-field", streams=(*LISTED, *PAGED)),
    _odd("null-field", streams=LISTED),
    Fault(name="null-key", streams=("shop.enums", *FLAT, "shop.code_list_entries"), once=EITHER, lasting=EITHER,
          leaves="rejects", rest=AT_ONCE),
    _odd("row-vanishes", streams=FLAT, buries=True, sweeps=True),
    Fault(name="empty-list", streams=FLAT, once=FAILED, says="would bury"),
    _odd("nul-in-text", leaves="drift"),
    _odd("lone-surrogate", leaves="drift"),
    _odd("invalid-utf8", leaves="drift", streams=(*ROWS, "parts.urgent_messages")),
    _odd("wrong-type", leaves="drift"),
    _odd("huge-integer", streams=NUMBERS),
    _odd("big-integer", streams=NUMBERS),
    _odd("nan", streams=NUMBERS, leaves="drift"),
    _odd("infinity", streams=NUMBERS, leaves="drift"),
    _odd("megabyte-note", streams=("shop.customers", "lease.orders", "cars.vehicles", "parts.orders")),
    _odd("null-field"),
    _odd("unknown-field", leaves="drift"),
    _odd("missing-field"),
    _odd("unknown-enum", streams=("shop.customers", "shop.leads", "lease.orders", "cars.vehicles", "parts.orders",
                                  "parts.urgent_messages")),
    _odd("bad-time", streams=("shop.customers", "shop.stock_items", "lease.orders", "cars.vehicles", "parts.orders",
                              "parts.urgent_messages")),
    Fault(name="null-key", streams=ROWS, once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    Fault(name="empty-key", streams=ROWS, once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    Fault(name="missing-key", streams=ROWS, once=EITHER, lasting=EITHER, leaves="rejects", rest=AT_ONCE),
    Fault(name="null-key", streams=("shop.stores", "shop.stock", "cars.models", "lease.cyclists",
                                    "parts.urgent_messages"), once=EITHER, lasting=EITHER, rest=AT_ONCE,
          says="no usable key", leaves="rejects"),
    _odd("null-key", streams=("shop.customer_phone_numbers",), leaves="drift", buries=True),
    _odd("string-key", streams=("shop.customers", "shop.stock_items", "shop.stock", "shop.sales_orders", "cars.makes",
                                "cars.contacts", "parts.urgent_messages")),
    _odd("arrays-reordered", streams=("shop.customers", "lease.dealers", "cars.vehicles", "parts.orders",
                                      "parts.account")),
    Fault(name="null-record", streams=(*ROWS, "shop.stores", "shop.stock", "cars.models"), lasting=EITHER, once=EITHER,
          leaves="rejects", rest=AT_ONCE),
    _odd("orphan-relation", streams=("shop.stock", "shop.leads", "shop.sales_orders", "lease.orders", "lease.cyclists",
                                     "parts.orders"), buries=True),
    _odd("row-vanishes", streams=(*LISTS, "shop.stores", "shop.stock", "shop.stock_items", "cars.models"), buries=True,
         sweeps=True),
    Fault(name="empty-list", streams=("shop.stores", "shop.platform_keys", "shop.stock_items", "lease.dealers",
                                      "lease.cyclists"), once=FAILED, says="would bury"),
    Fault(name="empty-list", streams=("cars.vehicles", "cars.models", "parts.orders", "lease.orders", "shop.customers"),
          once=EITHER, lasting=EITHER, rest=AT_ONCE),
    # Time
    _harmless("clock-ahead", streams=LISTS, rest=SOON, changes_soon=True, sweeps=False, params={"skew_s": 14_400}),
    _harmless("clock-behind", streams=LISTS, rest=SOON, changes_soon=True, sweeps=False, params={"skew_s": 14_400}),
    _harmless("clock-jumps", streams=LISTS, rest=SOON, changes_soon=True, sweeps=False, params={"skew_s": 14_400}),
    _harmless("bad-date", streams=LISTS, rest=SOON, changes_soon=True, sweeps=False),
)  # fmt: skip


def _cells() -> list[Any]:
    """Return all cells; those that `make test` leaves to `make matrix` carry the mark.

    `make test` tries every other fault once, in one of its forms and on one of its streams, by turns.
    """
    forms: dict[str, list[Fault]] = {}
    for fault in MATRIX:
        forms.setdefault(fault.name, []).append(fault)
    chosen: dict[int, str] = {}
    for turn, kinds in enumerate([*forms.values()][::2]):
        fault = kinds[turn % len(kinds)]
        chosen[id(fault)] = fault.streams[turn % len(fault.streams)]
    cells = []
    for fault in MATRIX:
        for stream in fault.streams:
            marks = () if stream == chosen.get(id(fault)) else (pytest.mark.matrix,)
            cells.append(pytest.param(fault, stream, id=f"{fault.shown}-{stream}".replace(" ", "-"), marks=marks))
    return cells


CELLS = _cells()


def is_hard(fault: Fault) -> bool:
    """Say whether a fault strikes in mid-run, moves the upstream under a run, or outlasts it.

    These are the ones that a run hands on to the next, which with workers is another process.
    """
    outlasts = fault.lasting in (THROTTLED, MAYBE_THROTTLED)
    return bool(fault.after or fault.moves_the_world or fault.ties or fault.deletes or outlasts)


def _hardest() -> list[Any]:
    """Return the hard cells: `make acceptance` tries them, and `make matrix` every eighth, from the first on."""
    hard = [cell for cell in CELLS if is_hard(cell.values[0])]
    return [
        pytest.param(*cell.values, id=cell.id, marks=pytest.mark.acceptance if number % 8 else pytest.mark.matrix)
        for number, cell in enumerate(hard)
    ]


HARDEST = _hardest()
"""About a tenth of the cells."""
