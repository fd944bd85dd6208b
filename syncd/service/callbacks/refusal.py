"""A call that is refused: the status that its caller gets, and the reason that is counted and told."""

from http import HTTPStatus


class RefusedError(Exception):
    """A call that leads to nothing."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason
