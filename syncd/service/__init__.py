"""The daemon and what it serves: the timetable, the status page, callbacks, the service manager."""
