"""What a service of c2cwsgiutils 3.10 met, and meets: one test for each difference that was found once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zope.sqlalchemy
from pyramid.config import Configurator
from pyramid.request import Request
from sqlalchemy import event, text

from c2c_testing.servers import Postgres, RedisSentinel
from c2cwsgiutils import db
from c2cwsgiutils.acceptance.utils import retry_timeout
from c2cwsgiutils.pyramid import includeme

_SERVICE = Path(__file__).parent / "service"


def test_alembic_from_anywhere(tmp_path: Path, postgres: Postgres) -> None:
    """The check finds the migrations that its ini names, whatever folder the process runs in."""
    postgres.execute("CREATE SCHEMA parcels")
    postgres.execute("CREATE TABLE parcels.alembic_version (version_num varchar)")
    postgres.execute("INSERT INTO parcels.alembic_version VALUES ('4a8c1bb4e775')")
    code = (
        "import sys; from pyramid.config import Configurator; import c2cwsgiutils.db, c2cwsgiutils.health_check as h\n"
        "config = Configurator(settings={'sqlalchemy.url': sys.argv[1]})\n"
        "session, _, _ = c2cwsgiutils.db.setup_session(config, 'sqlalchemy')\n"
        "checks = h.HealthCheck(config)\n"
        "checks.add_alembic_check(session, sys.argv[2], 1)\n"
        "config.commit()\n"
        "print(checks.report(max_level=1))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, postgres.url, _SERVICE / "alembic.ini"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "'result': '4a8c1bb4e775'" in done.stdout, done.stdout + done.stderr


def test_a_slave_of_its_own(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slave that is no replica is read by GET; a GET that writes does so there, and is told what its server says."""
    monkeypatch.setenv("C2C_COMPAT_ERA", "3")
    urls = {}
    for side in ("primary", "slave"):
        urls[side] = postgres.create_database(f"sides_{side}")
        postgres.execute("CREATE TABLE side (name text PRIMARY KEY)", database=f"sides_{side}")
        postgres.execute("INSERT INTO side VALUES (%s)", [side], database=f"sides_{side}")
    config = Configurator(settings={"sqlalchemy.url": urls["primary"], "sqlalchemy_slave.url": urls["slave"]})
    config.include(includeme)
    session, _, _ = db.setup_session(config, "sqlalchemy", "sqlalchemy_slave")

    def read(_request: object) -> list[str]:
        return [str(row[0]) for row in session.execute(text("SELECT name FROM side ORDER BY name"))]

    def write(request: Any) -> dict[str, str]:
        session.execute(text("INSERT INTO side VALUES (:name)"), {"name": request.params["name"]})
        return {}

    for name, view in {"read": read, "write": write}.items():
        config.add_route(name, f"/{name}")
        config.add_view(view, route_name=name, renderer="json")
    app = config.make_wsgi_app()

    def ask(path: str, method: str = "GET") -> Any:
        return Request.blank(path, method=method).get_response(app)

    retry_timeout(lambda: ask("/read").json == ["slave"])
    assert ask("/read", "PUT").json == ["primary"]
    assert ask("/write?name=new").status_int == 200
    assert ask("/read").json == ["new", "slave"]
    again = ask("/write?name=new")
    assert (again.status_int, again.json["status"]) == (400, 400)
    assert "side_pkey" in again.json["message"]
    session.remove()


def test_listeners_of_the_session(postgres: Postgres) -> None:
    """``DBSession`` takes listeners, and ``zope.sqlalchemy.register`` once more."""
    config = Configurator(settings={"sqlalchemy.url": postgres.url})
    session, _, _ = db.setup_session(config, "sqlalchemy")
    begun: list[object] = []
    event.listen(session, "after_begin", lambda *given: begun.append(given))
    zope.sqlalchemy.register(session)
    assert session.execute(text("SELECT 1")).scalar() == 1
    assert begun
    session.remove()


def test_sentinels_of_redis_5(redis_sentinel: RedisSentinel, as_redis_5: Callable[..., Any]) -> None:
    """Broadcasts, ``redis_utils`` and the health check ask a Sentinel nothing that it does not know."""
    sentinel = as_redis_5(redis_sentinel.sentinel)
    code = (
        "import c2cwsgiutils.setup_process\n"
        "from pyramid.config import Configurator\nfrom c2c_broadcast import broadcast\n"
        "from c2cwsgiutils import health_check, redis_utils\nfrom c2cwsgiutils.acceptance.utils import retry_timeout\n"
        "retry_timeout(lambda: broadcast.health().connected)\n"
        "report = health_check.HealthCheck(Configurator()).report(max_level=2)\n"
        "print(redis_utils.get()[0].ping(), report['failures'], *report['successes'])\n"
    )
    own = {
        **os.environ,
        "C2C_REDIS_SENTINELS": f"127.0.0.1:{sentinel.server_address[1]}",
        "C2C_REDIS_SERVICENAME": redis_sentinel.service_name,
    }
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.splitlines()[-1:] == ["True {} redis"], done.stdout + done.stderr
    assert sentinel.refused <= {"CLIENT SETINFO"}
