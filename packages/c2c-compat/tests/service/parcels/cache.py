"""What all processes do at once, decorated when it is imported."""

import logging

from c2cwsgiutils import broadcast

LOG = logging.getLogger(__name__)
CACHE = {}


@broadcast.decorator(expect_answers=True, timeout=30)
def reload_cache(name):
    """Forget something, in every process."""
    CACHE.pop(name, None)
    LOG.info("Reloaded %s", name)
    return {"reloaded": name, "level": LOG.getEffectiveLevel()}
