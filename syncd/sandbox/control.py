"""The sandbox's own paths, for other processes: the truth, changes, faults, callbacks, and the log of requests.

Owns `/_sandbox/`; no vendor knows it, and it asks for no credentials.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from syncd.sandbox.apis.cyclesoftware.webhooks import HOSTILE as WEBHOOK_HOSTILE
from syncd.sandbox.apis.cyclis.callbacks import HOSTILE
from syncd.sandbox.catalog import KEYS
from syncd.sandbox.faults import KINDS, parse_fault
from syncd.sandbox.sandbox import Sandbox

PREFIX = "/_sandbox"


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def routes(sandbox: Sandbox) -> list[web.RouteDef]:
    """Return the control paths of a sandbox."""

    async def truth(request: web.Request) -> web.Response:
        api, stream = request.match_info["api"], request.match_info["stream"]
        if stream not in KEYS.get(api, {}):
            return _json({"error": f"there is no stream {api}.{stream}"}, 404)
        return _json(sandbox.truth(api, stream))

    async def list_faults(_request: web.Request) -> web.Response:
        known = {name: kind.description for name, kind in sorted(KINDS.items())}
        return _json({"armed": sandbox.faults.armed(), "known": known})

    async def add_fault(request: web.Request) -> web.Response:
        given = await request.json()
        spec = parse_fault(given["fault"])
        sandbox.faults.add(**spec, after=given.get("after", 0), **given.get("params", {}))
        return _json(sandbox.faults.armed())

    async def remove_faults(request: web.Request) -> web.Response:
        name = request.match_info.get("name")
        sandbox.faults.remove(name) if name else sandbox.faults.clear()
        return _json(sandbox.faults.armed())

    async def evolve(request: web.Request) -> web.Response:
        given = await request.json() if request.can_read_body else {}
        sandbox.evolve(int(given.get("steps", 1)))
        return _json({"ok": True})

    async def requests(_request: web.Request) -> web.Response:
        counts: dict[str, Counter[str]] = {}
        for entry in sandbox.requests:
            endpoint = f"{entry.api} {entry.method} {entry.endpoint or entry.path}"
            counts.setdefault(endpoint, Counter())[str(entry.status)] += 1
        return _json(counts)

    async def put(request: web.Request) -> web.Response:
        given = await request.json()
        sandbox.put(given["api"], given["stream"], given["record"])
        return _json({"ok": True})

    async def delete(request: web.Request) -> web.Response:
        given = await request.json()
        key = given["key"]
        sandbox.delete(given["api"], given["stream"], tuple(key) if isinstance(key, list) else key)
        return _json({"ok": True})

    return [
        web.get(f"{PREFIX}/truth/{{api}}/{{stream}}", truth),
        web.get(f"{PREFIX}/faults", list_faults),
        web.post(f"{PREFIX}/faults", _checked(add_fault)),
        web.delete(f"{PREFIX}/faults", remove_faults),
        web.delete(f"{PREFIX}/faults/{{name}}", remove_faults),
        web.post(f"{PREFIX}/evolve", _checked(evolve)),
        web.get(f"{PREFIX}/requests", requests),
        *_callback_routes(sandbox),
        web.post(f"{PREFIX}/put", _checked(put)),
        web.post(f"{PREFIX}/delete", _checked(delete)),
    ]


def _callback_routes(sandbox: Sandbox) -> list[web.RouteDef]:
    async def list_callbacks(_request: web.Request) -> web.Response:
        calls = sandbox.callbacks
        sent = [{"kind": call.kind, "status": call.status} for call in calls.sent]
        return _json({"registered": calls.url, "sent": sent, "waiting": calls.waiting, "known": HOSTILE})

    async def send_callback(request: web.Request) -> web.Response:
        given = await request.json()
        sandbox.callbacks.attack(given["kind"], times=int(given.get("times", 1)))
        return _json({"ok": True})

    async def list_webhooks(_request: web.Request) -> web.Response:
        calls = sandbox.webhooks
        sent = [{"kind": call.kind, "status": call.status} for call in calls.sent]
        known = {"url": calls.url, "waiting": calls.courier.waiting, "known": WEBHOOK_HOSTILE}
        return _json({**known, "sent": sent})

    async def set_webhooks(request: web.Request) -> web.Response:
        given = await request.json()
        calls = sandbox.webhooks
        for name in ("url", "secret", "hash", "over", "form"):
            if name in given:
                setattr(calls, name, given[name])
        if "kind" in given:
            calls.attack(given["kind"], times=int(given.get("times", 1)))
        return _json({"ok": True})

    return [
        web.get(f"{PREFIX}/webhooks", list_webhooks),
        web.post(f"{PREFIX}/webhooks", _checked(set_webhooks)),
        web.get(f"{PREFIX}/callbacks", list_callbacks),
        web.post(f"{PREFIX}/callbacks", _checked(send_callback)),
    ]


Control = Callable[[web.Request], Awaitable[web.Response]]


def _checked(handle: Control) -> Control:
    """Answer wrong words with 400 and a reason."""

    async def handle_checked(request: web.Request) -> web.Response:
        try:
            return await handle(request)
        except (KeyError, ValueError, TypeError) as error:
            return _json({"error": f"{type(error).__name__}: {error}"}, 400)

    return handle_checked
