"""`syncd notify`: sends a test message to everybody who is notified."""

import socket
from pathlib import Path

from syncd.cli import console
from syncd.cli.options import config_option, group, json_option
from syncd.cli.session import execute, load_config
from syncd.errors import UsageError


@group(
    examples=[
        ("syncd notify test", "does a message arrive, and is the heartbeat heard?"),
        ("syncd notify test --json | jq '.[] | select(.problem)'", "what did not work, for a script"),
    ],
)
def notify() -> None:
    """Send a test message to everybody who is notified."""


@notify.command("test", examples=[("syncd notify test", "after every change of [notify]")])
@config_option
@json_option
def notify_test(config_path: Path | None, as_json: bool) -> int:
    """Send a test message to every address of [notify], and call the heartbeat once.

    Needs no database, and is not held back in quiet hours. Exit code 1 if an address did not take it.
    """
    return execute(send_test(config_path, as_json=as_json))


async def send_test(path: Path | None, *, as_json: bool) -> int:
    """Send it, and say what became of it at each address."""
    from syncd.service.notify import outbox, words

    wishes = load_config(path, asks=False).notify
    if wishes is None or not (wishes.urls or wishes.heartbeat_url):
        raise UsageError(
            "nobody is notified: the configuration has no [notify] with urls or heartbeat_url",
            hint='Write [notify] with urls = ["mailto://…"]; docs/notifications.md shows every service.',
        )
    results = await outbox.send(wishes.urls, words.trial(socket.gethostname()))
    told = [{"what": f"urls {one.place}", "service": one.service, "problem": one.problem or None} for one in results]
    if wishes.heartbeat_url:
        problem = await outbox.beat(wishes.heartbeat_url)
        told.append({"what": "heartbeat_url", "service": "heartbeat", "problem": problem or None})
    if as_json:
        console.print_json(told)
    else:
        console.print_table(
            "", ["address", "service", "outcome"],
            [(one["what"], one["service"], one["problem"] or "ok") for one in told],
        )  # fmt: skip
    return 1 if any(one["problem"] for one in told) else 0
