"""The twelve numbers by which CycleSoftware tells one bike from another: of frame, keys, battery and so on.

Several streams send them, in an object `identification`. They lead to the owner, so all are personal.
"""

from typing import Final

from syncd.contract import TEXT, Column, column

NUMBERS: Final = {
    "battery_number": "Number of the battery",
    "battery_number_2": "Number of the second battery",
    "engine_number": "Number of the engine",
    "frame_number": "Number of the frame",
    "imei_number": "IMEI of the tracker",
    "key_number": "Number of the key",
    "key_number_2": "Number of the second key",
    "license_plate_number": "Licence plate",
    "lock_number": "Number of the lock",
    "lock_number_2": "Number of the second lock",
    "serial_number": "Serial number",
    "velopass_code": "Code of the theft register Velopass",
}


def identification_columns(prefix: str, *path: str) -> tuple[Column, ...]:
    """Return the twelve columns of an object at `path`; each name begins with `prefix`."""
    return tuple(
        column(f"{prefix}{name}", TEXT, comment, *path, name, optional=True) for name, comment in NUMBERS.items()
    )


def identification_names(prefix: str) -> tuple[str, ...]:
    """Return the names of these columns, as a table marks them as personal."""
    return tuple(f"{prefix}{name}" for name in NUMBERS)
