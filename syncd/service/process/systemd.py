"""Messages to the service manager: systemd's notification protocol (sd_notify(3)) over $NOTIFY_SOCKET.

Owns the form of the messages; what they say is the daemon's affair. Silent where nobody listens.
"""

import os
import socket
import time
from collections.abc import Mapping

from syncd import log

_log = log.get(__name__)


class Notifier:
    """Tells the service manager how the service is doing."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        path = environ.get("NOTIFY_SOCKET", "")
        # a leading @ stands for the NUL of an abstract socket
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        watched = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environ.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(usec) / 1e6 if self._address and watched and usec.isdecimal() and int(usec) else None
        """The service manager expects a message within this time; None if it has no watchdog."""

    def send(self, *lines: str) -> None:
        """Send assignments such as READY=1 in one message; a message that cannot be sent is logged and does no harm."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.settimeout(1.0)
                sock.connect(self._address)
                sock.sendall("\n".join(lines).encode())
        except OSError as error:
            _log.warning("notify_failed", error=str(error))

    def reloading(self) -> None:
        """Say that the configuration is being read again; READY=1 must follow (Type=notify-reload wants the time)."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
