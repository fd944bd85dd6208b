"""The callback by which Cyclis tells of a changed order, and how its address is registered."""

import re
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec

from syncd.contract import (
    Callbacks,
    CannotTell,
    Options,
    Upstream,
)
from syncd.contract.errors import BadPayload, BadRequest, NotFound, ScopeMissing
from syncd.contract.options import text_option
from syncd.records.readers import (
    scalar,
)

PATH = text_option("callbacks_path", "path below base_url where the address is registered", default="/callbacks")
FIELD = text_option("callbacks_field", "field in which it is sent there", default="url")

_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def _named(body: bytes) -> tuple[uuid.UUID] | None:
    """Read the id of the order that a callback names; None for the one about companies, whose form is not known."""
    try:
        told = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadPayload("expected a JSON object in the callback") from None
    match told:
        case {"data": {"type": "orderCallback", "attributes": {"uuid": str(key)}}} if _UUID.fullmatch(key):
            return (uuid.UUID(key),)
        case {"data": {"type": str(kind)}} if kind != "orderCallback":
            return None
    raise BadPayload("expected `data` with type orderCallback and attributes.uuid in the callback")


async def _registered(upstream: Upstream, options: Options) -> str | None:
    """Ask which address is called; the page documents neither this request nor the form of its answer."""
    try:
        answer = await upstream.request("GET", _callbacks_path(options))
    except (NotFound, ScopeMissing, BadRequest) as error:
        raise CannotTell(str(error)) from None
    told = scalar(answer.body)
    addresses = set(_addresses(told))
    if len(addresses) == 1:
        return addresses.pop()
    if not addresses and isinstance(told, dict) and not told.get("data", told):
        return None
    raise CannotTell(f"GET {_callbacks_path(options)} answered something that holds {len(addresses)} addresses")


def _addresses(value: Any) -> Iterator[str]:
    """Yield every address in an answer but JSON:API's own links, whatever its field is called."""
    match value:
        case str() if value.lower().startswith(("https://", "http://")):
            yield value
        case dict():
            for name, member in value.items():
                yield from () if name == "links" else _addresses(member)
        case list():
            for member in value:
                yield from _addresses(member)


async def _register(upstream: Upstream, options: Options, url: str) -> None:
    await upstream.request("POST", _callbacks_path(options), json={FIELD.of(options): url})


async def _clear(upstream: Upstream, options: Options) -> None:
    await upstream.request("DELETE", _callbacks_path(options))


def _callbacks_path(options: Options) -> str:
    return "/" + PATH.of(options).strip("/")


CALLBACKS = Callbacks(stream="orders", named=_named, registered=_registered, register=_register, clear=_clear)
