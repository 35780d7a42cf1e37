"""A daemon: no Pyramid, no gunicorn. ``importer.py`` runs until it is told to stop."""

# First of all, as the documentation said.
import c2cwsgiutils.setup_process

# isort: split
import logging
import sys
import threading

from parcels import cache  # noqa: F401 # takes part in what it decorates

import c2cwsgiutils.debug
from c2cwsgiutils import pyramid_logging, sentry, stats

LOG = logging.getLogger("parcels.importer")


def import_parcels():
    """Fail."""
    raise RuntimeError("the importer failed on purpose")


def main():
    """Import for ever."""
    c2cwsgiutils.debug.init_daemon()
    LOG.info("The importer is up")
    with stats.timer_context(["importer", "run"]):
        LOG.debug("Nothing to import")
    try:
        with sentry.capture_exceptions(), stats.outcome_timer_context(["importer", "import"]):
            import_parcels()
    except RuntimeError as error:
        LOG.warning("%s", error)
    assert issubclass(pyramid_logging.JsonLogHandler, logging.Handler)
    if "--once" not in sys.argv:
        threading.Event().wait()


if __name__ == "__main__":
    main()
