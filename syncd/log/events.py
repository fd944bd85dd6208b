"""What each log event means: `docs/logging.md` is generated from these sentences and from the code that logs."""

from collections.abc import Mapping
from typing import Final

EVENTS: Final[Mapping[str, str]] = {
    "account_refused": "The configuration names another account than the one whose rows the mirror holds under this "
    "name. Nothing is requested for the source until somebody decides; `hint` names the ways out. Logged once.",
    "accounts_refused": "The query of `[sources_from]` failed, see `error`. The accounts before stay in use, and it is "
    "asked again. Logged once.",
    "answer_failed": "Sending an answer of a listener failed because of a bug in syncd. Logged at most once a minute; "
    "`count` is the number of such answers since the last line. Please report the bug.",
    "callback_crashed": "Handling a callback failed because of a bug in syncd. The next polling run finds the change "
    "anyway. Please report the bug.",
    "callback_refused": "A callback was refused for `reason`. Logged at most once an hour per reason; `count` is the "
    "number of refusals since the last such line.",
    "callbacks_left_to_poll": "Callbacks about this stream cause no fetches until its next successful polling run. "
    "The stream was never read completely, or it fails, or a record named by a callback could not be fetched. Logged "
    "once.",
    "callbacks_listening": "Callbacks are accepted at `address`. Your reverse proxy must forward them there.",
    "clock_set_back": "The clock of this machine was set back. The next runs are rescheduled.",
    "commits_look_failed": "Looking for commits that wait for a standby failed. It is tried again within a minute.",
    "config_needs_restart": "The configuration was reloaded, but a change under `key` takes effect only after a "
    "restart.",
    "config_refused": "The reloaded configuration is invalid. The daemon keeps the previous one.",
    "config_reloaded": "The configuration was reloaded. Unchanged sources keep their sessions.",
    "connection_not_accepted": "A listener could not accept a connection, because descriptors or memory ran out. It "
    "goes on. Logged at most once a minute; `count` is the number of failures since the last line.",
    "configs_differ": "Workers have had different configurations for more than a minute; `workers` are those that "
    "differ from most.",
    "daemon_started": "The daemon is up: the database is migrated, every stream is scheduled, and the status page is "
    "served.",
    "daemon_stopped": "Every run has ended and all connections are closed.",
    "daemon_stopping": "A signal or the service manager asked the daemon to stop. Each run ends at its next page.",
    "daemon_task_failed": "A background task of the daemon failed because of a bug in syncd. The daemon goes on. "
    "Please report the bug.",
    "database_lost": "The database cannot be reached or written to. No runs until it is back. Told once per outage.",
    "database_recovered": "The database takes writes again after `down_s` seconds. Missed runs start now.",
    "history_pruned": "Runs, rejects, drift, changes and row versions older than `[retention]` allows were deleted.",
    "host_refused": "The status page was asked for under a name that it does not answer to. Logged at most once a "
    "minute; `count` is the number of such requests since the last line.",
    "lease_lost": "This worker was silent for longer than its lease, so that others run its accounts now. It ends its "
    "runs, commits nothing more, and joins again at once.",
    "list_outgrown": "A run has seen `times` times as many rows as any good run of the stream before, and goes on. "
    "`max_records` of the stream stops it.",
    "listener_full": "All places of a listener are taken, or all those of one address. The connection that waited "
    "longest was closed, or the new one turned away with 503. Logged at most once a minute, with a `count`.",
    "notify_failed": "A message to the service manager was lost. This is harmless unless it keeps happening.",
    "page_served": "The port of the status page is free now, and the page is served at `url`.",
    "plugin_refused": "A plugin is installed and cannot be used, see `error`. Sources of its type are left out. The "
    "others are not touched by it. Logged at each start and reload.",
    "source_left_out": "The type of a source is not installed, or a row of `[sources_from]` is wrong, see `error`. No "
    "run of it is made; the others go on. Logged at each start and reload.",
    "port_taken": "Another program listens on the port of the status page or of the callbacks. The daemon goes on and "
    "tries the port again every 2 s. Logged once.",
    "operator_acted": "An operator did something on the status page, see `action`, `subject`, `actor` and `result`. "
    "The table `syncd.audit` has the same.",
    "operator_refused": "Somebody tried to act on the status page without the operator's token, or from another site. "
    "Logged at most once a minute; `count` is the number of such requests since the last line.",
    "pauses_failed": "Reading which streams operators paused failed. What was known stays in force. It is tried again "
    "within a minute.",
    "page_failed": "A page of the web server failed because of a bug in syncd. The visitor saw an error page. Please "
    "report the bug.",
    "heartbeat_failed": "`heartbeat_url` could not be called, see `reason`. It is called again in the next interval.",
    "notification_failed": "A message could not be sent to the address at `place` in `notify.urls`, see `reason`. If "
    "no address took it, it is sent again after a minute, then after longer waits.",
    "notification_sent": "A message was sent to the addresses of `notify.urls`.",
    "notifications_failed": "Looking for what needs a notification failed. It is tried again within a minute.",
    "prune_failed": "Deleting what is older than `[retention]` allows failed. It is tried again within an hour.",
    "request_malformed": "Somebody sent a listener what is no HTTP request. It was answered 400 and closed. Logged at "
    "most once a minute; `count` is the number of such requests since the last line. No byte of them is logged.",
    "request_retried": "A request met a temporary fault (transport error, 5xx or 429). It is sent again after a wait.",
    "run_crashed": "A run failed because of a bug in syncd. No half-written page was committed. Please report the bug.",
    "run_finished": "A run ended. Every run logs this event once, with its outcome and counts. A failed run logs it as "
    "a warning, unless `source_failing` or `stream_paused` already gave the reason.",
    "run_refused": "The database refused to open a run. See `hint`.",
    "run_skipped": "Another process is running this stream, so this daemon skips its run. Logged once, however long "
    "the other process takes.",
    "recovery_failed": "Looking for runs whose process died failed. It is tried again within five minutes.",
    "runs_recovered": "Runs that a dead process left open were closed as aborted.",
    "session_dropped": "An upstream gave a session (cookie, token) that no request can carry, see `reason`. It was "
    "dropped, and the next request logs in anew. Logged once for each reason.",
    "shards_lost": "Jobs of this worker are gone, because somebody deleted or changed them. It ends the runs of their "
    "accounts; the jobs are queued again.",
    "shards_queued": "Jobs were queued for shards that had none: at the first start, and when somebody deleted them.",
    "shards_settled": "The configuration names another number of shards than the one that this database began with. "
    "The latter is used.",
    "source_failing": "An upstream cannot be reached or rejects the credentials. Logged once per outage. One stream at "
    "a time checks whether the outage is over, at least every quarter of an hour.",
    "source_recovered": "An outage is over after `down_s` seconds: every stream that failed gets answers again.",
    "status_failed": "The status line for the service manager could not be made. It is tried again within a minute.",
    "stream_paused": "The account is no longer allowed to read this stream (403). The stream is paused and tried "
    "again now and then. Logged once.",
    "stream_resumed": "A paused stream can be read again.",
    "worker_died": "A worker of `syncd run --workers` ended unasked. It is started again after a second.",
    "worker_joined": "This process shares the accounts with the other workers from now on.",
    "worker_left": "This worker has ended in order; others have its accounts.",
    "worker_lost": "Another worker was silent for longer than its lease. Its sessions and its runs were ended, and its "
    "accounts go to the others.",
}
"""The events that syncd logs, by name."""
