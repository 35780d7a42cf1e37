"""The package as a whole: light to import, and its README tells the truth."""

import re
import subprocess
import sys
from pathlib import Path

import c2c_health
from c2c_broadcast import declarations

_README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")

_LIGHT = """
import sys, threading
import c2c_health, c2c_health.gunicorn
from pyramid.config import Configurator
config = Configurator()
c2c_health.HealthCheck(config).add_custom_check("x", lambda request: None)
config.make_wsgi_app()
heavy = {"requests", "sqlalchemy", "alembic", "redis", "gunicorn", "plaster"} & set(sys.modules)
assert not heavy, heavy
assert threading.active_count() == 1
"""


def test_importing_is_light():
    """What a check needs is imported when one is added; nothing is started before the first run."""
    subprocess.run([sys.executable, "-c", _LIGHT], check=True)


_WITHOUT_EXTRAS = """
import sys
sys.modules["redis"] = sys.modules["alembic"] = None  # as if they were not installed
from pyramid.config import Configurator
from c2c_broadcast import ConfigurationError
from c2c_health import HealthCheck
for add in (lambda health: health.add_redis_check("redis://x"), lambda health: health.add_alembic_check(None, "a.ini")):
    try:
        add(HealthCheck(Configurator(settings={"sqlalchemy.url": "sqlite://"})))
    except ConfigurationError as error:
        print(error)
"""


def test_a_missing_extra_is_named():
    """By the error of the start-up."""
    found = subprocess.run([sys.executable, "-c", _WITHOUT_EXTRAS], capture_output=True, text=True, check=True).stdout
    assert found.splitlines() == [
        "The Redis check needs redis: pip install 'c2c-health[redis]'",
        "The alembic check needs alembic: pip install 'c2c-health[alembic]'",
    ]


def test_the_settings_table():
    """It is the dataclass's."""
    rows = re.findall(r"^\| `(\w+)` \| `([\w.]+)` \| `?([^`|]*)`? \|", _README, re.MULTILINE)
    wanted = [
        (found.env, found.key, str(default).lower() if isinstance(default, bool | None) else str(default))
        for found, default in declarations(c2c_health.HealthSettings).values()
    ]
    assert [(env, key, default.strip()) for env, key, default in rows] == wanted


def test_the_ten_lines():
    """The README's example runs."""
    [example] = re.findall(r"```python\n(from pyramid.*?)```", _README, re.DOTALL)
    found = subprocess.run(
        [sys.executable, "-c", example + "\nprint(config.registry['health_check'].report(2)['successes'].keys())"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "disk" in found.stdout


def test_public_names_have_docstrings():
    """Each of ``__all__``, which is sorted and complete."""
    assert c2c_health.__all__ == sorted(c2c_health.__all__)
    for name in c2c_health.__all__:
        assert getattr(c2c_health, name).__doc__, name
