"""Redis by Sentinel: fail-over, credentials, and what is not there."""

import time

import pytest


def _by_sentinel(sentinel, **more):
    return {
        "C2C_REDIS_SENTINELS": ",".join(f"{host}:{port}" for host, port in sentinel.sentinels),
        "C2C_REDIS_SERVICENAME": sentinel.service_name,
        **more,
    }


def everybody(member, count):
    """Tell whether a member reaches so many."""
    found = member("ask", channel="ping", timeout=5)
    return len(found["answers"]) == count and found["complete"]


def test_sentinel_failover(new_redis_sentinel, team, eventually):
    """By Sentinel: the primary is found, and after a failover and after its death the new one is."""
    sentinel = new_redis_sentinel()
    members = team(None, 3, **_by_sentinel(sentinel))
    members[0]("change", name="levels", key="k", value="before")
    sentinel.failover()
    for member in members:
        eventually(lambda member=member: everybody(member, 3), 60)
    members[1]("change", name="levels", key="k", value="after")
    sentinel.kill_primary()
    for member in members:
        eventually(lambda member=member: everybody(member, 3), 60)
        eventually(lambda member=member: member("entries", name="levels")["values"] == {"k": "after"})


@pytest.mark.parametrize("user", [None, "parcels"])
def test_sentinel_with_credentials(new_redis_sentinel, team, user, eventually):
    """The data servers have one password, the Sentinel another, for the default user or for one of an ACL each."""
    passwords = {"password": "0123", "sentinel_password": "watch'er"}
    sentinel = new_redis_sentinel(**passwords)
    login = ""
    if user is not None:
        login = f"username={user},"
        # The default users keep their passwords; these have others.
        passwords = {"password": "data-of-user", "sentinel_password": "watch-of-user"}
        for server in sentinel.servers:
            server.execute("ACL", "SETUSER", user, "on", ">data-of-user", "~*", "&*", "+@all")
        sentinel.sentinel.execute("ACL", "SETUSER", user, "on", ">watch-of-user", "~*", "&*", "+@all")
    environment = _by_sentinel(
        sentinel,
        C2C_REDIS_OPTIONS=f"{login}password={passwords['password']}",
        C2C_REDIS_SENTINEL_OPTIONS=f"{login}password={passwords['sentinel_password']}",
    )
    members = team(None, 2, **environment)
    members[0]("change", name="levels", key="k", value="kept")
    sentinel.failover()
    for member in members:
        eventually(lambda member=member: everybody(member, 2), 60)
    assert members[1]("entries", name="levels")["values"] == {"k": "kept"}


def test_wrong_credentials_at_sentinel(new_redis_sentinel, new_member, eventually):
    """A wrong password of the Sentinel is one warning, without any password; the process answers alone."""
    sentinel = new_redis_sentinel(password="data-secret", sentinel_password="watch-secret")
    environment = _by_sentinel(
        sentinel, C2C_REDIS_OPTIONS="password=data-secret", C2C_REDIS_SENTINEL_OPTIONS="password=no-such-secret"
    )
    member = new_member(None, "start", **environment)
    eventually(lambda: "WARNING" in member.log)
    time.sleep(2.5)  # some more attempts
    assert not member("ask", channel="ping", timeout=30)["complete"]
    assert member.log.count("WARNING") == 1
    for word in ("data-secret", "watch-secret", "no-such-secret"):
        assert word not in member.log


def test_unknown_service_at_sentinel(redis_sentinel, new_member, eventually):
    """A service that the Sentinels do not know is one warning."""
    host, port = redis_sentinel.sentinels[0]
    member = new_member(None, "start", C2C_REDIS_SENTINELS=f"{host}:{port}", C2C_REDIS_SERVICENAME="no-such")
    eventually(lambda: "WARNING" in member.log)
    time.sleep(1.5)  # some more attempts
    assert not member("ask", channel="ping", timeout=30)["complete"]
    assert member.log.count("WARNING") == 1
    assert "no-such" in member.log
