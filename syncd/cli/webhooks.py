"""What the commands say of webhooks: what to enter at the vendor, what came of them, why one is refused."""

from collections.abc import Mapping
from datetime import UTC, datetime

from syncd.cli import console
from syncd.cli.finding import Finding
from syncd.config import Config, Http, SourceConfig
from syncd.contract import Source, Webhooks
from syncd.contract.options import CALLBACK_URL, WEBHOOK_HASH
from syncd.errors import UsageError
from syncd.service.callbacks import registration, signature
from syncd.service.callbacks.signature import secret_of
from syncd.storage.postgres.database import Database
from syncd.storage.state import webhooks as taken
from syncd.storage.state.webhooks import Heard

PAGE = "docs/callbacks.md"
REFUSED = "refused: "


def print_entry(settings: SourceConfig, webhooks: Webhooks, listen: Http | None, *, as_json: bool) -> int:
    """Print what to enter at the vendor. Raises UsageError for a source without a secret, or that does not listen."""
    secret = _require_secret(settings, listen)
    url = CALLBACK_URL.of(settings.options)
    base = url or f"http://{listen.host}:{listen.port}" if listen else ""
    address = registration.address(str(base), settings.name, registration.place_of(secret, settings.name), "path")
    hash_name = WEBHOOK_HASH.of(settings.options)
    if as_json:
        entry = {"source": settings.name, "address": address, "events": webhooks.events, "secret": secret}
        console.print_json({**entry, "hash": hash_name})
        return 0
    console.say(f"Enter this at the vendor, for {settings.name}. Address and secret are for the vendor's eyes only.")
    console.say(f"address: {address}")
    console.reveal(f"secret:  {secret}")
    for place, event in enumerate(webhooks.events):
        console.say(f"{'events: ' if not place else '        '} {event}")
    console.say(f"Calls are expected to be signed by HMAC with {hash_name}, in the header {webhooks.signature}.")
    if not url:
        console.print_note(
            f"callback_url is not set in [sources.{settings.name}], so the address is that of this machine; see {PAGE}"
        )
    return 0


def _require_secret(settings: SourceConfig, listen: Http | None) -> str:
    name = settings.name
    if not settings.options.get("callbacks"):
        raise UsageError(
            f"{name} does not listen for webhooks", hint=f"Take callbacks = false out of [sources.{name}]. See {PAGE}."
        )
    if listen is None:
        raise UsageError('nothing is listened for: http.callback_listen is "off"', hint=f"Take that out. See {PAGE}.")
    if not secret_of(settings):
        raise UsageError(
            f"{name} has no webhook_secret, and without it no webhook is accepted",
            hint=f"Make one up, put it into a file or a variable, and write webhook_secret = {{ file = … }} in"
            f" [sources.{name}]. A good one: {registration.new_secret()}",
        )
    return secret_of(settings)


async def show(settings: SourceConfig, webhooks: Webhooks, database: Database, *, as_json: bool) -> int:
    """Say whether webhooks are listened for, and what became of those of the last days."""
    heard = await taken.heard(database, settings.name, now=datetime.now(UTC))
    listens = bool(settings.options.get("callbacks") and secret_of(settings))
    if as_json:
        console.print_json({"source": settings.name, "listens": listens, "events": webhooks.events, "heard": heard})
        return 0
    console.say(f"listens:     {'yes' if listens else 'no (webhook_secret is not set)'}")
    console.say(f"last heard:  {f'{heard[0].last_at:%Y-%m-%d %H:%M:%S} UTC, {heard[0].result}' if heard else 'never'}")
    for one in heard:
        console.say(f"             {one.count:,} {one.result}")
    return 0


async def findings(settings: Config, registry: Mapping[str, Source], database: Database) -> list[Finding]:
    """Return for each source that listens for webhooks what came of them, and what is wrong if they are refused."""
    found = []
    for source in settings.sources.values():
        webhooks = registry[source.type].webhooks
        if webhooks is None or not source.options.get("callbacks") or source.options.get("webhook_secret") is None:
            continue
        if settings.callback_listen is None:
            detail = 'webhook_secret is set, but http.callback_listen is "off": no webhook comes'
            found.append(Finding(what=f"webhooks of {source.name}", state="warning", detail=detail))
            continue
        heard = await taken.heard(database, source.name, now=datetime.now(UTC))
        found.append(judge(source, webhooks, heard))
    return found


def judge(settings: SourceConfig, webhooks: Webhooks, heard: list[Heard]) -> Finding:
    """Say what became of the webhooks of the last days; a warning if the latest were refused by their signature."""
    what = f"webhooks of {settings.name}"
    if not heard:
        hint = f"If they should: syncd callbacks register {settings.name} says what to enter at the vendor."
        return Finding(what=what, state="ok", detail="none came in seven days", hint=hint)
    kinds = (signature.WRONG, signature.MISSING, *(f"signed with {name}" for name in signature.HASHES))
    wrong = [one for one in heard if one.result in {REFUSED + kind for kind in kinds}]
    good_at = max((one.last_at for one in heard if not one.result.startswith(REFUSED)), default=None)
    latest = next((one for one in wrong if good_at is None or one.last_at > good_at), None)
    foreign = next((one for one in heard if one.result == "ignored: another account"), None)
    if latest:
        detail, hint = _refused(settings, webhooks, latest)
        return Finding(what=what, state="warning", detail=detail, hint=hint)
    told = ", ".join(f"{one.count:,} {one.result}" for one in heard)
    hint = "Which accounts count can be said: webhook_accounts = [NUMBER]." if foreign else ""
    return Finding(what=what, state="ok", detail=f"in seven days {told}", hint=hint)


def _refused(settings: SourceConfig, webhooks: Webhooks, latest: Heard) -> tuple[str, str]:
    calls = f"{latest.count:,} call{'' if latest.count == 1 else 's'}"
    since = f"the last on {latest.last_at:%Y-%m-%d %H:%M} UTC"
    reason = latest.result.removeprefix(REFUSED)
    if reason == signature.MISSING:
        hint = (
            f'If the vendor signs nothing, write webhook_signature = "off" in [sources.{settings.name}]: then the'
            " secret part of the address is all that proves a call."
        )
        return f"{calls} without the header {webhooks.signature}, {since}", hint
    if reason == signature.WRONG:
        detail = (
            f"{calls} with a signature that matches none of {', '.join(signature.HASHES)}, over the body or its"
            f" payload, hexadecimal or base64; {since}"
        )
        hint = (
            f"Is webhook_secret of [sources.{settings.name}] the one that stands at the vendor? A blank or a line end"
            ' counts. While nobody knows, webhook_signature = "off" takes calls by the secret part of the address.'
        )
        return detail, hint
    name = reason.rpartition(" ")[2]
    wanted = WEBHOOK_HASH.of(settings.options)
    return (
        f"{calls} {reason} instead of {wanted}, {since}",
        f'Write webhook_hash = "{name}" in [sources.{settings.name}], and reload the daemon.',
    )
