"""The application and what it is wrapped in."""

from wsgiref.validate import validator

import pytest
from webtest import TestApp

from c2c_meta._application import WRAPPERS, Wrapper, wrap


def hello(environ, start_response):
    """A WSGI application."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("REMOTE_ADDR", "").encode()]


@pytest.fixture
def filters(tmp_path, monkeypatch):
    """A module with a filter."""
    (tmp_path / "strict.py").write_text(
        "from wsgiref.validate import validator\n"
        "def strict(application, settings):\n    return validator(application) if settings['strict'] else 1 / 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_wrap(filters):
    """A filter that is there is put round the application, and gets the settings."""
    wrapped = wrap(hello, {"strict": True}, [Wrapper("strict", "strict", "strict")])
    assert wrapped.__qualname__ == validator(hello).__qualname__
    assert TestApp(wrapped).get("/").status_int == 200


@pytest.mark.parametrize(
    "wrapper",
    [
        Wrapper("wsgiref", "wsgiref.validate", "nothing"),
        Wrapper("wsgiref", "wsgiref.nowhere", "x"),
        Wrapper("nowhere", "nowhere.at.all", "x"),
    ],
)
def test_wrap_absent(wrapper):
    """A package, module or function that is not there leaves the application as it is."""
    assert wrap(hello, {}, [wrapper]) is hello


def test_wrap_excluded():
    """An excluded package's filter is left out."""
    assert wrap(hello, {}, [Wrapper("wsgiref", "wsgiref.validate", "validator")], exclude=["wsgiref"]) is hello


def test_wrap_broken(tmp_path, monkeypatch):
    """A filter's module that lacks something else is a broken installation: it is said."""
    (tmp_path / "lacking.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere_at_all"):
        wrap(hello, {}, [Wrapper("lacking", "lacking", "x")])


def test_order():
    """Proxy headers are read first, then Sentry begins, then the profiler."""
    assert [wrapper.package for wrapper in reversed(WRAPPERS)] == ["c2c_rest", "c2c_sentry", "c2c_debug"]


BUILD = """
import threading, sys
import c2c_meta.wsgi
assert "tiny" not in sys.modules and "pyramid" not in sys.modules
found = []
threads = [threading.Thread(target=lambda: found.append(c2c_meta.wsgi.application)) for _ in range(4)]
# As uWSGI looks for it: a name that __getattr__ gives is none.
threads.append(threading.Thread(target=lambda: found.append(vars(c2c_meta.wsgi)["get_application"]())))
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len({id(one) for one in found}), len(found))
"""


def test_built_when_read_and_once(folder):
    """Importing c2c_meta.wsgi does nothing; threads that read the application at once get the same one."""
    out = folder.python(BUILD, C2CWSGIUTILS_CONFIG="production.ini")
    lines = [line.rpartition("|")[2] for line in out.splitlines()]
    assert [line for line in lines if line.startswith("tiny")] == ["tiny is imported", "tiny is built"]
    assert lines[-1] == "1 5"


def test_no_such_attribute(folder):
    """Other names are no attributes."""
    assert folder.python("import c2c_meta.wsgi; print(hasattr(c2c_meta.wsgi, 'x'))") == "False\n"


def test_attribute_error(folder):
    """A service that fails with an AttributeError does not look like a misspelt name."""
    folder.write("broken.py", "def main(global_config, **settings):\n    global_config.nothing\n")
    folder.write("production.ini", "[app:main]\nuse = call:broken:main\n")
    done = folder.run("python", "-c", "import c2c_meta.wsgi as w; w.application", C2CWSGIUTILS_CONFIG="production.ini")
    last = done.stderr.strip().splitlines()[-1]
    assert (
        last == "RuntimeError: The application can't be built: AttributeError: 'dict' object has no attribute 'nothing'"
    )


def test_waitress(folder):
    """Another server serves it, logging set up from the ini file."""
    port = folder.free_port()
    arguments = [f"--listen=127.0.0.1:{port}", "c2c_meta.wsgi:application"]
    process = folder.start("waitress-serve", *arguments, port=port, C2CWSGIUTILS_CONFIG="production.ini").up()
    assert "|WARNING|tiny|tiny is built" in process.log


def test_pipeline(folder):
    """A pipeline is served with its filters."""
    folder.write(
        "production.ini",
        "[pipeline:main]\npipeline = marked tiny\n[filter:marked]\npaste.filter_app_factory = tiny:Marked\n"
        "mark = %(TINY_MARK)s\n[app:tiny]\nuse = call:tiny:main\n",
    )
    assert folder.serve(TINY_MARK="a%b").get("/hello")[1]["X-Marked"] == "a%b"


@pytest.mark.parametrize(("exclude", "host"), [("", "service.example"), ("c2c_rest", "127.0.0.1")])
def test_proxy_headers(folder, exclude, host):
    """The served application is wrapped: it sees what a proxy's headers mean, unless c2c_rest is excluded."""
    process = folder.serve(params="--worker-class gthread --workers 1", C2C_EXCLUDE=exclude)
    assert process.get("/host", {"X-Forwarded-Host": "service.example"})[2] == host


def test_create_application(folder):
    """The bare application of a file: none of the filters is round it."""
    code = "import c2c_meta.wsgi as w; print(type(w.create_application('c2c://production.ini')).__name__)"
    assert folder.python(code).splitlines()[-1] == "Router"
    assert folder.python(code.replace("'c2c://production.ini'", ""), C2CWSGIUTILS_CONFIG="production.ini").endswith(
        "Router\n"
    )


PLAIN = """
def main(global_config, **settings):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [('"%s"' % environ["wsgi.url_scheme"]).encode()]
    return application
"""


def test_settings_without_pyramid(folder):
    """An application that is none of Pyramid's has the settings of its section, for what is wrapped round it."""
    folder.write("plain.py", PLAIN)
    folder.write("production.ini", "[app:main]\nuse = call:plain:main\nc2c.force_proto = %(TINY_PROTO)s\n")
    code = "import c2c_meta.wsgi, webtest\nprint(webtest.TestApp(c2c_meta.wsgi.application).get('/').json)\n"
    assert folder.python(code, C2CWSGIUTILS_CONFIG="production.ini", TINY_PROTO="https").splitlines()[-1] == "https"
