"""The accounts that the sandbox knows; made up, and good for nothing else."""

# By source type, under the names of syncd's configuration.
CREDENTIALS: dict[str, dict[str, str | int]] = {
    "cyclesoftware": {"username": "sandbox-shop", "password": "shop-pass:with/odd+signs"},
    "cyclis": {"api_token": "sandbox-cyclis-token-3f9a"},
    "autengo": {"api_key": "sandbox-autengo-key-77c1", "dealer_alzura_id": 1234567890, "user_alzura_id": 987654321},
    "ghs": {"api_key": "sandbox-ghs-key-b02e", "username": "garage", "password": "ghs-pass-öü"},
}
