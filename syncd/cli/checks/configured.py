"""What the configuration alone tells: what it left out, what is off, and what will be regretted later."""

from syncd import config as configuration
from syncd.cli import accounts
from syncd.cli.finding import CONFIGURATION, Finding
from syncd.config import Config
from syncd.sources import found, registry, reports
from syncd.status import accounts_twice


def refused(settings: Config) -> list[Finding]:
    """Return a finding for each type that cannot be used, or is not installed; grave where the configuration has it."""
    named = set(settings.left_out.values())
    told = {each.words for each in found().refused}
    away = [
        Finding(
            what=f"source {name}",
            state="failed",
            detail=why,
            hint="The other sources are not touched by it.",
            exit_code=CONFIGURATION,
        )
        for name, why in settings.left_out.items()
        if why not in told
    ]
    unanswered = [
        Finding(what="reports", state="warning", detail=each.words, hint="Upgrade the plugin, or tell its author.")
        for each in reports().left_out
    ]
    return [*away, *unanswered] + [
        Finding(
            what=f"plugin {each.type}",
            state="failed" if each.words in named else "warning",
            detail=each.words,
            hint="Upgrade or uninstall it, or tell its author. The other sources are not touched by it.",
            exit_code=CONFIGURATION if each.words in named else 0,
        )
        for each in found().refused
    ]


def findings(settings: Config) -> list[Finding]:
    """Return what is found in the configuration without a look at anything else."""
    return [*_exposed(settings), *_twice(settings), *_lookups(settings), *_endless(settings)]


def _exposed(settings: Config) -> list[Finding]:
    """Return a warning for what others may read: the status page, or a file that holds secrets."""
    exposed = []
    if settings.http and not configuration.is_loopback(settings.http.host):
        detail = f"http.listen {settings.http.host} is open to other machines, and the page asks for no password"
        exposed.append(Finding(what="status page", state="warning", detail=detail, hint="Listen on 127.0.0.1."))
    return [*exposed, *accounts.readable(settings)]


def notified(settings: Config) -> list[Finding]:
    """Return a finding for [notify]: addresses that Apprise does not know are never told anything."""
    if settings.notify is None or not settings.notify.urls:
        return []
    from syncd.service.notify import outbox

    hint = "https://appriseit.com/services/ lists every form; syncd notify test tries them."
    unknown = [place for place, url in enumerate(settings.notify.urls, 1) if outbox.service_of(url) is None]
    if not unknown:
        return [Finding(what="notify", state="ok", detail="syncd notify test sends a message")]
    detail = f"urls {', '.join(map(str, unknown))}: {outbox.NO_SERVICE}"
    return [Finding(what="notify", state="warning", detail=detail, hint=hint)]


def _twice(settings: Config) -> list[Finding]:
    """Return a warning for every source that is the account of another one."""
    detail, hint = (
        "is the same account as {}, so that every view holds its rows twice",
        "Keep one: syncd sources drop {}.",
    )
    return [
        Finding(what=f"source {name}", state="warning", detail=detail.format(first), hint=hint.format(name))
        for name, first in accounts_twice(settings, registry())
    ]


def _lookups(settings: Config) -> list[Finding]:
    """Return a finding for every lookup stream that has no keys and is therefore off."""
    return [
        Finding(what=f"{source.name}.{stream.name}", state="warning", detail=f"is off: it {reason}")
        for source in settings.sources.values()
        for stream in source.streams.values()
        if stream.enabled and not stream.is_pushed and (reason := configuration.is_off(stream))
    ]


def _endless(settings: Config) -> list[Finding]:
    """Return a warning if old versions of rows are kept for ever: these tables grow without an end."""
    keeping = [
        f"{source.name}.{stream.name}"
        for source in settings.sources.values()
        for stream in source.streams.values()
        if stream.enabled and stream.history
    ]
    if not keeping or settings.retention.history_s is not None:
        return []
    detail = f"kept for ever of {', '.join(keeping)}: the tables of schema history only grow"
    hint = 'Set how long in [retention], e.g. history = "730d"; where all of it must stay, watch the size of the disk.'
    return [Finding(what="history", state="warning", detail=detail, hint=hint)]
