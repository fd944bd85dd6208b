"""The kit with which a plugin tests its source against its own sandbox (docs/add-an-api.md)."""
