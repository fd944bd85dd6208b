"""What the runs of a stream cost in requests, as far as the API's pages and the walk tell. Values only."""

from syncd.frozen import dataclass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Requests of a stream's runs; what its runs have shown counts more.

    live        of a live run on an ordinary day; None: by rows where it lists them all, by keys where it looks them up,
                else one
    sweep       of a sweep; None: by rows
    page_rows   rows in one answer of the whole list; a guess where the API documents none
    at_once     keys in one request of a lookup
    keys_a_run  most keys that a lookup asks for in a run
    beside      requests a day that come on top, such as those of wider windows now and then
    """

    live: float | None = None
    sweep: float | None = None
    page_rows: int = 500
    at_once: int = 1
    keys_a_run: int | None = None
    beside: float = 0.0
