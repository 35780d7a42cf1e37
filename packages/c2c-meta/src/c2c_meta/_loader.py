"""The plaster loader of ``c2c://production.ini``: PasteDeploy's ini format, with the environment as ``%(NAME)s``."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import plaster_pastedeploy
from paste.deploy import loadwsgi

from c2c_meta._ini import Ini, setup_logging

_SCHEME = "environ"
"""What PasteDeploy calls these files: ``config:`` would be its own reading of them."""


class Loader(plaster_pastedeploy.Loader):
    """Load applications, servers, filters, settings and logging from an ini file or a distribution.

    ``c2c://production.ini``, ``c2c:///app/production.ini#main``, ``c2c+ini://production.ini``,
    ``c2c+egg:Distribution#main``. All that is read of an ini file may use environment variables as ``%(NAME)s``; they
    are no settings by themselves. A missing or broken file and a name that is not defined raise ``IniError``: one line
    with file, line, section and key.
    """

    def __init__(self, uri: Any) -> None:
        super().__init__(uri)
        if self.filepath is not None:
            loadwsgi._loaders.setdefault(_SCHEME, _load)  # noqa: SLF001 # its table of schemes has no other door
            self.pastedeploy_spec = f"{_SCHEME}:{quote(self.filepath)}"

    def setup_logging(self, defaults: Mapping[str, str] | None = None) -> None:
        """Configure logging from the file, ``logging.basicConfig()`` where it says nothing about it."""
        if self.filepath is None:
            logging.basicConfig()
        else:
            setup_logging(self.filepath, {**self.uri.options, **(defaults or {})})

    def _get_parser(self, defaults: Mapping[str, str] | None = None) -> Ini:
        return Ini(self.filepath, os.environ, {**self.uri.options, **(defaults or {})})


class _Paste(loadwsgi.ConfigLoader):
    """PasteDeploy's own reading of sections, over our reading of the file."""

    def __init__(self, path: Path, values: Mapping[str, str]) -> None:
        # The base class would read the file its own way: what it sets, and no more.
        self.filename = str(path)
        self.parser = Ini(path, os.environ, values)

    def get_context(self, object_type: Any, name: str | None = None, global_conf: Any = None) -> Any:
        """Return what ``name`` means: a section of this file, ``egg:``, ``call:``, or ``config:`` for another file."""
        if name and name.startswith("config:"):
            name = name.replace("config:", f"{_SCHEME}:", 1)
        return super().get_context(object_type, name, global_conf)


def _load(kind: Any, _uri: str, path: str, name: str, relative_to: str | None, global_conf: Any) -> Any:
    return _Paste(Path(relative_to or "", unquote(path)), global_conf or {}).get_context(kind, name, global_conf)
