"""What the APIs of the sandbox declare: streams, keys, zones, accounts and paths, all of them by API."""

from syncd.sandbox.apis import packages
from syncd.sandbox.world import Family

FAMILIES: tuple[Family, ...] = tuple(family for package in packages().values() for family in package.FAMILIES)
ZONES: dict[str, str] = {api: package.ZONE for api, package in packages().items()}
CREDENTIALS: dict[str, dict[str, str | int]] = {api: package.CREDENTIALS for api, package in packages().items()}
PREFIXES: dict[str, str] = {api: package.PREFIX for api, package in packages().items()}
# The key fields of every stream.
KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    api: {stream: fields for family in FAMILIES if family.api == api for stream, fields in family.keys.items()}
    for api in packages()
}
# The streams that daily work changes, as (API, stream).
PACE = tuple((family.api, stream) for family in FAMILIES for stream in family.pace)
