"""What is known of the earlier runs of many streams, in little memory.

Of most streams only is known when they last ran well and were swept. Nothing else needs an object of its own.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from itertools import groupby

from syncd.engine.schedule import History
from syncd.service.timetable.instants import Instants
from syncd.status import Pair


class Histories(MutableMapping[Pair, History]):
    """The history of each stream of which anything is known."""

    def __init__(self, known: Mapping[Pair, History] | None = None) -> None:
        self._plain = Instants(2)
        """Of histories that say no more: `ok_at` and `swept_at`."""
        self._others: dict[Pair, History] = {}
        self.add(known or {})

    def add(self, known: Mapping[Pair, History]) -> None:
        """Take what is known of these streams; it is done soonest where the streams of a source stand together."""
        for source, of_source in groupby(known.items(), key=lambda item: item[0][0]):
            histories = dict(of_source)
            if self._plain.has_any(source) or not all(map(_is_plain, histories.values())):
                self.update(histories)
            else:
                for pair in histories.keys() & self._others.keys() if self._others else ():
                    del self._others[pair]
                self._plain.put_all(source, {pair[1]: (one.ok_at, one.swept_at) for pair, one in histories.items()})

    def __getitem__(self, pair: Pair) -> History:
        if instants := self._plain.get(pair):
            return History(ok_at=instants[0], swept_at=instants[1])
        return self._others[pair]

    def __setitem__(self, pair: Pair, history: History) -> None:
        if _is_plain(history):
            self._others.pop(pair, None)
            self._plain.put(pair, history.ok_at, history.swept_at)
        else:
            self._plain.remove(pair)
            self._others[pair] = history

    def __delitem__(self, pair: Pair) -> None:
        if self._others.pop(pair, None) is None and not self._plain.remove(pair):
            raise KeyError(pair)

    def __iter__(self) -> Iterator[Pair]:
        yield from self._plain
        yield from self._others

    def __len__(self) -> int:
        return sum(1 for _ in self._plain) + len(self._others)


def _is_plain(history: History) -> bool:
    return history == History(ok_at=history.ok_at, swept_at=history.swept_at)
