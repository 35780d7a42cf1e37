import logging
from pathlib import Path

import pytest

from c2c_health.version import get_version


def test_the_hash_in_the_file(tmp_path: Path) -> None:
    """It is what c2c-genversion was given; without the file there is none."""
    path = tmp_path / "versions.json"
    assert get_version({"c2c.versions_path": str(path)}) is None
    path.write_text('{"main": {"git_hash": "0123456", "git_tag": "1.2"}, "packages": {}}')
    assert get_version({"c2c.versions_path": str(path)}) == "0123456"


def test_a_broken_file_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broken file is no version, and one error in the log."""
    path = tmp_path / "versions.json"
    path.write_text("{")
    assert get_version({"c2c.versions_path": str(path)}) is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
