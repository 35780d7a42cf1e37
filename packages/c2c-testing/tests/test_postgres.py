"""The single PostgreSQL server."""

import contextlib
import socket

import psycopg2
import pytest

from c2c_testing import servers


def test_is_reached_by_its_url(postgres):
    """The URL has all that a client needs, and its database is there."""
    with contextlib.closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database(), current_user, inet_server_port()")
        assert cursor.fetchone() == ("test", "tester", postgres.port)


def test_wants_the_password(postgres):
    """A wrong password is refused, so that what depends on a right one is really tested."""
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(postgres.url.replace(postgres.password, "wrong"))
    assert postgres.execute("SELECT rolpassword LIKE 'SCRAM-SHA-256$1:%' FROM pg_authid WHERE rolcanlogin") == [(True,)]


def test_listens_on_the_loopback_only(postgres):
    """Nothing of a test run is open to the network."""
    assert postgres.execute("SHOW listen_addresses") == [("127.0.0.1",)]
    assert postgres.execute("SHOW unix_socket_directories") == [("",)]


def test_creates_and_drops_databases(postgres):
    """Two tests may each have a database, whatever its name, and drop it while it is in use."""
    url = postgres.create_database('od"d näme')
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        assert cursor.fetchone() == ('od"d näme',)
        postgres.drop_database('od"d näme')
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(url)


def test_keeps_committed_data_when_killed(postgres):
    """SIGKILL loses no commit, and the port and the URL stay."""
    postgres.execute("CREATE TABLE kept AS SELECT 1 AS a")
    url, before = postgres.url, postgres.pids()
    with postgres.down():
        assert not postgres.running
        assert postgres.pids() == []
        with pytest.raises(psycopg2.OperationalError, match="refused"):
            postgres.connect()
    assert postgres.url == url
    assert not set(before) & set(postgres.pids())
    assert postgres.execute("SELECT a FROM kept") == [(1,)]
    postgres.execute("DROP TABLE kept")


def test_kill_takes_backends_along(postgres):
    """A backend busy in a statement goes too: it is not a member of the postmaster's process group."""
    with contextlib.closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
        assert backend in postgres.pids()
        postgres.kill()
        assert not _alive(backend)
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("SELECT 1")
    postgres.start()


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - shortest
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_paused_server_is_silent_and_comes_back(postgres):
    """Paused, it accepts connections (the kernel does) but answers nothing; resumed, it goes on as before."""
    with contextlib.closing(postgres.connect()) as connection, connection.cursor() as cursor:
        with postgres.paused():
            assert postgres.running
            with socket.create_connection((postgres.host, postgres.port), 5) as client:
                client.settimeout(0.3)
                client.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")  # SSLRequest
                with pytest.raises(TimeoutError):
                    client.recv(1)
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def test_restarts_in_order(postgres):
    """Restart is a shutdown, not a crash: the log says so, and it holds all starts."""
    postgres.restart()
    log = postgres.log_text()
    assert "received fast shutdown request" in log
    assert log.count("ready to accept connections") >= 2
    before = log.count("ready to accept connections")
    postgres.start()
    assert postgres.log_text().count("ready to accept connections") == before, "started what runs"


def test_logs_the_application_name(postgres):
    """Who ran a statement can be read in the log."""
    with (
        contextlib.closing(postgres.connect(application_name="some app")) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.Error),
    ):
        cursor.execute("SELECT no_such_column")
    assert 'tester@test some app ERROR:  column "no_such_column"' in postgres.log_text()


def test_changes_settings_at_run_time(postgres):
    """A reload changes what a reload can change, and None goes back."""
    postgres.set(log_min_duration_statement="250ms")
    assert postgres.execute("SHOW log_min_duration_statement") == [("250ms",)]
    postgres.set(log_min_duration_statement=None)
    assert postgres.execute("SHOW log_min_duration_statement") == [("-1",)]


def test_takes_options(postgres, new_postgres):
    """Login, database and settings are the caller's, special characters included; a second server is its own."""
    server = new_postgres(
        user="a@b", password="p:/@%' \\#", database="dé mo", settings={"max_connections": 17, "search_path": "it's"}
    )
    with contextlib.closing(psycopg2.connect(server.url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_user, current_database(), current_setting('max_connections')")
        assert cursor.fetchone() == ("a@b", "dé mo", "17")
    assert "p:/@" not in repr(server)


def test_a_bad_setting_says_what_is_wrong():
    """The error has the server's own words."""
    with pytest.raises(servers.ServerError, match="shared_buffers"), servers.postgres(settings={"shared_buffers": "x"}):
        pass


def test_a_busy_port_is_named():
    """A port that was asked for is not replaced by another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(servers.PortBusyError, match=f"Port {port} "), servers.postgres(port=port):
            pass
