"""When the daemon's streams run, how many at once, and what holds them back.

runs       the timetable itself: starts runs, and decides with the parts below what follows each one
jobs       when each stream runs next
histories  what is known of the earlier runs of many streams
instants   instants of many streams, in few bytes
streams    what is planned: settings and history of each stream, grouped by source
attempts   one attempt at a run; what keeps it from opening becomes a value
seats      how many runs at once
tasks      the runs under way, and their end at a page
backfills  those that the service was asked for
gate       what keeps runs from starting, and who waits for it
"""

from syncd.service.timetable.histories import Histories
from syncd.service.timetable.jobs import JOB_RULES, Rhythm
from syncd.service.timetable.runs import Timetable
from syncd.service.timetable.streams import wanted_of

__all__ = ["JOB_RULES", "Histories", "Rhythm", "Timetable", "wanted_of"]
