"""The alembic check, with real migrations and a real database."""

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text
from sqlalchemy.orm import sessionmaker

from c2c_broadcast import ConfigurationError

_REVISION = "{first}revision = {revision!r}\ndown_revision = {down!r}\ndepends_on = {depends_on!r}\n"
_ENV = """
from alembic import context
from sqlalchemy import create_engine

with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
"""


def _migrations(folder, depends_on=None, first="", **revisions):
    """Write migration scripts: revision=down_revision; the last one may depend on another."""
    (folder / "versions").mkdir(parents=True)
    for revision, down in revisions.items():
        other = depends_on if revision == list(revisions)[-1] else None
        script = _REVISION.format(first=first, revision=revision, down=down, depends_on=other)
        (folder / "versions" / f"{revision}.py").write_text(script + "\n\ndef upgrade():\n    pass\n")
    return folder


@pytest.fixture
def ini(tmp_path):
    """Write an ini file with three sections: a line of migrations, one with two heads, one in another schema."""
    one = _migrations(tmp_path / "one", a1=None, a2="a1")
    two = _migrations(tmp_path / "two", b1=None, b2="b1", b3="b1")
    path = tmp_path / "alembic.ini"
    path.write_text(
        f"[alembic]\nscript_location = {one}\nsqlalchemy.url = %(NOT_THERE)s\n"
        f"[second]\nscript_location = {two}\nversion_table = second_version\n"
        f"[third]\nscript_location = {one}\nversion_table_schema = other\n"
    )
    return path


@pytest.fixture
def engine(postgres):
    """Give an engine on a database without any version."""
    made = create_engine(postgres.url.replace("postgresql://", "postgresql+psycopg2://"))
    with made.begin() as connection:
        connection.execute(
            text("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS other CASCADE")
        )
    yield made
    made.dispose()


def _at(engine, *versions, table="public.alembic_version"):
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {table} (version_num text); TRUNCATE {table}"))
        for version in versions:
            connection.execute(text(f"INSERT INTO {table} VALUES (:version)"), {"version": version})


def _name(ini, section="alembic"):
    return f"alembic_{str(ini).strip('/').replace('/', '_')}_{section}"


def test_the_right_version(service, ini, engine):
    """The result is the database's version; the name is made of the path and the section; level 2."""
    _at(engine, "a2")
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), str(ini))
    found = made.get("/health_check?max_level=2").json["successes"]
    assert list(found) == [_name(ini)]
    assert found[_name(ini)]["result"] == "a2"
    assert found[_name(ini)]["level"] == 2


def test_a_relative_script_location(service, tmp_path, engine, monkeypatch):
    """It is taken from the ini file's folder, whatever the working directory; so are the others of its kind."""
    _migrations(tmp_path / "app" / "scripts", r1=None)
    _migrations(tmp_path / "app" / "more", r2="r1")
    (tmp_path / "app" / "alembic.ini").write_text(
        "[alembic]\nscript_location = scripts\npath_separator = space\nprepend_sys_path = .\n"
        "version_locations = scripts/versions more/versions\n"
    )
    _at(engine, "r2")
    monkeypatch.chdir(tmp_path)
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), "app/alembic.ini", level=1)
    monkeypatch.chdir("/")
    monkeypatch.syspath_prepend("/")
    assert made.get().json["successes"]["alembic_app_alembic.ini_alembic"]["result"] == "r2"


def test_scripts_that_are_not_there(service, tmp_path, engine):
    """The message names the ini file, its section and the folder looked in."""
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = nowhere\n")
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), str(tmp_path / "alembic.ini"), level=1)
    [found] = made.get(status=500).json["failures"].values()
    assert f"{tmp_path}/alembic.ini [alembic]" in found["message"]
    assert f"{tmp_path}/nowhere" in found["message"]


def test_the_wrong_version(service, ini, engine):
    """Both versions are named; the result is the database's still."""
    _at(engine, "a1")
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), str(ini), level=1)
    [found] = made.get(status=500).json["failures"].values()
    assert found["message"] == "Invalid alembic version (database: a1, code: a2): run the migrations"
    assert found["result"] == "a1"
    _at(engine)
    [found] = made.get(status=500).json["failures"].values()
    assert "database: none" in found["message"]


def test_no_version_table(service, ini, engine):
    """A failure that says so, without the statement."""
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), str(ini), level=1)
    [found] = made.get(status=500).json["failures"].values()
    assert "alembic_version" in found["message"]
    assert "SELECT" not in found["message"]


def test_several_heads(service, ini, engine):
    """All of them are wanted; in another table, as its section says."""
    _at(engine, "b3", "b2", table="public.second_version")
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), str(ini), name="second", level=1)
    assert made.get().json["successes"][_name(ini, "second")]["result"] == ["b2", "b3"]
    _at(engine, "b3", table="public.second_version")
    assert "code: b2, b3" in made.get(status=500).json["failures"][_name(ini, "second")]["message"]


def test_a_head_that_another_one_depends_on(service, tmp_path, engine):
    """Alembic itself leaves it out of the version table: what ``upgrade heads`` wrote is green, what is missing red."""
    folder = _migrations(tmp_path / "scripts", "c1", c1=None, d1=None, d2="d1")
    (folder / "env.py").write_text(_ENV)
    url = engine.url.render_as_string(hide_password=False)
    ini = tmp_path / "alembic.ini"
    ini.write_text(f"[alembic]\nscript_location = {folder}\nsqlalchemy.url = {url.replace('%', '%%')}\n")
    command.upgrade(Config(ini), "heads")
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), str(ini), level=1)
    assert made.get().json["successes"][_name(ini)]["result"] == "d2"
    for versions in (["d1", "c1"], ["c1"], ["d2", "unknown"]):
        _at(engine, *versions)
        assert "code: d2)" in made.get(status=500).json["failures"][_name(ini)]["message"]


def test_the_import_is_not_of_the_deadline(service, tmp_path, engine):
    """However long alembic and the scripts take to import, the check is about the database."""
    folder = _migrations(tmp_path / "scripts", first="import time\ntime.sleep(6)\n", a1=None)
    ini = tmp_path / "alembic.ini"
    ini.write_text(f"[alembic]\nscript_location = {folder}\n")
    _at(engine, "a1")
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), str(ini), level=1, timeout=5)
    assert made.get().json["successes"][_name(ini)]["result"] == "a1"


def test_a_broken_script(service, tmp_path, engine):
    """Is the check's failure, in its own words, each time."""
    folder = _migrations(tmp_path / "scripts", first="raise ValueError('not today')\n", a1=None)
    ini = tmp_path / "alembic.ini"
    ini.write_text(f"[alembic]\nscript_location = {folder}\n")
    made = service()
    made.health.add_alembic_check(sessionmaker(engine), str(ini), level=1)
    for _ in range(2):
        assert made.get(status=500).json["failures"][_name(ini)]["message"] == "not today"


@pytest.mark.parametrize("content", [b"[alembic]\nversion_table = %(NOT_THERE)s\n", b"[alembic]\nx = \xff\n", b"x"])
def test_a_file_that_can_not_be_read_stops_the_start_up(service, tmp_path, engine, content):
    """It is named."""
    ini = tmp_path / "alembic.ini"
    ini.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"^The alembic check of .*alembic\.ini: "):
        service().health.add_alembic_check(sessionmaker(engine), str(ini))


def test_sections_of_one_file_are_checks_of_their_own(service, ini, engine):
    """With another schema, from the section or as an argument."""
    _at(engine, "a2")
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA other"))
    _at(engine, "a1", table="other.alembic_version")
    _at(engine, "b2", "b3", table='other."odd Name"')
    made = service()
    session = sessionmaker(engine)
    made.health.add_alembic_check(session, str(ini), level=1)
    made.health.add_alembic_check(session, str(ini), level=1, name="third")
    made.health.add_alembic_check(
        session, str(ini), level=1, name="second", version_schema="other", version_table="odd Name"
    )
    answer = made.get(status=500)
    assert set(answer.json["successes"]) == {_name(ini), _name(ini, "second")}
    assert set(answer.json["failures"]) == {_name(ini, "third")}


def test_what_is_missing_stops_the_start_up(service, ini, engine):
    """The file, or its section."""
    health = service().health
    with pytest.raises(ConfigurationError, match="no such file"):
        health.add_alembic_check(sessionmaker(engine), "/nowhere/alembic.ini")
    with pytest.raises(ConfigurationError, match=r"no section \[nope\]; there are: alembic, second, third"):
        health.add_alembic_check(sessionmaker(engine), str(ini), name="nope")
