"""Which APIs the sandbox plays, and what each of them declares: streams, keys, zones and accounts."""

from syncd.sandbox import autengo, cyclesoftware, cyclis, ghs

# In the order in which they are seeded: Cyclis shares customers with CycleSoftware.
FAMILIES = (*cyclesoftware.FAMILIES, *cyclis.FAMILIES, *autengo.FAMILIES, *ghs.FAMILIES)

ZONES: dict[str, str] = {
    "cyclesoftware": cyclesoftware.ZONE,
    "cyclis": cyclis.ZONE,
    "autengo": autengo.ZONE,
    "ghs": ghs.ZONE,
}
CREDENTIALS: dict[str, dict[str, str | int]] = {
    "cyclesoftware": cyclesoftware.CREDENTIALS,
    "cyclis": cyclis.CREDENTIALS,
    "autengo": autengo.CREDENTIALS,
    "ghs": ghs.CREDENTIALS,
}
PREFIXES: dict[str, str] = {  # of an API's paths
    "cyclesoftware": cyclesoftware.CycleSoftware.prefix,
    "cyclis": cyclis.Cyclis.prefix,
    "autengo": autengo.Autengo.prefix,
    "ghs": ghs.Ghs.prefix,
}
# The key fields of every stream, by API.
KEYS: dict[str, dict[str, tuple[str, ...]]] = {
    api: {stream: fields for family in FAMILIES if family.api == api for stream, fields in family.keys.items()}
    for api in ZONES
}
# The streams that daily work changes, as (API, stream).
PACE = tuple((family.api, stream) for family in FAMILIES for stream in family.pace)
