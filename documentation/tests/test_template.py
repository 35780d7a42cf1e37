"""The template of a new service: its tests pass, and it runs."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import requests

from c2c_testing.servers import free_port
from c2c_testing.utils import retry_timeout
from documentation.blocks import ROOT


def run(folder: Path, *command: str | Path) -> None:
    """Run a command in a folder to its end."""
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_new_service(tmp_path: Path) -> None:
    """Copier makes it; make test and make run do what they say, with this tree's packages in place of an index's."""
    copier = Path(sys.executable).parent / "copier"
    run(tmp_path, copier, "copy", "--quiet", "--defaults", "--data", "name=shop", ROOT / "template", tmp_path / "shop")
    folder = tmp_path / "shop"
    assert not [path for path in folder.rglob("*") if "jinja" in path.name or "{{" in path.name]
    run(folder, sys.executable, "-m", "venv", ".venv")
    site = next(folder.glob(".venv/lib/python3*/site-packages"))
    # An editable package's own .pth file counts, too: addsitedir reads them.
    (site / "tree.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    run(folder, ".venv/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "-e", ".")
    shutil.copy(Path(sys.executable).parent / "c2c-run", folder / ".venv/bin/c2c-run")
    script = folder / ".venv/bin/c2c-run"
    script.write_text(script.read_text().replace(sys.executable, str(folder / ".venv/bin/python")))
    (folder / ".venv/.installed").touch()
    run(folder, "make", "test")
    port = free_port()
    service = subprocess.Popen(["make", "run", f"PORT={port}"], cwd=folder, start_new_session=True)
    try:
        retry_timeout(lambda: requests.get(f"http://localhost:{port}/hello?name=Ada", timeout=5).ok, 120, 0.2)
        answer = requests.get(f"http://localhost:{port}/hello", timeout=60)
        assert (answer.status_code, answer.json()["status"]) == (400, 400)
        assert requests.get(f"http://localhost:{port}/c2c/health/ready", timeout=60).status_code == 200
        assert "c2c_greetings_total " in requests.get(f"http://localhost:{port}/metrics", timeout=60).text
    finally:
        os.killpg(service.pid, signal.SIGTERM)
        service.wait(60)
