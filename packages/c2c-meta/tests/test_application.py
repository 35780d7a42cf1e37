"""The application and what it is wrapped in."""

import pytest

from c2c_meta.wsgi import _WRAPPERS


def test_order():
    """Proxy headers are read first, then Sentry begins, then the profiler."""
    assert list(reversed(_WRAPPERS)) == ["c2c_rest", "c2c_sentry", "c2c_debug"]


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


@pytest.mark.parametrize(("exclude", "host"), [("", "service.example"), ("c2c_rest c2c_db c2c_page", "127.0.0.1")])
def test_proxy_headers(folder, exclude, host):
    """The served application is wrapped: it sees what a proxy's headers mean, unless c2c_rest is excluded."""
    process = folder.serve(params="--worker-class gthread --workers 1", C2C_EXCLUDE=exclude)
    assert process.get("/host", {"X-Forwarded-Host": "service.example"})[2] == host


def test_create_application(folder):
    """The bare application of a file: none of the filters is round it."""
    code = (
        "import c2c_meta.wsgi as w\n"
        "for given in (['c2c://production.ini'], []):\n"
        "    print(type(w.create_application(*given)).__name__)"
    )
    out = folder.python(code, C2CWSGIUTILS_CONFIG="production.ini")
    assert [line for line in out.splitlines() if "|" not in line] == ["Router", "Router"]


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
