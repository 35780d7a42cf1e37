"""The PostgreSQL primary with its streaming replica."""

import time

import psycopg2
import pytest


@pytest.fixture
def pair(postgres_pair):
    """Give the pair whole, with an empty table t, and mend it after the test."""
    postgres_pair.primary.execute("CREATE TABLE t (a int)")
    postgres_pair.wait_caught_up()
    yield postgres_pair
    postgres_pair.restore()
    postgres_pair.primary.execute("DROP TABLE t")
    postgres_pair.wait_caught_up()


def count(server):
    """Return how many rows t has there."""
    return server.execute("SELECT count(*) FROM t")[0][0]


def test_replica_follows_and_refuses_writes(pair):
    """What is committed on the primary is seen on the replica, which is read only."""
    pair.primary.execute("INSERT INTO t VALUES (1)")
    pair.wait_caught_up()
    assert count(pair.replica) == 1
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        pair.replica.execute("INSERT INTO t VALUES (2)")
    assert pair.primary.execute("SELECT application_name, state FROM pg_stat_replication") == [("replica", "streaming")]


def test_paused_replay_shows_the_old_state(pair):
    """While the replay is paused, the replica answers from the past; this is how routing is proven."""
    with pair.replay_paused():
        pair.primary.execute("INSERT INTO t VALUES (1)")
        assert count(pair.primary) == 1
        assert count(pair.replica) == 0
    pair.wait_caught_up()
    assert count(pair.replica) == 1


def test_wait_caught_up_tells_when_it_does_not(pair):
    """It raises after its time-out instead of hanging."""
    with pair.replay_paused():
        pair.primary.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(TimeoutError, match="caught_up still returned False"):
            pair.wait_caught_up(timeout=0.3)


def test_lag_delays_the_replica(pair):
    """A commit is applied so many seconds late, and at once when the lag ends."""
    pair.set_lag(60)
    pair.primary.execute("INSERT INTO t VALUES (1)")
    time.sleep(0.5)
    assert count(pair.replica) == 0
    pair.set_lag(0)
    pair.wait_caught_up()
    assert count(pair.replica) == 1


def test_killed_replica_catches_up(pair):
    """The primary works without its replica, which finds all that it missed."""
    pair.kill_replica()
    with pytest.raises(psycopg2.OperationalError):
        pair.replica.connect()
    pair.primary.execute("INSERT INTO t SELECT generate_series(1, 1000)")
    pair.start_replica()
    pair.wait_caught_up()
    assert count(pair.replica) == 1000


def test_replica_outlives_its_primary(pair):
    """The replica answers while the primary is down, and follows again when it is back."""
    with pair.primary.down():
        assert count(pair.replica) == 0
    pair.primary.execute("INSERT INTO t VALUES (1)")
    pair.wait_caught_up()
    assert count(pair.replica) == 1


def test_promoted_replica_takes_writes_and_is_restored(pair):
    """After promote there are two independent servers; restore makes a pair of them again, on the same ports."""
    url = pair.replica.url
    with pair.primary.down():
        pair.promote()
        pair.replica.execute("INSERT INTO t VALUES (1)")
    assert (count(pair.primary), count(pair.replica)) == (0, 1)
    pair.restore()
    assert pair.replica.url == url
    assert count(pair.replica) == 0
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        pair.replica.execute("INSERT INTO t VALUES (2)")


def test_restore_mends_everything_at_once(pair):
    """Whatever a failed test left: stopped processes, a paused replay, a lag, a dead primary."""
    pair.set_lag(60)
    pair.pause_replay()
    pair.replica.pause()
    pair.primary.kill()
    pair.restore()
    pair.primary.execute("INSERT INTO t VALUES (1)")
    pair.wait_caught_up()
    assert count(pair.replica) == 1


def test_takes_options_for_both_sides(new_postgres_pair):
    """Settings are for both, odd passwords go through to the replication."""
    pair = new_postgres_pair(password="it's \\ odd", settings={"work_mem": "5MB"})
    assert pair.primary.execute("SHOW work_mem") == [("5MB",)]
    assert pair.replica.execute("SHOW work_mem") == [("5MB",)]
