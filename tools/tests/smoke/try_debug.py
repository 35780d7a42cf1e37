"""Try c2c-debug."""

import sys
from typing import Any

from call import SECRET, add_view, configure, get

from c2c_debug.profiler import filter_wsgi_app


def alone() -> None:
    """Look at the stacks, as an operator."""
    app = configure("c2c_debug", c2c__debug_view_enabled="true").make_wsgi_app()
    assert get(app, "/c2c/debug/stacks").status == 403
    answer = get(app, "/c2c/debug/stacks", operator=True)
    assert "try_debug.py" in answer.text, answer
    assert get(app, "/c2c/debug/memory_maps", operator=True).status == 200


def sql() -> None:
    """Look whether the SQL profiler is on."""
    app = configure("c2c_debug", c2c__sql_profiler_enabled="true").make_wsgi_app()
    answer = get(app, "/c2c/sql_profiler", operator=True)
    assert answer.json == {"status": 200, "enabled": False}, answer


def _profiled() -> Any:
    config = configure("c2c_debug")
    add_view(config, lambda _: 42)
    app = filter_wsgi_app(config.make_wsgi_app(), {"c2c.profiler_path": "/profiler", "c2c.secret": SECRET})
    assert get(app, "/try").json == 42
    answer = get(app, "/profiler", operator=True)
    assert answer.status == 200, answer
    return answer


def profiler() -> None:
    """Look at the page of the Python profiler."""
    _profiled()
    assert "pyinstrument" in sys.modules


def linesman() -> None:
    """Look at the page of linesman."""
    _profiled()
    assert "linesman.middleware" in sys.modules
