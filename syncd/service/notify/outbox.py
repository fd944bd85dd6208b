"""Sends messages through Apprise, and calls the heartbeat. What goes wrong is told without any part of an address.

Apprise is slow to import, and blocks: it is imported when the first message is sent, and works in a thread.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from syncd.config import Secret
from syncd.log import counters
from syncd.service.notify.words import Message
from syncd.upstream.client import aiohttp

if TYPE_CHECKING:
    from apprise import NotifyBase

T = TypeVar("T")

SEND_TIMEOUT_S: Final = 30.0
"""One service has this long to take a message; ours."""
HEARTBEAT_TIMEOUT_S: Final = 10.0
NO_SERVICE: Final = "it is no address that Apprise knows (https://appriseit.com/services/)"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What became of a message at one service; `place` counts from 1, `problem` is empty if it went out."""

    place: int
    service: str
    problem: str = ""

    @property
    def words(self) -> str:
        """Both in one line."""
        return f"urls {self.place} ({self.service}): {self.problem or 'sent'}"


async def send(urls: Sequence[Secret], message: Message) -> list[Delivery]:
    """Send a message to every address, at once; never raises for what a service does."""
    sent = await asyncio.gather(*(_send(place, url, message) for place, url in enumerate(urls, 1)))
    for one in sent:
        counters.notifications["failed" if one.problem else "sent"] += 1
    return list(sent)


async def _send(place: int, url: Secret, message: Message) -> Delivery:
    service = await _in_thread(partial(service_of, url))
    if service is None:
        return Delivery(place=place, service="unknown", problem=NO_SERVICE)
    name = str(service.service_name)
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            went = await _in_thread(
                partial(service.notify, body=message.body, title=message.title, notify_type=message.tone)
            )
    except TimeoutError:
        return Delivery(place=place, service=name, problem=f"no answer within {SEND_TIMEOUT_S:.0f} s")
    except Exception as error:  # noqa: BLE001  a plugin of Apprise may raise anything; its text may hold the address
        return Delivery(place=place, service=name, problem=f"it could not be sent ({type(error).__name__})")
    return Delivery(place=place, service=name, problem="" if went else "the service did not take it")


async def _in_thread(work: Callable[[], T]) -> T:
    """Do work that blocks in a thread that nobody waits for: a service that hangs must not hold up the daemon's end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(outcome: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(outcome)  # type: ignore[arg-type]  # T, where there is no error

    def run() -> None:
        outcome, failure = None, None
        try:
            outcome = work()
        except Exception as error:  # noqa: BLE001  it is raised where it is awaited
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, outcome, failure)

    threading.Thread(target=run, name="notify", daemon=True).start()
    return await done


def service_of(url: Secret) -> "NotifyBase | None":
    """Return the service of an address; None if Apprise knows none. Imports Apprise."""
    from apprise import Apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its lines may hold parts of an address
    try:
        return Apprise.instantiate(url.reveal())
    except Exception:  # noqa: BLE001  as above
        return None


async def beat(url: Secret) -> str:
    """Call the heartbeat; return what went wrong, empty if nothing did. The proxy of the environment is used."""
    timeout = aiohttp.ClientTimeout(total=HEARTBEAT_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as http,
            http.get(url.reveal(), allow_redirects=False) as answer,
        ):
            return "" if answer.status < 400 else f"it answered {answer.status}"
    except TimeoutError:
        return f"no answer within {HEARTBEAT_TIMEOUT_S:.0f} s"
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return f"it cannot be reached ({type(error).__name__})"
