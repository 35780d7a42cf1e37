"""The proxy filter: what the client asked for, as the proxies in front of the service tell it.

    application = client_info.Filter(application)

or in an ini file ``[filter:proxy]`` with ``use = egg:c2c-rest#client_info``.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pyramid.config import global_registries

from c2c_broadcast import load, mask
from c2c_rest._hop import Hop
from c2c_rest._proxy_chain import HEADERS, believed, proxies_of
from c2c_rest._proxy_settings import ProxySettings

_LOG = logging.getLogger(__name__)

_ORIGINAL = "HTTP_ORIGINAL_"
_ORIGINAL_NAMES = {
    "REMOTE_ADDR": f"{_ORIGINAL}REMOTE_ADDR",
    "HTTP_HOST": f"{_ORIGINAL}HOST",
    "SERVER_NAME": f"{_ORIGINAL}SERVER_NAME",
    "SERVER_PORT": f"{_ORIGINAL}SERVER_PORT",
    "wsgi.url_scheme": f"{_ORIGINAL}URL_SCHEME",
    **{key: key.replace("HTTP_", _ORIGINAL, 1) for key in HEADERS},
}
_ORIGINALS = frozenset(_ORIGINAL_NAMES.values())
_HEADERS = frozenset(HEADERS)
# Where the ini file's pipeline has the filter, and c2c-run too: the originals that the first one kept are no client's.
_SEEN = "c2c_rest.client_info"
# Never written into the host: behind a second proxy that ends TLS they contradict the scheme, and are wrong.
_IMPLIED_PORTS = frozenset({"80", "443"})

Environ = dict[str, Any]


class Filter:
    """WSGI filter that puts what proxies tell into the environment.

    Sets ``REMOTE_ADDR``, ``HTTP_HOST``, ``SERVER_NAME``, ``SERVER_PORT`` and ``wsgi.url_scheme`` from ``Forwarded``
    (RFC 7239), else from ``X-Forwarded-For``, ``-Host``, ``-Server``, ``-Proto``, ``-Scheme``, ``-Port``. What was
    there before, those headers too, is kept as ``HTTP_ORIGINAL_...``. A header that does not parse is ignored whole.

    Args:
        application: the WSGI application
        settings: ini settings; without them, those of the Pyramid application that was made last, if any

    Raises:
        ConfigurationError: A setting can't be read.
    """

    def __init__(self, application: Callable[..., Any], settings: Mapping[str, Any] | None = None) -> None:
        if settings is None:
            settings = getattr(global_registries.last, "settings", None) or {}
        self._application = application
        loaded = load(ProxySettings, settings)
        self._is_proxy = None if loaded.trusted_proxies is None else proxies_of(loaded.trusted_proxies)
        self._forced = _forced(loaded)
        self._said: set[str] = set()
        if self._is_proxy is None:
            _LOG.warning(
                "Proxy headers are believed from everybody: name the networks of your proxies in C2C_TRUSTED_PROXIES"
            )

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer by the application, in the corrected environment."""
        if _SEEN not in environ:
            self._correct(environ)
        for key, value in self._forced.items():
            environ[_SEEN] = True
            _set(environ, key, value)
        result: Iterable[bytes] = self._application(environ, start_response)
        return result

    def _correct(self, environ: Environ) -> None:
        if not environ.keys().isdisjoint(_ORIGINALS):
            # A client has sent them, and could tell anything.
            for key in _ORIGINALS:
                environ.pop(key, None)
        if not environ.keys().isdisjoint(_HEADERS):
            if self._is_proxy is None or self._is_proxy(environ.get("REMOTE_ADDR", "")):
                environ[_SEEN] = True
                _apply(environ, believed(environ, self._is_proxy, self._complain))
            else:
                for key in HEADERS:
                    environ.pop(key, None)

    def _complain(self, key: str, why: str) -> None:
        """Say once that a header is not what it should be: whoever sends it may do so with each request."""
        if key not in self._said:
            self._said.add(key)
            name = key.removeprefix("HTTP_").replace("_", "-").title()
            _LOG.warning("A header %s is ignored, it does not parse: %s", name, mask(why[:200]))


def filter_app(application: Callable[..., Any], global_conf: Mapping[str, Any] | None, **local_conf: Any) -> Filter:
    """Make the filter of an ini file (``paste.filter_app_factory``)."""
    last = getattr(global_registries.last, "settings", None) or {}
    return Filter(application, {**last, **(global_conf or {}), **local_conf})


def _forced(settings: ProxySettings) -> dict[str, str]:
    forced = {
        "REMOTE_ADDR": settings.force_remote_addr,
        "HTTP_HOST": settings.force_host,
        "SERVER_NAME": settings.force_server_name,
        "wsgi.url_scheme": settings.force_proto,
    }
    return {key: value for key, value in forced.items() if value is not None}


def _apply(environ: Environ, hop: Hop) -> None:
    for key in HEADERS:
        if key in environ:
            # Moved away: another filter (PasteDeploy's prefix) would apply them once more, its own way.
            environ[_ORIGINAL_NAMES[key]] = environ.pop(key)
    host = hop.host or hop.server or environ.get("HTTP_HOST")
    if hop.port is not None:
        _set(environ, "SERVER_PORT", hop.port)
        if host and hop.port not in _IMPLIED_PORTS and not _has_port(host):
            host = f"{host}:{hop.port}"
    if hop.address is not None:
        _set(environ, "REMOTE_ADDR", hop.address)
    if host is not None and host != environ.get("HTTP_HOST"):
        _set(environ, "HTTP_HOST", host)
    if hop.server is not None:
        _set(environ, "SERVER_NAME", hop.server)
    if hop.proto is not None:
        _set(environ, "wsgi.url_scheme", hop.proto)


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def _set(environ: Environ, key: str, value: str) -> None:
    if key in environ:
        environ.setdefault(_ORIGINAL_NAMES[key], environ[key])
    environ[key] = value
