"""The plaster loader, in process and through Pyramid's commands."""

import json
import os
import signal
from importlib.metadata import PackageNotFoundError

import plaster
import pytest
from pyramid.scripts import proutes

from c2c_meta._ini import IniError
from c2c_meta._loader import Loader

APP = """
[DEFAULT]
global = %(TINY_GLOBAL)s
[app:main]
use = call:tiny:main
HOME = mine
secret.value = %(TINY_SECRET)s
[app:other]
use = config:other.ini
more = 1
[pipeline:piped]
pipeline = marked main
[filter:marked]
paste.filter_app_factory = tiny:Marked
mark = %(TINY_SECRET)s
"""


@pytest.fixture
def uri(folder, monkeypatch):
    """The address of an ini file with an environment for it."""
    monkeypatch.syspath_prepend(folder.path)
    monkeypatch.setenv("TINY_SECRET", "a%b%(x)s")
    monkeypatch.setenv("TINY_GLOBAL", "50%")
    folder.write("other.ini", "[app:main]\nuse = call:tiny:main\nfrom.other = %(TINY_SECRET)s %(global)s\n")
    return f"c2c://{folder.write('x.ini', APP)}"


@pytest.mark.parametrize("scheme", ["c2c", "c2c+ini"])
def test_schemes(uri, scheme):
    """Both schemes find this loader."""
    loader = plaster.get_loader(uri.replace("c2c", scheme, 1), protocols=["wsgi"])
    assert type(loader) is Loader


def test_relative(folder, monkeypatch):
    """c2c://production.ini is a file of the current folder."""
    monkeypatch.chdir(folder.path)
    assert "app:main" in plaster.get_sections("c2c://production.ini")


def test_settings(uri):
    """A setting uses the environment as it is; no variable becomes a setting by itself, nor does it hide one."""
    settings = plaster.get_loader(uri, protocols=["wsgi"]).get_wsgi_app_settings()
    assert dict(settings) == {"HOME": "mine", "secret.value": "a%b%(x)s"}
    assert settings.global_conf.keys() == {"here", "__file__", "global"}
    assert settings.global_conf["global"] == "50%"


def test_section(uri):
    """Any section can be read, as for [alembic]."""
    assert plaster.get_settings(uri, "filter:marked")["mark"] == "a%b%(x)s"
    assert plaster.get_settings(uri, "nowhere") == {}


def test_application(uri):
    """The application gets the settings."""
    application = plaster.get_loader(uri, protocols=["wsgi"]).get_wsgi_app()
    assert application.registry.settings["secret.value"] == "a%b%(x)s"


def test_other_file(uri):
    """A file that the file refers to may use the environment too, and gets the globals."""
    settings = plaster.get_loader(f"{uri}#other", protocols=["wsgi"]).get_wsgi_app_settings()
    assert dict(settings) == {"more": "1", "from.other": "a%b%(x)s 50%"}


def test_pipeline(uri):
    """A pipeline has its filters, with their settings."""
    application = plaster.get_loader(uri, protocols=["wsgi"]).get_wsgi_app("piped")
    assert (type(application).__name__, application.mark) == ("Marked", "a%b%(x)s")


def test_filter(uri):
    """A filter can be had alone."""
    assert plaster.get_loader(uri, protocols=["wsgi"]).get_wsgi_filter("marked")("app").app == "app"


def test_defaults(uri):
    """Variables of a command line win over nothing of the file, and stand for their value."""
    uri = f"{uri}?port=1"
    settings = plaster.get_loader(uri, protocols=["wsgi"]).get_wsgi_app_settings(defaults={"name": "value"})
    assert settings.global_conf["port"] == "1"
    assert settings.global_conf["name"] == "value"


def test_egg(folder):
    """c2c+egg: loads from a distribution, without any file."""
    loader = plaster.get_loader("c2c+egg:waitress#main", protocols=["wsgi"])
    assert callable(loader.get_wsgi_server())
    assert loader.get_sections() == []


def test_undefined(uri, monkeypatch):
    """An undefined variable is an error that names it, its key and its line."""
    monkeypatch.delenv("TINY_SECRET")
    with pytest.raises(IniError, match=r"x\.ini:7: \[app:main\] secret\.value: uses %\(TINY_SECRET\)s"):
        plaster.get_loader(uri, protocols=["wsgi"]).get_wsgi_app()


def test_missing(folder):
    """A file that is not there is named."""
    with pytest.raises(IniError, match=r"nowhere\.ini: no such file"):
        plaster.get_settings(f"c2c://{folder.path}/nowhere.ini", "app:main")


@pytest.mark.parametrize("address", ["c2c://production.ini", "c2c:///{}/production.ini", "c2c+ini://production.ini"])
def test_pserve(folder, address):
    """Pserve serves the application, its server section using the environment too."""
    port = folder.free_port()
    address = address.format(str(folder.path).strip("/"))
    process = folder.start("pserve", address, port=port, TINY_PORT=str(port)).up()
    assert process.get("/hello")[0] == 200
    assert "|WARNING|tiny|tiny is imported" in process.log


def test_proutes(folder):
    """Proutes lists the routes."""
    done = folder.run("proutes", "c2c://production.ini", TINY_PORT="1")
    assert "/hello" in done.stdout, done.stderr


def test_pviews(folder):
    """Pviews says which view answers."""
    done = folder.run("pviews", "c2c://production.ini", "/hello", TINY_PORT="1")
    assert "route name: hello" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["main", "other"])
def test_section_name(folder, name, monkeypatch, capsys):
    """``#name`` chooses the application, for commands as for the loader."""
    folder.write("two.ini", "[app:other]\nuse = call:tiny:main\n[app:main]\nuse = call:nowhere:main\n")
    monkeypatch.chdir(folder.path)
    monkeypatch.syspath_prepend(folder.path)
    command = proutes.PRoutesCommand(["proutes", f"c2c://two.ini#{name}"], quiet=False)
    if name == "main":
        with pytest.raises(ModuleNotFoundError, match="nowhere"):
            command.run()
    else:
        assert command.run() == 0
        assert "/hello" in capsys.readouterr().out


def test_here(folder):
    """``here`` is the folder of the file, whatever the current folder is and however the file is named."""
    sub = folder.path / "sub"
    sub.mkdir()
    path = folder.write("sub/x.ini", "[app:main]\nuse = call:tiny:main\nplace = %(here)s/data\n")
    code = (
        "import os, plaster\n"
        "for uri in ('c2c://sub/x.ini', 'c2c+ini://sub/../sub/x.ini', 'c2c://{}'):\n"
        "    print(plaster.get_settings(uri, 'app:main')['place'])\n"
    )
    assert set(folder.python(code.format(path)).splitlines()) == {f"{sub}/data"}


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("c2c://nowhere.ini", "/nowhere.ini: no such file"),
        ("c2c+ini:///nowhere/x.ini", "/nowhere/x.ini: no such file"),
        ("c2c+egg:no-such-distribution#main", "no-such-distribution"),
    ],
)
def test_missing_for_commands(folder, uri, expected, monkeypatch):
    """A command whose file or distribution is not there ends with an error that names it, in one line."""
    monkeypatch.chdir(folder.path)
    with pytest.raises((IniError, PackageNotFoundError)) as caught:
        proutes.PRoutesCommand(["proutes", uri], quiet=False).run()
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pshell(folder):
    """Pshell has the application at hand."""
    folder.setting("x = %(TINY_X)s")
    code = "print(registry.settings['x'])\n"
    done = folder.run("pshell", "-p", "python", "c2c://production.ini", stdin=code, TINY_PORT="1", TINY_X="a%b")
    assert "a%b" in done.stdout, done.stderr


def test_command_names_variable(folder):
    """A command that can't go on says what is missing in its last line."""
    folder.setting("x = %(TINY_X)s")
    done = folder.run("proutes", "c2c://production.ini")
    assert done.returncode
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"c2c_meta._ini.IniError: {folder.path}/production.ini:4: [app:main] x: uses %(TINY_X)s")


def test_globals(folder):
    """The application's global configuration holds no environment."""
    process = folder.serve(TINY_PORT="1")
    assert process.get("/globals")[2].keys() == {"here", "__file__"}
    assert json.dumps(process.get("/hello")[2]["settings"]) == "{}"


# The packages that have none of these warnings to say.
SILENT = "c2c_sentry c2c_db c2c_health c2c_debug c2c_page c2c_auth"


@pytest.mark.parametrize("preload", ["", " --preload"])
def test_a_warning_of_the_start_is_one_line_a_service(folder, preload):
    """Workers, and one in the place of a killed one, say it once; a service started anew says it again."""
    tiny = (folder.path / "tiny.py").read_text()
    folder.write(
        "tiny.py", tiny.replace("    broadcast.subscribe(", '    config.include("c2c_meta"); broadcast.subscribe(', 1)
    )
    for _ in range(2):
        given = {"STATS_VEIW": "true", "C2C_SECRET": "short", "TINY_PORT": "0", "C2C_EXCLUDE": SILENT}
        process = folder.serve(params=f"--workers 2{preload}", **given)
        before = process.workers(2)
        os.kill(min(before), signal.SIGKILL)
        process.workers(1, before)
        for told in (
            "Proxy headers are believed from everybody",
            "STATS_VEIW (is it STATS_VIEW?)",
            "C2C_SECRET is shorter",
        ):
            assert process.log.count(told) == 1, process.log
        process.stop()


@pytest.mark.parametrize("server", ["c2c-run", "pserve"])
def test_names_that_nothing_reads(folder, server):
    """A variable and a key that are nearly settings are named with those, in one line of the process that is built."""
    tiny = (folder.path / "tiny.py").read_text()
    folder.write(
        "tiny.py", tiny.replace("    broadcast.subscribe(", '    config.include("c2c_meta"); broadcast.subscribe(', 1)
    )
    folder.setting("c2c.stats_vew = true")
    if server == "c2c-run":
        process = folder.serve(params="--workers 1", STATS_VEIW="true", TINY_PORT="0", C2C_EXCLUDE=SILENT)
    else:
        port = folder.free_port()
        environ = {"TINY_PORT": str(port), "STATS_VEIW": "true", "C2C_EXCLUDE": SILENT}
        process = folder.start("pserve", "c2c://production.ini", port=port, **environ).up()
    told = "Settings that nothing reads: STATS_VEIW (is it STATS_VIEW?); c2c.stats_vew (is it c2c.stats_view?)"
    assert process.log.count(told) == 1, process.log


def test_names_that_nothing_reads_are_checked(folder):
    """So they are by ``c2c-settings``, as errors."""
    folder.setting("c2c.stats_vew = true")
    checked = folder.run("c2c-settings", "production.ini", STATS_VEIW="true", TINY_PORT="0")
    assert checked.returncode == 1
    assert "ERROR nothing reads c2c.stats_vew: is it c2c.stats_view?" in checked.stdout
