"""Faults of transport, status and authentication: what comes instead of an answer, and what happens to its bytes."""

import asyncio
import gzip
import zlib
from datetime import timedelta
from email.utils import format_datetime
from functools import cache

from aiohttp import web

from syncd.sandbox.answer import Answer
from syncd.sandbox.apis.autengo import Autengo
from syncd.sandbox.apis.ghs import Ghs
from syncd.sandbox.faults.table import Armed, Moment, Stage, fault

OTHER_HOST = "http://elsewhere.example"
XML = "application/xml; charset=utf-8"
HTML = b"<!DOCTYPE html><html><head><title>Onderhoud</title></head><body><h1>Wij zijn zo terug</h1></body></html>"
SESSION_APIS = ("autengo", "ghs")
HANG_S = 3_600.0
SKEW_S = 600
BOMB_MEGABYTES = 100

# Instead of an answer


@fault("error-in-200", "a 200 whose body is an error in the vendor's form", Stage.BEFORE)
def _error_in_200(moment: Moment, _armed: Armed) -> None:
    moment.answer = moment.api.error(200, "Database is tijdelijk niet bereikbaar")


@fault("html-200", "a 200 with an HTML page", Stage.BEFORE)
def _html_200(moment: Moment, armed: Armed) -> None:
    moment.answer = Answer(body=HTML, content_type=armed.params.get("content_type", "text/html; charset=utf-8"))


@fault("empty-200", "a 200 with no body at all", Stage.BEFORE)
def _empty_200(moment: Moment, _armed: Armed) -> None:
    moment.answer = Answer(body=b"")


@fault("error-xml", "an error as XML; status=500, or 401", Stage.BEFORE)
def _error_xml(moment: Moment, armed: Armed) -> None:
    status = int(armed.params.get("status", 500))
    text = "Unauthorized" if status == 401 else "Server error"
    body = f'<?xml version="1.0"?>\n<result>\n  <error>1</error>\n  <error_message>{text}</error_message>\n</result>\n'
    moment.answer = Answer(status=status, body=body.encode(), content_type=XML)


@fault("error-soap", "an error as a SOAP fault; status=500", Stage.BEFORE)
def _error_soap(moment: Moment, armed: Armed) -> None:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body><SOAP-ENV:Fault>'
        "<faultcode>400</faultcode><faultstring>The problem description</faultstring>"
        "</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>"
    )
    moment.answer = Answer(status=int(armed.params.get("status", 500)), body=body.encode(), content_type=XML)


@fault("nested-error", "an error hidden under data.data; status=200", Stage.BEFORE)
def _nested_error(moment: Moment, armed: Armed) -> None:
    error = {"error": "NOACC", "message": "Your API token is not allowed to do this"}
    moment.answer = Answer(status=int(armed.params.get("status", 200)), body={"data": {"data": error}})


@fault("error-500", "an internal server error; status=500, or any other", Stage.BEFORE)
def _error_500(moment: Moment, armed: Armed) -> None:
    moment.answer = moment.api.error(int(armed.params.get("status", 500)), "Internal Server Error")


@fault("gateway-504", "a 504: a third party of the vendor is down", Stage.BEFORE)
def _gateway_504(moment: Moment, _armed: Armed) -> None:
    moment.answer = moment.api.error(504, "mpm-down")


@fault("reset-205", "a 205 without a body: the same request is to be sent again", Stage.BEFORE)
def _reset_205(moment: Moment, armed: Armed) -> None:
    told = armed.params.get("body", False)
    moment.answer = moment.api.error(205, "reset-session") if told else Answer(status=205, body=b"")


@fault("not-found-list", "a 404 on a list", Stage.BEFORE)
def _not_found_list(moment: Moment, _armed: Armed) -> None:
    moment.answer = moment.api.error(404, "Not Found")


@fault("redirect-other-host", "a 302 to another host; location=URL", Stage.BEFORE)
def _redirect(moment: Moment, armed: Armed) -> None:
    answer = Answer(status=int(armed.params.get("status", 302)), body=b"")
    answer.headers["Location"] = armed.params.get("location", f"{OTHER_HOST}{moment.ask.path}")
    moment.answer = answer


@fault("gzip-required", "a 400 for whoever does not accept gzip", Stage.BEFORE, apis=("cyclesoftware",))
def _gzip_required(moment: Moment, _armed: Armed) -> bool:
    if "gzip" in moment.ask.headers.get("Accept-Encoding", ""):
        return False
    moment.answer = moment.api.error(400, "Accept-Encoding: gzip is required")
    return True


# Authentication


@fault("auth-expired", "a 401 in mid-course; the session or token is dead from now on", Stage.BEFORE)
def _auth_expired(moment: Moment, _armed: Armed) -> None:
    moment.api.end_session(moment.ask)
    moment.answer = moment.api.error(401, "Unauthorized")


@fault("broken-session", "a 401 broken-session: the session was corrupted", Stage.BEFORE, apis=("ghs",))
def _broken_session(moment: Moment, _armed: Armed) -> None:
    moment.api.end_session(moment.ask)
    moment.answer = moment.api.error(401, "broken-session")


@fault("bad-credentials", "a 401 on everything, the login too", Stage.BEFORE, streams=("*",))
def _bad_credentials(moment: Moment, _armed: Armed) -> None:
    moment.answer = moment.api.error(
        401, "auth-invalid-username-password" if moment.ask.api == "ghs" else "Unauthorized"
    )


@fault("scope-revoked", "a 403: the account may not read this any more", Stage.BEFORE)
def _scope_revoked(moment: Moment, _armed: Armed) -> None:
    moment.answer = moment.api.error(403, "Forbidden")


@fault(
    "login-error-200",
    "a login that answers 200 and carries an error",
    Stage.BEFORE,
    apis=SESSION_APIS,
    streams=("auth",),
)
def _login_error_200(moment: Moment, _armed: Armed) -> None:
    moment.answer = moment.api.login_failure()


@fault("refresh-fails", "a 401 on the refresh of a token", Stage.BEFORE, apis=("autengo",), streams=("auth",))
def _refresh_fails(moment: Moment, _armed: Armed) -> bool:
    if not moment.ask.path.endswith("/auth/refresh"):
        return False
    moment.answer = moment.api.error(401, "Token can not be refreshed")
    return True


@fault(
    "token-expires-early",
    "a token or session that is good for few requests only; uses=1",
    Stage.ANSWER,
    apis=SESSION_APIS,
    streams=("auth",),
)
def _token_expires_early(moment: Moment, armed: Armed) -> None:
    uses, body = int(armed.params.get("uses", 1)), moment.answered.body
    if isinstance(moment.api, Autengo):
        moment.api.tokens[body["token"]].uses_left = uses
    elif isinstance(moment.api, Ghs):
        moment.api.sessions[body["sessionId"]].uses_left = uses


@fault("rotate-cookie", "a 200 with a new session id in Set-Cookie; the old one is dead", Stage.ANSWER, apis=("ghs",))
def _rotate_cookie(moment: Moment, _armed: Armed) -> None:
    if isinstance(moment.api, Ghs):
        moment.api.rotate(moment.ask, moment.answered)


@fault(
    "expired-session-empty-list",
    "a 200 with an empty list, because the session is over",
    Stage.ANSWER,
    apis=SESSION_APIS,
)
def _expired_session_empty_list(moment: Moment, _armed: Armed) -> bool:
    answer = moment.answered
    if answer.rows_at is None or not answer.is_list:
        return False
    answer.rows = []
    for name in ("total", "totalResults"):
        if name in answer.body:
            answer.body[name] = 0
    moment.api.end_session(moment.ask)
    return True


# Bytes and headers


async def _send_part(request: web.Request, moment: Moment, *, abort: bool) -> web.StreamResponse:
    """Promise the whole body, send half of it, and cut the connection."""
    response = web.StreamResponse(status=moment.answered.status, headers=moment.headers)
    response.content_length = len(moment.body)
    await response.prepare(request)
    await response.write(moment.body[: len(moment.body) // 2])
    _cut(request, abort=abort)
    return response


def _cut(request: web.Request, *, abort: bool) -> None:
    transport = request.transport
    if transport is not None:
        transport.abort() if abort else transport.close()


async def _send_half(request: web.Request, moment: Moment) -> web.StreamResponse:
    return await _send_part(request, moment, abort=False)


async def _send_and_reset(request: web.Request, moment: Moment) -> web.StreamResponse:
    return await _send_part(request, moment, abort=True)


async def _send_nothing(request: web.Request, _moment: Moment) -> web.StreamResponse:
    _cut(request, abort=True)
    return web.Response()


async def _hang(_request: web.Request, _moment: Moment) -> web.StreamResponse:
    await asyncio.sleep(HANG_S)
    return web.Response(status=504)


@fault("truncated-body", "half of the promised body, then the end of the connection", Stage.WIRE)
def _truncated_body(moment: Moment, _armed: Armed) -> None:
    moment.sender = _send_half


@fault("wrong-content-length", "a Content-Length that is smaller than the body", Stage.WIRE)
def _wrong_content_length(moment: Moment, _armed: Armed) -> None:
    moment.body = moment.body[: max(1, len(moment.body) * 2 // 3)]  # what a client makes of it


@fault("reset", "a connection that is reset in the middle of the body; at='start': before any answer", Stage.WIRE)
def _reset(moment: Moment, armed: Armed) -> None:
    moment.sender = _send_nothing if armed.params.get("at") == "start" else _send_and_reset
    moment.cut = armed.params.get("at") == "start"


@fault("hang", "no answer at all, on an open connection", Stage.WIRE)
def _hangs(moment: Moment, _armed: Armed) -> None:
    moment.sender, moment.cut = _hang, True


@fault("slow-drip", "a body in small pieces; chunk_bytes=64, delay_s=0.05", Stage.WIRE)
def _slow_drip(moment: Moment, armed: Armed) -> None:
    chunk_bytes, delay_s = int(armed.params.get("chunk_bytes", 64)), float(armed.params.get("delay_s", 0.05))

    async def drip(request: web.Request, moment: Moment) -> web.StreamResponse:
        response = web.StreamResponse(status=moment.answered.status, headers=moment.headers)
        response.content_length = len(moment.body)
        await response.prepare(request)
        for start in range(0, len(moment.body), chunk_bytes):
            await response.write(moment.body[start : start + chunk_bytes])
            await asyncio.sleep(delay_s)
        return response

    moment.sender = drip


@fault("corrupt-gzip", "a body that says gzip and is damaged", Stage.WIRE)
def _corrupt_gzip(moment: Moment, _armed: Armed) -> None:
    packed = gzip.compress(moment.body)
    half = len(packed) // 2
    moment.body = packed[:half] + bytes(byte ^ 0x5A for byte in packed[half:])
    moment.headers["Content-Encoding"] = "gzip"


@fault("unasked-gzip", "a gzip body, asked for or not; labelled=False leaves the header out", Stage.WIRE)
def _unasked_gzip(moment: Moment, armed: Armed) -> None:
    moment.body = gzip.compress(moment.body)
    moment.headers["Content-Encoding"] = "gzip" if armed.params.get("labelled", True) else "identity"


@fault("gzip-bomb", "a small gzip body that unpacks to megabytes=100 of blanks before the answer", Stage.WIRE)
def _gzip_bomb(moment: Moment, armed: Armed) -> None:
    moment.body = _blanks(int(armed.params.get("megabytes", BOMB_MEGABYTES))) + gzip.compress(moment.body)
    moment.headers["Content-Encoding"] = "gzip"


@cache
def _blanks(megabytes: int) -> bytes:
    packer = zlib.compressobj(1, wbits=31)  # 31: a gzip member; the answer follows as a second one
    return b"".join([*(packer.compress(b" " * (1 << 20)) for _ in range(megabytes)), packer.flush()])


@fault("bom", "a byte order mark before the JSON", Stage.WIRE)
def _bom(moment: Moment, _armed: Armed) -> None:
    moment.body = b"\xef\xbb\xbf" + moment.body


@fault("wrong-charset", "UTF-8 that is labelled as iso-8859-1", Stage.WIRE)
def _wrong_charset(moment: Moment, _armed: Armed) -> None:
    moment.headers["Content-Type"] = "application/json; charset=iso-8859-1"


# The server's clock


def _shift_date(moment: Moment, offset_s: float) -> None:
    moment.headers["Date"] = format_datetime(moment.world.now() + timedelta(seconds=offset_s), usegmt=True)


@fault("clock-ahead", "a Date header that is skew_s=600 ahead", Stage.WIRE)
def _clock_ahead(moment: Moment, armed: Armed) -> None:
    _shift_date(moment, float(armed.params.get("skew_s", SKEW_S)))


@fault("clock-behind", "a Date header that is skew_s=600 behind", Stage.WIRE)
def _clock_behind(moment: Moment, armed: Armed) -> None:
    _shift_date(moment, -float(armed.params.get("skew_s", SKEW_S)))


@fault("clock-jumps", "a Date header that is skew_s=600 ahead and behind in turns", Stage.WIRE)
def _clock_jumps(moment: Moment, armed: Armed) -> None:
    _shift_date(moment, float(armed.params.get("skew_s", SKEW_S)) * (-1 if armed.hits % 2 else 1))


@fault("bad-date", "a Date header that is no date", Stage.WIRE)
def _bad_date(moment: Moment, _armed: Armed) -> None:
    moment.headers["Date"] = "gisteren"
