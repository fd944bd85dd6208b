"""What each event of the log means, in a sentence: `docs/logging.md` is made of it and of the code that logs."""

from collections.abc import Mapping
from typing import Final

EVENTS: Final[Mapping[str, str]] = {
    "callback_crashed": "A callback met a bug of ours; the polling run finds what it told of. Please report it.",
    "callback_refused": "A callback was turned away for `reason`. Once an hour for each reason; `count` is how many "
    "since the last line.",
    "callbacks_left_to_poll": "Callbacks about a stream lead to nothing until its next good poll: it was never read, "
    "it fails, or what they named could not be fetched. Once.",
    "callbacks_listening": "Callbacks are listened for at `address`; a proxy of yours brings them there.",
    "clock_set_back": "The wall clock of this machine was set back; the runs that wait for it are planned anew.",
    "config_needs_restart": "A reload took the rest of the configuration; the part under `key` counts after a restart.",
    "config_refused": "A reload found a wrong configuration; the daemon goes on with the one that it had.",
    "config_reloaded": "A reload took the configuration; sources that did not change keep their sessions.",
    "daemon_started": "The database is there and migrated, every stream is planned, the status page listens.",
    "daemon_stopped": "Every run has ended and all connections are closed.",
    "daemon_stopping": "A signal or the service manager asked for the end; runs go on to their next page boundary.",
    "daemon_task_failed": "A task of the daemon met a bug of ours; the daemon goes on. Please report it.",
    "database_lost": "The database cannot be reached; runs are held back until it is there again. Once per outage.",
    "database_recovered": "The database answers again after `down_s` seconds; what was missed runs now.",
    "history_pruned": "What is older than `[retention]` allows was deleted: runs, rejects, changes, versions of rows.",
    "notify_failed": "A message to the service manager was lost; harmless, unless it goes on.",
    "page_failed": "A page of the web server met a bug of ours; its reader saw only that. Please report it.",
    "prune_failed": "What is older than `[retention]` allows could not be deleted; tried again within the hour.",
    "request_retried": "A passing fault (transport, 5xx, 429) met one request; it is sent again after a wait.",
    "run_crashed": "A run met a bug of ours and ended as failed; nothing half-done was committed. Please report it.",
    "run_finished": "A run ended: the one line that every run has, with its outcome and counts. A warning if it "
    "failed, unless `source_failing` or `stream_paused` told why.",
    "run_refused": "A run could not be opened, because the database refuses; see `hint`.",
    "run_skipped": "Another process is running the stream; this daemon leaves it alone. Once, however long it takes.",
    "runs_recovered": "Runs that a dead process left open were closed as aborted.",
    "source_failing": "An upstream cannot be reached or refuses the credentials. Once per outage; one stream at a time "
    "asks for its end, every quarter of an hour at the latest.",
    "source_recovered": "Every stream that failed gets its answers again, after `down_s` seconds.",
    "status_failed": "The status line for the service manager could not be made; tried again within a minute.",
    "stream_paused": "The account may not read a stream any more (403); it rests, and is asked now and then. Once.",
    "stream_resumed": "A stream that was paused may be read again.",
}
"""The events that syncd logs, by name."""
