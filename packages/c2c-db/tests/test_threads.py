"""Many threads at a tiny switch interval: nobody ever sees another side's engine, or another's session."""

import os
import sys
import threading

from pyramid.config import Configurator
from pyramid.request import Request

from c2c_db import setup_session, use_primary, use_replica
from c2c_db._scope import Scope, working

_THREADS = 64
_SESSIONS = int(os.environ.get("SESSIONS", "100"))  # 10^5 by hand


def test_engines_under_threads(tmp_path):
    """64 threads that begin GETs, POSTs and blocks by hand at a switch interval of 1 us see the right engine."""
    settings = {
        "sqlalchemy.url": f"sqlite:///{tmp_path}/primary",
        "sqlalchemy_slave.url": f"sqlite:///{tmp_path}/replica",
    }
    config = Configurator(settings=settings)
    session, primary, replica = setup_session(config, "sqlalchemy", "sqlalchemy_slave")
    wrong: list[object] = []
    done: list[int] = []

    def work(number):
        for turn in range(_SESSIONS):
            method = ("GET", "POST")[(number + turn) % 2]
            scope = Scope(Request.blank("/x", method=method))
            with working(scope):
                expected = (replica, primary)[(number + turn) % 2]
                own = session()
                if own.get_bind() is not expected or session.get_bind() is not expected or session() is not own:
                    wrong.append((method, own))
                with use_primary():
                    if session.get_bind() is not primary:
                        wrong.append("use_primary")
                with use_replica():
                    if session.get_bind() is not replica:
                        wrong.append("use_replica")
                scope.close()
            if session.get_bind() is not primary:
                wrong.append("outside")
        done.append(number)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(done) == _THREADS
