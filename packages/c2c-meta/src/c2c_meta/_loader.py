"""The plaster loader of ``c2c://production.ini``: PasteDeploy's ini format, with the environment as ``%(NAME)s``."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import plaster_pastedeploy
from paste.deploy import loadwsgi

from c2c_meta._ini import Ini, escape, setup_logging

_OURS = {
    "egg:c2cwsgiutils#client_info": "egg:c2c-rest#client_info",
    "egg:c2cwsgiutils#profiler": "egg:c2c-debug#profiler",
    "egg:c2cwsgiutils#sentry": "egg:c2c-sentry#sentry",
}


class Loader(plaster_pastedeploy.Loader):
    """Load applications, servers, filters, settings and logging from an ini file or a distribution.

    ``c2c://production.ini``, ``c2c:///app/production.ini#main``, ``c2c+ini://production.ini``,
    ``c2c+egg:Distribution#main``. All that is read of an ini file may use environment variables as ``%(NAME)s``; they
    are no settings by themselves. A missing or broken file and a name that is not defined raise ``IniError``: one line
    with file, line, section and key.
    """

    def get_wsgi_app(self, name: str | None = None, defaults: Mapping[str, str] | None = None) -> Any:
        """Return the WSGI application of ``[app:name]``, ``[pipeline:name]`` or ``[composite:name]``."""
        return self._context(loadwsgi.APP, name, defaults).create()

    def get_wsgi_server(self, name: str | None = None, defaults: Mapping[str, str] | None = None) -> Any:
        """Return the server of ``[server:name]``: a callable that takes the application."""
        return self._context(loadwsgi.SERVER, name, defaults).create()

    def get_wsgi_filter(self, name: str | None = None, defaults: Mapping[str, str] | None = None) -> Any:
        """Return the filter of ``[filter:name]``: a callable that takes an application and returns one."""
        return self._context(loadwsgi.FILTER, name, defaults).create()

    def get_wsgi_app_settings(
        self, name: str | None = None, defaults: Mapping[str, str] | None = None
    ) -> plaster_pastedeploy.ConfigDict:
        """Return the settings of an application, without loading it."""
        conf = self._context(loadwsgi.APP, name, defaults).config()
        return plaster_pastedeploy.ConfigDict(conf.local_conf, conf.global_conf, self)

    def setup_logging(self, defaults: Mapping[str, str] | None = None) -> None:
        """Configure logging from the file, ``logging.basicConfig()`` where it says nothing about it."""
        if self.filepath is None:
            logging.basicConfig()
        else:
            setup_logging(self.filepath, {**self.uri.options, **(defaults or {})})

    def _context(self, kind: Any, name: str | None, defaults: Mapping[str, str] | None) -> Any:
        name = self._maybe_get_default_name(name)
        if self.filepath is None:
            values = self._get_defaults(defaults)
            return loadwsgi.loadcontext(kind, self.pastedeploy_spec, name=name, global_conf=values)
        values = {**self.uri.options, **(defaults or {})}
        return _Paste(self._parsed(values, overwrite=False)).get_context(kind, name, values)

    def _get_parser(self, defaults: Mapping[str, str] | None = None) -> Ini:
        return self._parsed({**self.uri.options, **(defaults or {})}, overwrite=True)

    def _parsed(self, values: Mapping[str, str], *, overwrite: bool) -> Ini:
        ini = Ini(self.filepath, os.environ)
        ini.add_defaults(values, overwrite=overwrite)
        return ini


class _Paste(loadwsgi.ConfigLoader):
    """PasteDeploy's own reading of sections, over our reading of the file."""

    def __init__(self, ini: Ini) -> None:
        # The base class would read the file its own way: what it sets, and no more.
        self.filename = str(ini.path)
        self.parser = ini

    def get_context(self, object_type: Any, name: str | None = None, global_conf: Any = None) -> Any:
        """Return what ``name`` means: a section of this file, ``egg:``, ``call:``, or ``config:`` for another file."""
        name = _OURS.get(name or "", name)
        if name and name.startswith("config:"):
            path, _, section = name.removeprefix("config:").partition("#")
            other = Ini(Path(self.filename).parent / unquote(path), os.environ)
            other.add_defaults({key: escape(value) for key, value in global_conf.items()}, overwrite=False)
            return _Paste(other).get_context(object_type, section or None, global_conf)
        return super().get_context(object_type, name, global_conf)
