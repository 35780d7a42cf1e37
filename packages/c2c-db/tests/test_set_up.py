"""What an application says at start-up: forms, names, and clear errors."""

import pytest
import transaction
from pyramid.config import Configurator
from pyramid.exceptions import ConfigurationConflictError, URLDecodeError
from sqlalchemy import text

from c2c_broadcast import ConfigurationError
from c2c_db import Database, create_session, databases, init, setup_session, use_replica


def _config(**settings):
    return Configurator(settings=settings)


def test_names(tmp_path):
    """Engines are named after their prefixes; those of create_session after its name."""
    url = f"sqlite:///{tmp_path}/"
    config = _config(**{"sqlalchemy.url": f"{url}a", "sqlalchemy_slave.url": f"{url}b"})
    session, rw_engine, ro_engine = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
    assert [rw_engine.c2c_name, ro_engine.c2c_name] == ["sqlalchemy", "sqlalchemy_slave"]
    assert (session.c2c_rw_bind, session.c2c_ro_bind, session.c2c_ro_binds) == (rw_engine, ro_engine, (ro_engine,))
    other = create_session(config, "other", f"{url}c", f"{url}d", echo=False)
    assert [other.c2c_rw_bind.c2c_name, other.c2c_ro_bind.c2c_name] == ["other_master", "other_slave"]
    assert list(databases(config.registry)) == ["sqlalchemy", "other_master"]
    config.commit()


def test_what_an_engine_is(tmp_path):
    """An engine says its role, and whether reads go on elsewhere while its server is away."""

    def told(**settings):
        config = _config(**{"sqlalchemy.url": f"sqlite:///{tmp_path}/a"}, **settings)
        session, primary, _ = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
        return [(one.c2c_role, one.c2c_fails_over) for one in (primary, *session.c2c_ro_binds)]

    one = {"sqlalchemy_slave.url": f"sqlite:///{tmp_path}/b"}
    two = {"sqlalchemy_slave.urls": f"sqlite:///{tmp_path}/b sqlite:///{tmp_path}/c"}
    error = {"c2c.db.replica_failover": "error"}
    assert told() == [("primary", False)]
    assert told(**one) == [("primary", False), ("replica", True)]
    assert told(**one, **error) == [("primary", False), ("replica", False)]
    assert told(**two, **error) == [("primary", False), ("replica", True), ("replica", True)]


def test_options_of_the_ini(tmp_path):
    """Texts of an ini file become create_engine's values, on each side its own."""
    settings = {
        "sqlalchemy.url": f"sqlite:///{tmp_path}/a",
        "sqlalchemy.pool_size": "3",
        "sqlalchemy.pool_recycle": "30",
        "sqlalchemy.pool_pre_ping": "false",
        "sqlalchemy_slave.pool_pre_ping": "true",
        "sqlalchemy_slave.url": f"sqlite:///{tmp_path}/b",
        "sqlalchemy_slave.pool_size": "7",
    }
    _, rw_engine, ro_engine = setup_session(_config(**settings), "sqlalchemy", "sqlalchemy_slave")
    assert [rw_engine.pool.size(), ro_engine.pool.size()] == [3, 7]
    assert rw_engine.pool._recycle == 30
    assert [rw_engine.pool._pre_ping, ro_engine.pool._pre_ping] == [False, True]


def test_script(pair):
    """Without a configurator, as in a script: transaction.commit() commits, use_replica() reads."""
    session = create_session(None, "script", pair.primary.url, pair.replica.url)
    session.execute(text("INSERT INTO note (text) VALUES ('x')"))
    transaction.commit()
    with use_replica():  # it waits for what this thread wrote, or reads it on the primary
        assert session.scalar(text("SELECT count(*) FROM note")) == 1
    session.execute(text("INSERT INTO note (text) VALUES ('y')"))
    transaction.abort()
    assert session.scalar(text("SELECT count(*) FROM note")) == 1
    transaction.abort()
    session.database.close()


def test_two_databases(tmp_path, new_service):
    """add_database gives request.dbsession, with a name another attribute; each has its engines and rules."""

    def set_up(config):
        for name in ("dbsession", "geo"):
            config.add_database(
                Database(
                    url=f"sqlite:///{tmp_path}/{name}", name=name, engine_name=name, replica_engine_name=f"{name}_ro"
                )
            )
        config.add_route("names", "/names")
        config.add_view(
            lambda request: [request.dbsession.get_bind().c2c_name, request.geo.get_bind().c2c_name],
            route_name="names",
            renderer="json",
        )

    assert new_service(set_up).app.get("/names").json == ["dbsession", "geo"]


def test_a_second_database_needs_a_name_only(tmp_path, new_service):
    """Its engines are named after it, be the name said in Database or to the directive."""

    def set_up(config):
        for number, (said, more) in enumerate([({}, {}), ({"name": "geo"}, {}), ({}, {"name": "logs"})]):
            url = f"sqlite:///{tmp_path}/{number}"
            config.add_database(Database(url=url, replica_urls=(f"{url}r",), **said), **more)
        config.add_route("names", "/names")
        config.add_view(
            lambda request: [session.get_bind().c2c_name for session in (request.dbsession, request.geo, request.logs)],
            route_name="names",
            renderer="json",
        )

    app = new_service(set_up).app
    assert app.get("/names").json == ["sqlalchemy_slave", "geo_slave", "logs_slave"]
    assert app.post("/names").json == ["sqlalchemy", "geo", "logs"]


@pytest.mark.parametrize(
    "urls",
    [
        "postgresql://a/d postgresql+psycopg2://b,c/d",
        "\n  postgresql://a/d,\n  postgresql+psycopg2://b,c/d\n",
        "postgresql://a/d,postgresql+psycopg2://b,c/d",
        ["postgresql://a/d", "postgresql+psycopg2://b,c/d", "postgresql://a/d"],
    ],
)
def test_several_urls(urls):
    """White space or commas part the URLs of replicas (Python's settings may be lists); each may have several hosts."""
    settings = {"sqlalchemy.url": "postgresql://p/d", "sqlalchemy_slave.urls": urls}
    session, _, _ = setup_session(Configurator(settings=settings), "sqlalchemy", "sqlalchemy_slave")
    assert [one.url.host for one in session.c2c_ro_binds] == ["a", "b", "c"]
    assert [one.c2c_name for one in session.c2c_ro_binds] == [f"sqlalchemy_slave_{n}" for n in (1, 2, 3)]


def test_same_session_in_a_request(tmp_path, new_service):
    """In a request, DBSession() is one object, wherever it is asked for; in another request it is another one."""
    seen = []

    def set_up(config):
        session, _, _ = setup_session(config)

        def view(_request):
            seen.append(session())
            return session() is seen[-1]

        config.add_route("x", "/x")
        config.add_view(view, route_name="x", renderer="json")

    app = new_service(set_up, **{"sqlalchemy.url": f"sqlite:///{tmp_path}/a"}).app
    assert app.get("/x").json is True
    assert app.get("/x").json is True
    assert seen[0] is not seen[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"^sqlalchemy\.url is not set: write sqlalchemy\.url = postgresql://"),
        ({"sqlalchemy.url": " "}, r"^sqlalchemy\.url is not set"),
        ({"sqlalchemy.url": "nonsense"}, r"^sqlalchemy\.url: 'nonsense' is not a database URL"),
        ({"sqlalchemy.url": "oracle9://u:hunter2@h/d"}, r"^database sqlalchemy: .*oracle9"),
        ({"sqlalchemy.url": "sqlite://", "sqlalchemy.pool_recicle": "3"}, r"^database sqlalchemy: .*pool_recicle"),
        ({"sqlalchemy.url": "sqlite://", "sqlalchemy.pool_size": "many"}, r"^database sqlalchemy: .*many"),
        ({"sqlalchemy.url": "sqlite://", "sqlalchemy.connect_args": "{}"}, r"^database sqlalchemy: connect_args .*URL"),
        ({"sqlalchemy.url": "sqlite://", "sqlalchemy.poolclass": "Pool"}, r"^database sqlalchemy: "),
        ({"sqlalchemy.url": "sqlite://", "sqlalchemy.pool_pre_ping": "perhaps"}, r"^database sqlalchemy: .*perhaps"),
        ({"sqlalchemy.url": "sqlite://", "sqlalchemy_slave.url": "a,b"}, r"^sqlalchemy_slave\.url: "),
        ({"sqlalchemy.url": "sqlite://", "c2c.db.max_lag": "soon"}, r"c2c\.db\.max_lag.*C2C_DB_MAX_LAG"),
        ({"sqlalchemy.url": "sqlite://", "c2c.db.max_lag": "-1"}, r"c2c\.db\.max_lag"),
        ({"sqlalchemy.url": "sqlite://", "c2c.db.read_your_writes": "maybe"}, r"use lsn, off, or a number"),
        ({"sqlalchemy.url": "sqlite://", "c2c.db.read_your_writes": "0"}, r"more than 0"),
        ({"sqlalchemy.url": "sqlite://", "c2c.db.replica_failover": "none"}, r"primary, error"),
        ({"sqlalchemy.url": "sqlite://", "c2c.db.enforce_readonly": "2"}, r"c2c\.db\.enforce_readonly"),
    ],
)
def test_bad_settings(settings, message):
    """What can't be used stops the start-up, with an error that names the setting and shows no password."""
    with pytest.raises(ConfigurationError, match=message) as error:
        init(_config(**settings), "sqlalchemy", "sqlalchemy_slave")
    assert "hunter2" not in str(error.value)


def test_bad_patterns(tmp_path):
    """A pattern that does not compile stops the start-up, and is named."""
    config = _config(**{"sqlalchemy.url": "sqlite://"})
    with pytest.raises(ConfigurationError, match=r"force_master: 'GET /\(' is not a regular expression"):
        setup_session(config, force_master=["GET /("])


def test_two_of_one_name():
    """Two databases of one name are a conflict that names both places."""
    config = _config(**{"sqlalchemy.url": "sqlite://"})

    def again(config):
        setup_session(config)

    setup_session(config)
    config.include(again)
    config.commit()  # an included one gives way, as in all of Pyramid
    other = Configurator(settings={"sqlalchemy.url": "sqlite://"})
    setup_session(other)
    setup_session(other)
    with pytest.raises(ConfigurationConflictError, match="c2c database"):
        other.commit()


def test_included_twice(tmp_path):
    """Including twice, with a commit between, changes nothing; two applications know nothing of each other."""
    from webtest import TestApp

    apps = []
    for name in ("one", "two"):
        config = _config(**{"sqlalchemy.url": f"sqlite:///{tmp_path}/{name}"})
        config.include("c2c_db")
        init(config)
        config.commit()
        config.include("c2c_db")
        config.include("c2c_db")
        config.add_route("x", "/x")
        config.add_view(
            lambda request: str(request.dbsession.get_bind().url.database), route_name="x", renderer="string"
        )
        apps.append(TestApp(config.make_wsgi_app()))
        assert list(databases(config.registry)) == ["sqlalchemy"]
    assert [app.get("/x").text for app in apps] == [f"{tmp_path}/one", f"{tmp_path}/two"]


def test_undecodable_path(tmp_path, new_service):
    """A path that is no UTF-8, which Pyramid refuses, still has a session: by its method."""

    def set_up(config):
        init(config, force_master=["GET /%FF"])
        config.add_route("x", "/x")
        config.add_exception_view(
            lambda request: request.dbsession.scalar(text("SELECT 1")), context=URLDecodeError, renderer="json"
        )

    assert new_service(set_up, **{"sqlalchemy.url": f"sqlite:///{tmp_path}/a"}).app.get("/%ff").json == 1
