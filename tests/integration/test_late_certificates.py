"""The system's certificates are read when a connection over TLS begins, and trusted as if read at the start."""

import ssl
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from syncd.sandbox import Sandbox, serve
from syncd.upstream.client import aiohttp, certificates_read_late, late_context
from tests.support.detour import SELF_SIGNED, tls_front

IMPORTS = """
import ssl
usual = ssl.create_default_context
from syncd.upstream.client import aiohttp
assert ssl.create_default_context is usual and "set_default_verify_paths" not in vars(ssl.SSLContext)
late, plain = aiohttp.connector._SSL_CONTEXT_VERIFIED, usual()
names = ["check_hostname", "maximum_version", "minimum_version", "options", "verify_flags", "verify_mode"]
print(late.cert_store_stats()["x509"], [getattr(late, name) == getattr(plain, name) for name in names])
"""


def test_the_import_of_the_client_reads_no_certificates_and_verifies_as_the_system_does() -> None:
    trusting = {"SSL_CERT_FILE": str(SELF_SIGNED)}
    told = subprocess.run(  # noqa: S603  (this interpreter)
        [sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=True, env=trusting
    )
    assert told.stdout.split(maxsplit=1) == ["0", f"{[True] * 6}\n"]


def test_another_thread_makes_its_contexts_as_usual_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(SELF_SIGNED))
    with certificates_read_late(), ThreadPoolExecutor(1) as thread:
        late, usual = ssl.create_default_context(), thread.submit(ssl.create_default_context).result()
    assert (len(late.get_ca_certs()), len(usual.get_ca_certs())) == (0, 1)
    assert len(ssl.create_default_context().get_ca_certs()) == 1


async def asked(address: str) -> int:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=late_context())) as http,
        http.get(address) as answer,
    ):
        return answer.status


async def test_who_is_trusted_when_the_connection_begins_may_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(Sandbox()) as sandbox, tls_front(sandbox.base_url("cyclis")) as address:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await asked(f"{address}/cyclists")
        monkeypatch.setenv("SSL_CERT_FILE", str(SELF_SIGNED))
        assert await asked(f"{address}/cyclists") == 401
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await asked(f"{address.replace('127.0.0.1', 'localhost')}/cyclists")
