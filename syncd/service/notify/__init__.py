"""Notifications: tells people what needs a look, once, and when it is over.

`status.causes` says what stands and groups it, `plan` decides what is told now, `words` writes it, `outbox` sends it,
`watch` does this again and again. What was told is in `syncd.notifications`, so that a restart repeats nothing, and a
lock in PostgreSQL lets one of several daemons do it. No message holds a secret, a value of a record, or an error's own
text.
"""

from syncd.service.notify.watch import Watch

__all__ = ["Watch"]
