"""linesman as the engine of the Python profiler: its pages, and its recordings in our bounded file, not in pickles."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from cProfile import Profile
from datetime import datetime
from pathlib import Path
from typing import Any

from c2c_debug._linesman_sessions import LinesmanSessions
from c2c_debug._profiler_folder import Folder
from c2c_debug._profiler_sessions import Session

_MOST_PICTURES = 100


class Engine:
    """linesman in one application: its pages, its recordings."""

    name = "linesman"

    def __init__(self, middleware: Any, app: Any, path: str, modules: tuple[str, ...], folder: Folder) -> None:
        self._graphs = folder.path / "graphs"
        # These are of the module: there is one folder of a service in a process.
        middleware.GRAPH_DIR = str(self._graphs)
        middleware.ENABLED_FLAG_FILE = folder.flag
        self.sessions = LinesmanSessions(folder.path / "linesman.sqlite", middleware.nx.DiGraph)
        self.pages = middleware.ProfilingMiddleware(
            app,
            profiler_path=path,
            backend=f"{__name__}:_existing",
            chart_packages=" ".join(modules),
            existing=self.sessions,
        )
        # Its templates show paths of requests: escaped, here.
        self.pages.template_lookup = middleware.TemplateLookup(
            directories=[middleware.TEMPLATES_DIR], default_filters=["str", "h"]
        )
        self._session = middleware.ProfilingSession
        self._one = threading.Lock()

    def recording(self, environ: Mapping[str, Any]) -> "Recording":
        """Return what records one request."""
        return Recording(self._one, lambda stats, session: self._keep(stats, environ, session))

    def _keep(self, stats: Any, environ: Mapping[str, Any], session: Session) -> None:
        began = datetime.fromtimestamp(session.begun)  # noqa: DTZ006 # linesman's pages show local time
        found = self._session(stats, environ, began)
        found.path = f"{session.method} {session.path}"
        self.sessions.add(found)

    def forget_pictures(self) -> None:
        """Keep only the newest pictures of graphs."""
        pictures = sorted(self._graphs.glob("*.png"), key=_age)
        for old in pictures[_MOST_PICTURES:]:
            old.unlink(missing_ok=True)


def _age(path: Path) -> float:
    with suppress(OSError):
        return -path.stat().st_mtime
    return 0.0


def _existing(existing: LinesmanSessions) -> LinesmanSessions:
    """Be the class that linesman makes its backend of."""
    return existing


class Recording:
    """One request in cProfile: one at a time, because from Python 3.12 on it sees all threads of the process."""

    whole_body = False

    def __init__(self, one: threading.Lock, keep: Callable[[Any, Session], None]) -> None:
        self._one = one
        self._keep = keep
        self._profile = Profile()

    def start(self) -> bool:
        """Begin; tell whether it is this request's turn."""
        if not self._one.acquire(blocking=False):
            return False
        try:
            self._profile.enable()
        except ValueError:  # another tool profiles already
            self._one.release()
            return False
        return True

    def stop(self) -> None:
        """End."""
        self._profile.disable()
        self._one.release()

    def keep(self, session: Session) -> None:
        """Keep what was recorded."""
        self._keep(self._profile.getstats(), session)
