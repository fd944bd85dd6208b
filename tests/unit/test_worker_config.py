"""What a worker's configuration costs: it reads every account, and masks the secrets of those alone that it runs."""

from pathlib import Path

import pytest

from syncd import log
from syncd.cli import session


@pytest.mark.parametrize("protects", [True, False])
def test_a_worker_leaves_it_to_its_service_which_secrets_the_log_masks(tmp_path: Path, *, protects: bool) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[sources.shop]\ntype = "cyclesoftware"\nusername = "u"\npassword = "hunter2-of-another-worker"\n')
    path.chmod(0o600)
    log._protected.forget_all()
    try:
        assert session.load_config(path, protects=protects).sources["shop"].secret("password")
        assert ("hunter2" in log.mask("the password is hunter2-of-another-worker")) is not protects
    finally:
        log._protected.forget_all()
