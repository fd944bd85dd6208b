"""Faults of strangers: who else answers in the API's place, what no session can bear, and what is no sound HTTP."""

import json
from datetime import timedelta
from email.utils import format_datetime
from importlib import import_module

from aiohttp import web

from syncd.sandbox.answer import Answer
from syncd.sandbox.faults.table import Armed, Moment, Sender, Stage, fault

SESSION_APIS = ("autengo", "ghs")
PAGED = ("cyclesoftware", "autengo", "ghs")
HTML = "text/html; charset=UTF-8"
PAGES = {
    "challenge": b"<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>",
    "nginx": b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body>\r\n<center><h1>403 Forbidden</h1></center>"
    b"\r\n<hr><center>nginx/1.24.0</center>\r\n</body>\r\n</html>\r\n",
    "akamai": b"<HTML><HEAD>\n<TITLE>Access Denied</TITLE>\n</HEAD><BODY>\n<H1>Access Denied</H1></BODY>\n</HTML>\n",
    "portal": b'<?xml version="1.0"?><!-- login --><html><body><h1>Welkom bij gratis wifi</h1></body></html>',
    "text": b"error code: 1020",
    "empty": b"",
}
WAIT_S = 30
LONG_BYTES = 100_000


@fault("firewall-page", "what a firewall answers in the API's place; form=challenge, status=403", Stage.BEFORE)
def _firewall_page(moment: Moment, armed: Armed) -> None:
    form, status = str(armed.params.get("form", "challenge")), int(armed.params.get("status", 403))
    kind = "text/plain" if form in ("text", "empty") else HTML
    moment.answer = Answer(status=status, body=PAGES[form], content_type=kind)
    if form == "challenge":
        moment.answer.headers["cf-mitigated"] = "challenge"


@fault("retry-later", "a 503 with a Retry-After; status=503, seconds=30, or date=True", Stage.BEFORE)
def _retry_later(moment: Moment, armed: Armed) -> None:
    seconds = armed.params.get("seconds", WAIT_S)
    told = str(seconds)
    if armed.params.get("date"):
        told = format_datetime(moment.world.now() + timedelta(seconds=float(seconds)), usegmt=True)
    moment.answer = moment.api.error(int(armed.params.get("status", 503)), "Service Unavailable")
    moment.answer.headers["Retry-After"] = told


@fault("echo", "an error in the vendor's form that repeats the request: headers, query, body; status=400", Stage.BEFORE)
def _echo(moment: Moment, armed: Armed) -> None:
    ask = moment.ask
    told = f"{dict(ask.headers)} {dict(ask.query)} {ask.body.decode('utf-8', 'replace')}"
    moment.answer = moment.api.error(int(armed.params.get("status", 400)), told)


@fault("odd-status", "a status that answers something else than was asked; status=304", Stage.BEFORE)
def _odd_status(moment: Moment, armed: Armed) -> None:
    moment.answer = Answer(status=int(armed.params.get("status", 304)), body=b"")


@fault(
    "odd-session",
    "a login whose session no request can carry; sign=\\x01 in its middle",
    Stage.ANSWER,
    apis=SESSION_APIS,
    streams=("auth",),
)
def _odd_session(moment: Moment, armed: Armed) -> bool:
    body = moment.answered.body
    name = next((name for name in ("token", "sessionId") if name in body), None)
    if name is None:
        return False
    body[name] = body[name][:4] + str(armed.params.get("sign", "\x01")) + body[name][4:]
    return True


@fault("odd-cookie", "a 200 that sets a session id which no request can carry; sign=\\x01", Stage.WIRE, apis=("ghs",))
def _odd_cookie(moment: Moment, armed: Armed) -> None:
    cookie = f"Set-Cookie: ss-id=odd{armed.params.get('sign', chr(1))}session; path=/; HttpOnly\r\n"
    moment.sender = _sends(
        _whole(moment, b"Content-Length: %d\r\n" % len(moment.body) + cookie.encode("utf-8", "surrogateescape"))
    )


@fault("odd-link", "a next link that no request can carry; sign=\\x01 in it", Stage.ANSWER, apis=("cyclis",))
def _odd_link(moment: Moment, armed: Armed) -> bool:
    if moment.answered.rows_at is None:
        return False
    moment.answered.body["links"] = {"next": f"/orders{armed.params.get('sign', chr(1))}?page=2"}
    return True


@fault("encoded-body", "a body that is compressed, asked for or not; encoding=br, zstd, or one unknown", Stage.WIRE)
def _encoded_body(moment: Moment, armed: Armed) -> None:
    encoding = str(armed.params.get("encoding", "br"))
    if encoding == "br":
        moment.body = import_module("brotli").compress(moment.body)
    elif encoding == "zstd":
        moment.body = import_module("zstandard").ZstdCompressor().compress(moment.body)
    else:
        moment.body = bytes(byte ^ 0x5A for byte in moment.body)
    moment.headers["Content-Encoding"] = encoding


@fault(
    "unsound-http", "an answer that is no sound HTTP; kind=double-length, long-header, chunk; or raw=BYTES", Stage.WIRE
)
def _unsound_http(moment: Moment, armed: Armed) -> None:
    length = b"Content-Length: %d\r\n" % len(moment.body)
    heads = {
        "double-length": length + b"Content-Length: %d\r\n" % (len(moment.body) + 2),
        "long-header": length + b"X-Trace: " + b"a" * LONG_BYTES + b"\r\n",
        "chunk": b"Transfer-Encoding: chunked\r\n",
    }[str(armed.params.get("kind", "double-length"))]
    moment.sender = _sends(armed.params.get("raw") or _whole(moment, heads))


def _whole(moment: Moment, heads: bytes) -> bytes:
    """Return the answer with these headers as they stand: a proper server would refuse to write them."""
    begin = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nConnection: close\r\n" % moment.answered.status
    return begin + heads + b"\r\n" + moment.body


def _sends(raw: bytes) -> Sender:
    async def send(request: web.Request, _moment: Moment) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.write(raw)
            request.transport.close()
        return web.Response()

    return send


# Servers that refuse what no document promises


def _refuse(moment: Moment, armed: Armed, told: str) -> None:
    """Refuse in the vendor's form, or with form=html, empty."""
    status, form = int(armed.params.get("status", 400)), armed.params.get("form")
    moment.answer = moment.api.error(status, told)
    if form:
        moment.answer = Answer(status=status, body=PAGES["nginx"] if form == "html" else b"", content_type=HTML)


@fault(
    "own-offsets-only",
    "a 400 for an offset that no page of rows=100 ends at; status=400, form=",
    Stage.BEFORE,
    apis=PAGED,
)
def _own_offsets_only(moment: Moment, armed: Armed) -> bool:
    asked = moment.ask.query.get("offset", moment.ask.query.get("skip", "0"))
    if int(asked) % int(armed.params.get("rows", 100)) == 0:
        return False
    _refuse(moment, armed, "ongeldige offset")
    return True


@fault(
    "parameter-refused",
    "a 400 for a parameter which=, only if it is above most=, or for more than batch= keys",
    Stage.BEFORE,
    apis=PAGED,
)
def _parameter_refused(moment: Moment, armed: Armed) -> bool:
    name, most, batch = armed.params.get("which", ""), armed.params.get("most"), armed.params.get("batch")
    sent = moment.ask.query.get(str(name))
    is_refused = sent is not None and (most is None or int(sent) > int(most))
    if batch is not None and moment.ask.body:
        is_refused = len(json.loads(moment.ask.body)) > int(batch)
    if is_refused:
        _refuse(moment, armed, f"invalid {name}")
    return is_refused


@fault("header-refused", "a 406 for whoever sends the header which=Accept with value=json; status=406", Stage.BEFORE)
def _header_refused(moment: Moment, armed: Armed) -> bool:
    name = str(armed.params.get("which", "Accept"))
    value = str(armed.params.get("value", "json" if name == "Accept" else ""))
    if name not in moment.ask.headers or value not in moment.ask.headers[name]:
        return False
    moment.answer = moment.api.error(int(armed.params.get("status", 406)), f"{name} is not acceptable")
    return True
