"""Which streams a selector means, and why a stream does nothing. Pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from syncd.config.model import Config, StreamConfig
from syncd.errors import UsageError


def is_off(stream: StreamConfig) -> str | None:
    """Tell why the stream does nothing, or None if it is on."""
    if not stream.enabled:
        return "disabled (enabled = false)" if stream.is_named_off else "off by default (enabled = true turns it on)"
    if stream.is_pushed:
        return "comes by webhooks only: nothing asks for it, so nobody can say that it is complete"
    if stream.lookup and not any(stream.lookup.values()) and not stream.queries and not stream.is_fed:
        accepted = " or ".join(f"{name} / {name}_query" for name in stream.lookup)
        return f"has no keys to look up; give it {accepted}"
    return None


def count_on(config: Config) -> int:
    """Return how many streams are on, of however many accounts."""
    by_account: dict[int, int] = {}  # accounts that configure their streams alike share them
    for source in config.sources.values():
        if id(source.streams) not in by_account:
            by_account[id(source.streams)] = sum(is_off(stream) is None for stream in source.streams.values())
    return sum(by_account[id(source.streams)] for source in config.sources.values())


def require_some(config: Config) -> None:
    """Raise UsageError if every source is left out."""
    if config.left_out and not config.sources:
        reasons = "; ".join(f"{name}: {why}" for name, why in config.left_out.items())
        raise UsageError(f"no source is left to work on: {reasons}", hint="See: syncd check")


def matching(config: Config, selectors: Sequence[str]) -> list[tuple[str, str]]:
    """Return the (source, stream) pairs that match any selector, also those that are off, in the file's order.

    No selector matches all. Raises UsageError for a selector that matches nothing.
    """
    pairs = [(source.name, stream) for source in config.sources.values() for stream in source.streams]
    chosen = {pair for selector in selectors or ["*"] for pair in _matching(selector, pairs)} if pairs else set()
    return [pair for pair in pairs if pair in chosen]


def select(config: Config, selectors: Sequence[str]) -> list[tuple[str, str]]:
    """Return the (source, stream) pairs that match any selector, in the file's order; no selector selects all.

    A selector is `source`, or `source.stream` with shell patterns in either part. Patterns pass over streams that are
    off; naming such a stream in full raises UsageError with the reason, as does a selector that matches nothing.
    """
    streams = {
        (source.name, stream.name): is_off(stream)
        for source in config.sources.values()
        for stream in source.streams.values()
    }
    if not streams:
        require_some(config)
    chosen: set[tuple[str, str]] = set()
    for selector in selectors or ["*"]:
        if (name := selector.partition(".")[0]) in config.left_out:
            raise UsageError(f'"{selector}" is left out: {config.left_out[name]}', hint="See: syncd check")
        hits = _matching(selector, list(streams))
        alive = [pair for pair in hits if streams[pair] is None]
        if not alive and selectors:
            reasons = "; ".join(f"{source}.{stream} {streams[source, stream]}" for source, stream in hits)
            raise UsageError(f'"{selector}" matches only what is off: {reasons}')
        chosen.update(alive)
    return [pair for pair in streams if pair in chosen]


def left_out_by(config: Config, selectors: Sequence[str]) -> dict[str, str]:
    """Return the sources that are asked for and left out, each with the reason; no selector asks for all.

    A pattern asks for every source whose name it fits: nobody knows the streams of one that is left out.
    """
    wanted = [selector.partition(".")[0] for selector in selectors or ["*"]]
    return {name: why for name, why in config.left_out.items() if any(fnmatchcase(name, each) for each in wanted)}


def _matching(selector: str, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the pairs that match the selector; raise UsageError with the nearest selectors where none does."""
    source_pattern, dot, stream_pattern = selector.partition(".")
    if not dot:
        stream_pattern = "*"
    hits = [pair for pair in pairs if fnmatchcase(pair[0], source_pattern) and fnmatchcase(pair[1], stream_pattern)]
    if hits:
        return hits
    if any(selector == stream for _, stream in pairs):
        raise UsageError(f'"{selector}" matches no stream', hint=f"did you mean *.{selector}?")
    import difflib  # only a mistake needs it

    known = [f"{source}.{stream}" for source, stream in pairs] + sorted({source for source, _ in pairs})
    near = difflib.get_close_matches(selector, known, n=3, cutoff=0.0)
    hint = f"the nearest are {', '.join(near)}" if near else "no source is configured"
    raise UsageError(f'"{selector}" matches no stream', hint=hint)
