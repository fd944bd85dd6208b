"""What every record passes before anything else sees it: fields left out or hashed, persons who were forgotten.

    guard    a stream's guard: lets the records of a page in, changed or not
    sieve    rewrites one record by what is to become of its fields
    fields   what a name in `exclude` or `hash` means, and whether it may stand there
    markers  who was forgotten, known by digests only

Pure: no I/O and no clock. `syncd.storage.state.forgotten` keeps the markers.
"""

from syncd.records.privacy.fields import Place, may_withhold, place
from syncd.records.privacy.guard import HASHED, WITHHELD, Entered, Guard
from syncd.records.privacy.markers import NO_GENERATION, Forgotten, Markers, marker

__all__ = [
    "HASHED", "NO_GENERATION", "WITHHELD", "Entered", "Forgotten", "Guard", "Markers", "Place", "marker",
    "may_withhold", "place",
]  # fmt: skip
