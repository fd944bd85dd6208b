"""The secrets of a configuration: which it holds, which no log may show, and which cannot be read."""

import os
from collections.abc import Iterator, Mapping

from syncd.config.model import PART, Config
from syncd.config.secret import Secret
from syncd.errors import ConfigError


def secrets(config: Config) -> Iterator[tuple[str, Secret]]:
    """Yield every secret with its dotted key, resolved or not; the log wants to know the texts of the resolved ones."""
    if not config.database.is_embedded:
        yield "database.url", config.database.url
        if config.database.password:
            yield "database.url (password)", config.database.password
    if config.http and config.http.operator_token:
        yield "http.operator_token", config.http.operator_token
    if config.privacy.hash_key:
        yield "privacy.hash_key", config.privacy.hash_key
    if (asked := config.sources_from) and asked.url and asked.password:
        yield "sources_from.url", asked.url
        yield f"sources_from.url{PART}", asked.password
    if config.notify:
        yield from config.notify.secrets
    for proxy in {source.proxy.origin: source.proxy for source in config.sources.values() if source.proxy}.values():
        for secret in proxy.secrets:
            yield proxy.origin, secret
    yield from _of_sources(config)


def _of_sources(config: Config) -> Iterator[tuple[str, Secret]]:
    of_streams: dict[int, list[tuple[str, Secret]]] = {}  # accounts that configure their streams alike share them
    for source in config.sources.values():
        for name, value in source.options.items():
            if isinstance(value, Secret):
                yield f"sources.{source.name}.{name}", value
        if id(source.streams) not in of_streams:
            of_streams[id(source.streams)] = [
                (f"{stream.name}.{name}", value)
                for stream in source.streams.values()
                for name, value in stream.options.items()
                if isinstance(value, Secret)
            ]
        for name, value in of_streams[id(source.streams)]:
            yield f"sources.{source.name}.streams.{name}", value


def masked(config: Config) -> Iterator[Secret]:
    """Yield the secrets that no log may show, resolved or not: an address of a database without a password is none."""
    for key, secret in secrets(config):
        if key != "database.url" or config.database.password:
            yield secret


def missing_secrets(config: Config, environ: Mapping[str, str] = os.environ) -> list[str]:
    """List the secrets that cannot be read now, one sentence each: key, where it was looked for, what to do."""
    missing = []
    for key, secret in secrets(config):
        if secret.is_resolved or secret.ref is None:
            continue
        try:
            secret.ref.read(environ)
        except ConfigError as error:
            missing.append(f"{key}: {error}")
    return missing
