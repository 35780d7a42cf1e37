"""``python daemon.py PORT``: a process of the service without its application, that serves its own metrics."""

import logging
import os
import sys
import time

import sqlalchemy as sa
from prometheus_client import start_http_server

from c2cwsgiutils import broadcast, debug, redis_utils, setup_process
from c2cwsgiutils.db import get_engine

setup_process.init("c2c://production.ini")
debug.init_daemon()


@broadcast.decorator(channel="daemons", expect_answers=True)
def whoami():
    """Tell which process this is."""
    return os.getpid()


start_http_server(int(sys.argv[1]))
with get_engine({"sqlalchemy.url": os.environ["RIVERS_DB"]}).connect() as connection:
    connection.execute(sa.text("SELECT value FROM hello"))
redis_utils.get()[0].get("no such key")
logging.getLogger("rivers").info("The daemon is up")
while True:
    time.sleep(1)
