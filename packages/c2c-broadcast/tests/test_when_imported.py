"""What follows the import of a library, whoever imports it and when."""

import importlib
import importlib.util
import sys
import uuid

import pytest

from c2c_broadcast import when_imported


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A function that makes a library with this code, and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    made = []

    def make(code=""):
        name = f"library_{uuid.uuid4().hex}"
        (tmp_path / f"{name}.py").write_text(code)
        importlib.invalidate_caches()
        made.append(name)
        return name

    yield make
    for name in made:
        sys.modules.pop(name, None)


def test_it_follows_the_import_once(library):
    """Not before the library is there, and not again."""
    name = library("ready = True")
    seen = []

    def then():
        seen.append(sys.modules[name].ready)

    when_imported(name, then)
    when_imported(name, then)
    assert name not in sys.modules
    assert seen == []
    importlib.import_module(name)
    assert seen == [True]
    importlib.import_module(name)
    assert seen == [True]


def test_a_library_that_is_there_already(library):
    """Then it is now, each time."""
    name = library()
    importlib.import_module(name)
    seen = []
    when_imported(name, lambda: seen.append(1))
    assert seen == [1]


def test_looking_for_it_is_no_import(library):
    """``find_spec`` tells whether it is installed, and what waits goes on waiting."""
    name = library()
    seen = []
    when_imported(name, lambda: seen.append(1))
    assert importlib.util.find_spec(name) is not None
    assert seen == []
    module = importlib.import_module(name)
    assert seen == [1]
    assert type(module.__loader__).__module__.startswith(("importlib", "_frozen_importlib"))
    assert module.__spec__.loader is module.__loader__
    importlib.reload(module)
    assert seen == [1]


def test_an_import_that_fails_may_be_tried_again(library):
    """The error is the library's own; what waits waits for the import that works."""
    name = library("import sys\nif not hasattr(sys, 'c2c_ready'): raise RuntimeError('not yet')")
    seen = []
    when_imported(name, lambda: seen.append(1))
    with pytest.raises(RuntimeError, match="not yet"):
        importlib.import_module(name)
    assert seen == []
    sys.c2c_ready = True
    try:
        importlib.import_module(name)
    finally:
        del sys.c2c_ready
    assert seen == [1]


def test_a_library_that_is_not_installed():
    """Its import fails as it would."""
    name = f"library_{uuid.uuid4().hex}"
    when_imported(name, lambda: None)
    with pytest.raises(ModuleNotFoundError, match=name):
        importlib.import_module(name)


def test_an_error_is_not_the_imports(caplog, monkeypatch):
    """What fails after the import is logged once; the service's import works, and the others still run."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    ran = []
    when_imported("colorsys", lambda: 1 / 0)
    when_imported("colorsys", lambda: ran.append(1))
    importlib.import_module("colorsys")
    when_imported("colorsys", lambda: 1 / 0)
    assert ran == [1]
    assert [record.levelname for record in caplog.records if "colorsys" in record.getMessage()] == ["ERROR"] * 2
