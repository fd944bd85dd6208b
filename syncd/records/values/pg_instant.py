"""Instants as PostgreSQL counts them: microseconds since 2000, UTC. Pure functions."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST, _EARLIEST = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)


def microseconds(moment: datetime) -> int:
    """Return an instant as PostgreSQL counts it.

    A statement takes it like the datetime itself. Worth it where one instant goes into thousands of rows: the driver
    spends four times as long on a datetime as on all else in a short row.
    """
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def written(moment: datetime | int) -> tuple[int]:
    """Return what the driver sends for a timestamptz."""
    return (moment if isinstance(moment, int) else microseconds(moment),)


def read(sent: tuple[int]) -> datetime:
    """Return what the driver received for a timestamptz; infinity as the latest or earliest datetime there is."""
    try:
        return _EPOCH + timedelta(microseconds=sent[0])
    except OverflowError:
        return _LATEST if sent[0] > 0 else _EARLIEST
