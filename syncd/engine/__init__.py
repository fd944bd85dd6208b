"""The road of a page: one run of one stream, from its lock to its last page. Knows no API, writes through `storage`."""
