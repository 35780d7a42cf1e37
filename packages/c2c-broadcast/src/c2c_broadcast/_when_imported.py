"""Do something with a library once the application has imported it, and never import it for that."""

import importlib.abc
import importlib.machinery
import logging
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

_LOG = logging.getLogger(__name__)

Then = Callable[[], None]


_WAITING: dict[str, list[Then]] = {}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds nothing itself: it lets others find a module that is waited for, and adds what is to follow its import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _WAITING:
            return None
        for finder in [one for one in sys.meta_path if one is not self]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and hasattr(spec.loader, "exec_module"):
                loader: Any = _Loader(spec.loader)
                spec.loader = loader
                return spec
        return None


class _Loader:
    """Loads as the real loader, which it hands the module over to, and then calls back."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        for then in _WAITING.pop(module.__name__, []):
            _call(then, module.__name__)


def _call(then: Then, module: str) -> None:
    try:
        then()
    except Exception:  # noqa: BLE001 # the service's own import must not fail for what we do after it
        _LOG.exception("What was to follow the import of %s failed; the import itself is good", module)


_FINDER = _Finder()


def when_imported(module: str, then: Then) -> None:
    """Call ``then`` after ``module`` is imported: now where it is already. What it raises is logged, not raised."""
    if module in sys.modules:
        _call(then, module)
        return
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    callbacks = _WAITING.setdefault(module, [])
    if then not in callbacks:
        callbacks.append(then)
