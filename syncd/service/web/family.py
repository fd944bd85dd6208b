"""One metric with all its samples, in Prometheus' text format. Nothing is escaped: labels are names and our words."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Literal, NamedTuple

LINES_AT_ONCE: Final = 5000
"""Lines written before other tasks get their turn: a few milliseconds. A thousand accounts have 120,000 lines."""

Sample = tuple[str | float, ...]
"""The value of each label, and the value of the sample."""


class Blocks(NamedTuple):
    """Lines that are written by blocks of so many; `write` takes the name of the metric."""

    lines: int
    write: Callable[[str], Iterable[str]]


class Family(NamedTuple):
    """One metric with all its samples, some of them in blocks."""

    kind: Literal["gauge", "counter"]
    name: str
    words: str
    labels: tuple[str, ...]
    samples: Iterable[Sample] = ()
    blocks: Blocks | None = None

    def parts(self) -> Iterator[str]:
        """Write the lines of this metric in batches."""
        yield f"# HELP {self.name} {self.words}\n# TYPE {self.name} {self.kind}\n"
        if self.blocks is not None:
            blocks = iter(self.blocks.write(self.name))
            while some := list(islice(blocks, max(1, LINES_AT_ONCE // self.blocks.lines))):
                yield "".join(some)
        labels = ",".join(f'{label}="%s"' for label in self.labels)
        line = f"{self.name}{{{labels}}} %s\n" if labels else f"{self.name} %s\n"
        samples = iter(self.samples)
        while lines := "".join([line % sample for sample in islice(samples, LINES_AT_ONCE)]):
            yield lines


def around(name: str, tails: Sequence[str]) -> list[str]:
    """Return what stands around the same labels in some lines, so that these join it; a tail follows them in each line.

    Eight lines that a join makes cost as much as one that is formatted.
    """
    head = f"{name}{{"
    return [head, *(f"{tail}\n{head}" for tail in tails[:-1]), f"{tails[-1]}\n"]
