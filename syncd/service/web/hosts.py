"""The names that the status page answers to.

A stranger's web site can make a browser ask this page under the site's own name (DNS rebinding), and read the answer.
The browser then sends that name as `Host`, so a name that nobody allowed is refused. Pure decisions.
"""

import socket
from dataclasses import dataclass

from syncd.config import Http, host_of, is_loopback

WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, never listened on


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """Which names are allowed: any (`any_name`), any address of a machine (`any_address`), loopback, and `names`."""

    names: frozenset[str]
    any_name: bool = False
    any_address: bool = False

    def allows(self, authority: str) -> bool:
        """Say whether a request may name us so; `authority` is a host with or without a port."""
        if self.any_name:
            return True
        host = host_of(authority)
        if host is None:
            return False
        is_address = ":" in host or host.replace(".", "").isdigit()
        return host in self.names or is_loopback(host) or (self.any_address and is_address)


def of(http: Http, hostname: str | None = None) -> Hosts:
    """Return the names that a configuration allows; `hostname` is this machine's.

    An address cannot be rebound, so a page that listens on every address answers to any of them.
    """
    names = {*http.hosts, host_of(f"[{http.host}]" if ":" in http.host else http.host) or http.host}
    if not is_loopback(http.host):
        machine = (socket.gethostname() if hostname is None else hostname).lower()
        names |= {machine, machine.partition(".")[0]}
    return Hosts(names=frozenset(names), any_name="*" in http.hosts, any_address=http.host in WILDCARDS)
