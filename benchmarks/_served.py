"""What gunicorn serves in the benchmarks: an application of ``benchmarks.request``, named by the environment."""

import os
from typing import Any

from benchmarks import request

CONTENDER = "C2C_BENCHMARK"
STATSD_PORT = "C2C_BENCHMARK_STATSD"


def factory(_global_config: Any = None, **_settings: Any) -> Any:
    """Return the application; the signature is PasteDeploy's."""
    return request.make(os.environ[CONTENDER], int(os.environ.get(STATSD_PORT, "0")))
