"""Nothing is left behind, however the test run ends."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from c2c_testing import servers
from c2c_testing.servers import _server

# Prints the folders and processes of every server, then does what the test wants.
PROGRAM = """
import os, signal, sys, time
from c2c_testing.servers import postgres, redis_server
with postgres() as pg, redis_server() as redis:
    connection = pg.connect()
    print(pg.folder, redis.folder, *pg.pids(), *redis.pids(), flush=True)
    sys.stdin.readline()
    {then}
"""


def gone(words):
    """Tell whether no such folder or process is left."""
    return not any(Path(word if "/" in word else f"/proc/{word}").exists() for word in words)


def wait_gone(words):
    """Wait for it: the watchdog acts by itself."""
    deadline = time.monotonic() + 60
    while not gone(words) and time.monotonic() < deadline:
        time.sleep(0.05)
    return gone(words)


def started(process):
    """Return the words of the program's first line."""
    words = process.stdout.readline().split()
    assert len(words) > 5
    assert not any(gone([word]) for word in words)
    process.stdin.write("\n")
    process.stdin.flush()
    return words


# The same with Redis only, which starts in no time.
LIGHT_PROGRAM = """
import os, signal, sys, time
from c2c_testing.servers import redis_server
with redis_server() as one, redis_server() as two, redis_server() as three:
    print(*(word for redis in (one, two, three) for word in (redis.folder, *redis.pids())), flush=True)
    sys.stdin.readline()
    {then}
"""


def run(program):
    """Run it until it ends, and return the words that it printed and what it printed after them."""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        words = started(process)
        assert process.wait(60) != 0
        assert wait_gone(words)
        return words, process.stdout.readline() if "fork" in program else ""


def shared_memory(words):
    """Return those of the processes, which are gone, whose System V shared memory is left."""
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return {row.split()[4] for row in rows} & set(words)


@pytest.mark.parametrize(
    "then",
    [
        "pg.pause(); redis.pause(); os.kill(os.getpid(), signal.SIGKILL)",
        "os.kill(pg.pids()[0], signal.SIGKILL); os.kill(os.getpid(), signal.SIGKILL)",
    ],
    ids=["paused", "postmaster-first"],
)
def test_everything_goes_with_a_killed_test_run(then):
    """Processes, folders and shared memory go, with an open connection, in whatever state the servers are."""
    words, _ = run(PROGRAM.format(then=then))
    assert not shared_memory(words)


@pytest.mark.parametrize("then", ["os.kill(os.getpid(), signal.SIGTERM)", "os._exit(3)", "sys.exit('an error')"])
def test_everything_goes_however_the_test_run_ends(then):
    """With and without clean-up of its own."""
    run(LIGHT_PROGRAM.format(then=then))


def test_a_forked_process_does_not_keep_the_servers():
    """A forked process holds the watchdog's pipe open and lives on; the servers go all the same."""
    then = "os.fork() or (print(os.getpid(), flush=True), signal.pause()); os.kill(os.getpid(), signal.SIGKILL)"
    _, pid = run(LIGHT_PROGRAM.format(then=then))
    os.kill(int(pid), signal.SIGKILL)


def test_ctrl_c_leaves_the_servers_to_the_teardown():
    """SIGINT to the whole process group, as Ctrl-C sends it: the servers still answer in the program's ``finally``."""
    then = """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        print("waiting", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        print(one.execute("PING"), three.execute("PING"), flush=True)
    """
    with subprocess.Popen(
        [sys.executable, "-c", LIGHT_PROGRAM.format(then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as process:
        words = started(process)
        assert process.stdout.readline() == "waiting\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "PONG PONG\n"
        assert process.wait(60) == 0
    assert gone(words), "the teardown does not wait for the watchdog"


def test_an_interrupted_command_does_not_confuse_the_next():
    """After a Ctrl-C in the middle of a command, its answer is not taken for that of the next one."""

    def interrupt(*_):
        raise KeyboardInterrupt

    with servers.redis_server() as server:
        before = signal.signal(signal.SIGALRM, interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            with pytest.raises(KeyboardInterrupt):
                server._ask("stop", number=0, timeout=1)
        finally:
            signal.signal(signal.SIGALRM, before)
        server.start()
        assert server.pids() == [int(server.info("server")["process_id"])]


def test_a_killed_pytest_leaves_nothing(pytester):
    """The fixtures too: SIGKILL in the middle of a test, with a connection open."""
    pytester.makepyfile(
        """
        import os, signal, sys

        def test_it(postgres, redis_server):
            connection = postgres.connect()
            words = [str(word) for server in (postgres, redis_server) for word in (server.folder, *server.pids())]
            open("words", "w").write(" ".join(words))
            os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    result = pytester.runpytest_subprocess()
    assert result.ret == -signal.SIGKILL
    words = (pytester.path / "words").read_text().split()
    assert len(words) > 5
    assert wait_gone(words)
    assert not shared_memory(words)


def test_a_forked_process_does_not_take_the_servers_along():
    """A child that leaves the ``with`` block, by an exception for example, closes nothing of its parent's."""
    with servers.redis_server() as server:
        pid = os.fork()
        if pid == 0:
            try:
                server.close()
                with pytest.raises(servers.ServerError, match="forked"):
                    server.kill()
            except BaseException:  # noqa: BLE001 - a forked child: pytest must not run on in it
                os._exit(1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert server.execute("PING") == "PONG"


def test_a_dead_watchdog_takes_its_server_along():
    """SIGKILL of the watchdog itself leaves no server, and using it afterwards is a clear error."""
    with servers.redis_server() as server:
        (pid,) = server.pids()
        server._watchdog.kill()
        assert wait_gone([str(pid)])
        with pytest.raises(servers.ServerError, match=r"watchdog|closed"):
            server.start()
        folder = server.folder
    shutil.rmtree(folder)  # the one thing that a SIGKILL of the watchdog leaves


def ordinary_user():
    """Return the words that run Python as an ordinary user; ours when we are one."""
    if os.geteuid() != 0:
        return [sys.executable]
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    code = "import sys; print(sys.version_info[:3])"
    for python in (sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
        if Path(python).exists() and _server.reachable(Path(python), 65534):
            said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
            if said.strip() == str(sys.version_info[:3]):  # the packages are those of this Python
                return [*drop, python]
    # Ours is below a folder that is closed to others: let this user in, which is still not root.
    return [*drop, "--inh-caps=+dac_override", "--ambient-caps=+dac_override", sys.executable]


def test_works_for_an_ordinary_user():
    """Neither root nor its own user is needed."""
    then = "print(os.geteuid(), {os.stat(f'/proc/{pid}').st_uid for pid in pg.pids() + redis.pids()})"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path + _editable())}
    result = subprocess.run(
        [*ordinary_user(), "-c", PROGRAM.format(then=then)],
        input="\n",
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd="/",
    )
    uid = os.geteuid() or 65534
    first, second = result.stdout.splitlines()
    assert second == f"{uid} {{{uid}}}"
    assert wait_gone(first.split())


def _editable():
    return [str(Path(servers.__file__).parents[2])]


def test_postgresql_never_runs_as_root(postgres):
    """Root's server runs as nobody, an ordinary user's as that user."""
    owner = Path(f"/proc/{postgres.pids()[0]}").stat().st_uid
    assert owner == (pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid())
    assert postgres.data.stat().st_mode & 0o077 == 0


def test_a_process_whose_name_is_no_text(new_redis_server):
    """Somebody's process may be called anything: a name of which the kernel cut off half a letter, for example."""
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'caf\\xc3'); print('named', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"named\n"
        assert b"(caf\xc3)" in Path(f"/proc/{process.pid}/stat").read_bytes()
        server = new_redis_server()
        assert len(server.pids()) == 1
        server.restart()
        assert server.execute("PING") == "PONG"
        process.stdin.close()
