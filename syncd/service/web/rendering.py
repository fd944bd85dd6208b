"""Templates, and the words and numbers in them."""

from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from syncd import __version__
from syncd.service.web import view
from syncd.status import RunStatus, StreamStatus

if TYPE_CHECKING:
    import jinja2

FOLDER: Final = Path(__file__).parent


def render(base: str, template: str, **values: Any) -> str:
    """Return a page whose links begin with `base`, the path below which a proxy shows it."""
    return _templates(base).get_template(template).render(now=datetime.now(UTC), **values)


@cache
def _templates(base: str) -> "jinja2.Environment":
    import jinja2  # most workers are never asked for a page

    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "about": _about, "changes": _changes, "clock": _clock, "count": _count, "day": view.day_window,
        "doubt": view.doubt, "duration": _duration, "minute": view.minute_window, "number": _number, "quota": _quota,
        "range": _range, "reason": _reason, "stamp": _stamp, "strip": view.strip, "swept": view.swept, "took": _took_s,
    }  # fmt: skip
    env.globals |= {"version": __version__, "base": base}
    return env


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,}"


def _count(value: int) -> str:
    """Format a count; zero is shown muted."""
    return f"{value:,}" if value else Markup('<span class="zero">0</span>')


def _clock(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _stamp(value: datetime | None) -> str:
    return "–" if value is None else f"{_clock(value)} UTC"


def _about(seconds: float) -> str:
    """Format a duration with at most two significant digits: 40 ms, 4.8 s, 45 s, 12 min, 3.5 h, 8 days."""
    for size, unit in ((86_400, "days"), (3600, "h"), (60, "min"), (1, "s")):
        if seconds >= (2 * size if size > 1 else 0.95):
            value = seconds / size
            return f"{value:.{0 if value >= 9.95 else 1}f}".removesuffix(".0") + f" {unit}"
    return f"{seconds * 1000:.0f} ms" if seconds > 0 else "0 s"


def _took_s(run: RunStatus) -> float:
    return max(0.0, (run.finished_at - run.started_at).total_seconds()) if run.finished_at else 0.0


def _duration(run: RunStatus) -> str:
    return _about(_took_s(run)) if run.finished_at else "under way"


def _changes(run: RunStatus) -> str:
    """Say in words what a run changed."""
    counts = {
        "new": run.rows_inserted,
        "changed": run.rows_updated,
        "gone": run.rows_deleted,
        "rejected": run.rows_rejected,
    }
    return ", ".join(f"{count:,} {word}" for word, count in counts.items() if count) or "no change"


def _reason(text: str, stream: StreamStatus) -> str:
    """Return an error without the name of its stream, which the page shows beside it."""
    return text.removeprefix(f"{stream.name}: ")


def _quota(days: float) -> str:
    """Say how much of the backfill lane's quota something takes."""
    if days >= 1:
        return f"{days:.1f} days of quota"
    return f"{days * 100:.0f} % of a day's quota" if days >= 0.01 else "less than 1 % of a day's quota"


def _range(walked: str) -> str:
    """Format a backfill's range, given as its cursor's kind, in words."""
    since, _, until = walked.partition("..")
    return f"{_moment(since)} to {_moment(until) if until else 'now'}"


def _moment(text: str) -> str:
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    return f"{at:%Y-%m-%d}" if (at.hour, at.minute) == (0, 0) else f"{at:%Y-%m-%d %H:%M} UTC"
