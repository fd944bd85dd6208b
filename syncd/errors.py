"""Every error that syncd raises on purpose, as one tree.

    SyncdError                     the message says what failed and the value seen; `hint` says what to do
    ├── UsageError                 wrong words on the command line                         exit 2
    ├── ConfigError                wrong configuration                                     exit 2
    ├── DatabaseError              the database refused or is in a wrong state             exit 3
    │   ├── DatabaseBusy           a lock, or time for a statement, could not be had       exit 3
    │   ├── DatabaseChanged        somebody changed or withholds an object that we need    exit 3
    │   ├── MigrationFailed        a plugin's migrations cannot be run                     exit 3
    │   └── DatabaseUnavailable    the database cannot be reached                          exit 3
    │       └── WorkerLost         this worker was declared lost, and gets no session      exit 3
    ├── LockHeld                   another run of the stream is under way                  exit 1
    ├── RunFenced                  another process took the stream over from this run      exit 1
    ├── AnotherAccount             the rows of a source are of another account             exit 1
    ├── Defect                     syncd itself is wrong: an error that nobody foresaw      exit 1
    └── UpstreamError              an upstream did not give what was asked for             exit 1
        ├── Unreachable            no whole answer of the API: connect, TLS, reset, timeout, truncated, 5xx, a firewall
        ├── Throttled              the budget is spent: 429, or a window of ours that stays shut too long
        ├── BadCredentials         401 even after a new login, or a login that was refused
        ├── ScopeMissing           403: the account may not read this stream
        ├── NotFound               404
        ├── BadRequest             400 and other 4xx
        └── BadPayload             an answer that breaks the documented form (error in a 200, a paging loop, …)
            └── NotSent            a request that cannot be written with what the upstream gave to send back

No message ever holds a secret, a query string or a record's content.
"""

from pathlib import Path
from typing import Self


class SyncdError(Exception):
    """The root: `str(error)` is one sentence for the user, `hint` the mending step (or empty)."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def whole(self) -> str:
        """What failed and the mending step, as sentences."""
        return f"{str(self).rstrip('.')}. {self.hint}" if self.hint else str(self)

    def at(self, place: str) -> Self:
        """Name the source and stream in the message, unless it does so already; return the error itself."""
        if not str(self).startswith(place.partition(".")[0]):
            self.args = (f"{place}: {self}", *self.args[1:])
        return self


class UsageError(SyncdError):
    """Wrong words on the command line."""

    exit_code = 2


class ConfigError(SyncdError):
    """Wrong configuration: an unknown key, a value of the wrong form, a secret that is missing."""

    exit_code = 2


class DatabaseError(SyncdError):
    """The database refused, or is in a state that syncd cannot work with (not migrated, no rights)."""

    exit_code = 3


class DatabaseBusy(DatabaseError):
    """A lock could not be taken in time, or a statement took too long. Only the run that asked for it fails."""


class DatabaseChanged(DatabaseError):
    """An object of the database was dropped, renamed, changed or withheld by somebody. Only the run that met it fails.

    The message holds PostgreSQL's own, which names the object.
    """


class MigrationFailed(DatabaseError):
    """The migrations of a plugin cannot be run, or one failed; nothing of them remains. Other sources are as before."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached."""


class WorkerLost(DatabaseUnavailable):
    """Another worker declared this one lost and took its accounts over: it may open no session any more."""


class LockHeld(SyncdError):
    """Another run of the same stream is under way, here or in another process."""


class RunFenced(SyncdError):
    """Another process declared this run dead and took its stream over; nothing more may be committed."""


class AnotherAccount(SyncdError):
    """The rows of a source are of another account than the configured one; nothing may be asked or written for it."""


class Defect(SyncdError):
    """An error that nobody foresaw, so a defect of syncd itself. It costs one run or one command.

    Only the kind of the error and the place in the code are told: its own text may hold data.
    """

    def __init__(self, error: BaseException) -> None:
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        where = f", in {Path(place.tb_frame.f_code.co_filename).name} line {place.tb_lineno}" if place else ""
        super().__init__(
            f"syncd has a defect: {type(error).__name__}{where}",
            hint="Nothing half-done was committed. Please report it with the log; SYNCD_DEBUG=1 shows the traceback.",
        )


class UpstreamError(SyncdError):
    """An upstream did not give what was asked for; `status` is the HTTP status if there was one."""

    def __init__(self, message: str, *, hint: str = "", status: int | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Unreachable(UpstreamError):
    """No whole answer of the API came, however often it was tried within the caps.

    `lasting` if trying again at once cannot help; `silent` if a time limit ended the wait; `retry_after_s` is how long
    the server asks to be left alone, if it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        lasting: bool = False,
        silent: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, status=status)
        self.lasting = lasting
        self.silent = silent
        self.retry_after_s = retry_after_s


class Throttled(UpstreamError):
    """The budget is spent for longer than the run may wait; `retry_after_s` says how long, if known."""

    def __init__(
        self, message: str, *, hint: str = "", status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, status=status)
        self.retry_after_s = retry_after_s


class BadCredentials(UpstreamError):
    """The upstream refuses the credentials, even after a new login."""


class ScopeMissing(UpstreamError):
    """The account may not read this stream (403)."""


class NotFound(UpstreamError):
    """The thing asked for does not exist upstream (404)."""


class BadRequest(UpstreamError):
    """The upstream refuses the request as wrong (400 and other 4xx)."""


class BadPayload(UpstreamError):
    """The answer breaks the form that the vendor documents."""


class NotSent(BadPayload):
    """A request could not be written with what the upstream gave to send back (a cookie, a token, a link)."""
