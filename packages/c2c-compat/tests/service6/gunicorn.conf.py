"""As services of c2cwsgiutils 6 have it."""

import os

from prometheus_client import multiprocess

from c2cwsgiutils import broadcast, get_config_defaults, get_logconfig_dict, get_paste_config, prometheus

bind = os.environ["RIVERS_BIND"]
worker_class = "gthread"
workers = os.environ.get("GUNICORN_WORKERS", "2")
threads = os.environ.get("GUNICORN_THREADS", "4")
paste = get_paste_config()
wsgi_app = paste
logconfig_dict = get_logconfig_dict(paste)
raw_paste_global_conf = ["=".join(pair) for pair in get_config_defaults().items()]


def on_starting(server):
    """Serve metrics from the master."""
    del server
    prometheus.MULTI_PROCESS_COLLECTOR_BROADCAST_CHANNELS.append("rivers_metrics")
    prometheus.start()


def post_fork(server, worker):
    """Keep nothing of the master's."""
    del server, worker
    prometheus.cleanup()
    broadcast.cleanup()


def child_exit(server, worker):
    """Forget what a worker's own metrics said of its life."""
    del server
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(worker.pid)
