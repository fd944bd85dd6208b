"""One metric with all its samples, in Prometheus' text format. Nothing is escaped: labels are names and our words."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, Literal, NamedTuple

LINES_AT_ONCE: Final = 5000
"""Lines written before other tasks get their turn: a few milliseconds. A thousand accounts have 120,000 lines."""

Sample = tuple[str | float, ...]
"""The value of each label, and the value of the sample."""


class Family(NamedTuple):
    """One metric with all its samples."""

    kind: Literal["gauge", "counter"]
    name: str
    words: str
    labels: tuple[str, ...]
    samples: Iterable[Sample]

    def parts(self) -> Iterator[str]:
        """Write the lines of this metric in batches."""
        yield f"# HELP {self.name} {self.words}\n# TYPE {self.name} {self.kind}\n"
        labels = ",".join(f'{label}="%s"' for label in self.labels)
        line = f"{self.name}{{{labels}}} %s\n" if labels else f"{self.name} %s\n"
        samples = iter(self.samples)
        while lines := "".join([line % sample for sample in islice(samples, LINES_AT_ONCE)]):
            yield lines
