"""Docker compose: its command lines and what follows, with a stand-in executable that records and plays them."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from c2c_testing import utils
from c2c_testing.composition import CommandError, Composition, ContainerDiedError

SOURCE = Path(__file__).with_name("docker_stand_in.sh")


class Docker:
    """The stand-in and what it recorded."""

    def __init__(self, folder):
        self.folder = folder
        for name in ("running", "ended", "log", "fail"):
            (folder / name).mkdir()
        for name in ("all", "calls", "v2"):
            (folder / name).touch()
        (folder / "services").write_text("db web")
        for name in ("docker", "docker-compose"):
            shutil.copy(SOURCE, folder / name)
            (folder / name).chmod(0o755)

    def play(self, *words):
        """Let something happen to a container."""
        subprocess.run([self.folder / "docker", "play", *map(str, words)], check=True)

    def calls(self):
        """Return the command lines so far."""
        return [line.split("\t") for line in (self.folder / "calls").read_text().splitlines()]

    def compose_calls(self):
        """Return those of docker compose, after the options that all have, but for the one that follows the log."""
        found = [call[call.index("--project-name") + 2 :] for call in self.calls() if "--project-name" in call]
        return [words for words in found if words[0] != "logs"]

    def follower(self):
        """Return the command line that follows the log: it notes itself, a moment after it was started."""
        return utils.retry_timeout(lambda: [call for call in self.calls() if "logs" in call], timeout=30)[0]

    def running(self):
        """Return the names of the services that run."""
        return sorted(path.name for path in (self.folder / "running").iterdir())


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Give the stand-in, first on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    return Docker(folder)


class Request:
    """As pytest's fixture, for a composition whose containers die: this test itself does not use it."""

    fixturename = "another"

    def __init__(self, request):
        self.config = request.config
        self.finalizers = []
        self.addfinalizer = self.finalizers.append

    def end(self):
        """End what was begun, last first."""
        while self.finalizers:
            self.finalizers.pop()()


@pytest.fixture
def begun(request, docker):
    """Give a function that begins a composition; ``.request.end()`` ends them before the test does."""
    mine = Request(request)

    def begin(**options):
        return Composition(mine, "Shop", "compose.yaml", **options)

    begin.request = mine
    yield begin
    mine.end()


def dead(composition):
    """Wait until a death is known, and return its message."""
    with pytest.raises(ContainerDiedError) as raised:
        utils.retry_timeout(lambda: False, timeout=30, interval=0.02)
    return str(raised.value)


def wait_death(composition):
    """Wait until one is known, without the tools that it would end."""
    deadline = time.monotonic() + 30
    while not composition._journal.deaths and time.monotonic() < deadline:
        composition.logs()
        time.sleep(0.02)
    assert composition._journal.deaths


def test_the_command_lines(docker, begun, tmp_path):
    """Stop, remove, build, up; at the end, stop. The project's name is as docker compose wants it."""
    begun()
    assert docker.compose_calls() == [["stop"], ["rm", "--force", "-v"], ["build"], ["up", "-d"]]
    assert docker.running() == ["db", "web"]
    common = ["docker", "compose", "--file", str(tmp_path / "compose.yaml"), "--project-name", "shop"]
    assert docker.follower()
    assert [call[:6] for call in docker.calls() if "--project-name" in call] == [common] * 5
    begun.request.end()
    assert docker.compose_calls()[4:] == [["stop"]]
    assert docker.running() == []


def test_the_log_is_followed(docker, begun):
    """From the start on, by one process that ends with the composition, and anew where it has ended before."""
    composition = begun()
    assert docker.follower()[-3:] == ["logs", "--follow", "--no-color"]
    first = composition._follower
    wait_log(composition, 2)
    composition.stop("web")
    first.terminate()
    first.wait()
    composition.start("web")

    def said():
        docker.play("say", "web", "ready to serve")  # again and again: it is not known when the new one reads
        return "ready to serve" in composition.logs("web")

    assert utils.retry_timeout(said, timeout=30, interval=0.02)
    begun.request.end()
    assert composition._follower.poll() is not None
    assert "web | ready to serve" in composition.logs()


def test_version_1(docker, begun):
    """Without the plugin of docker, it is docker-compose."""
    (docker.folder / "v2").unlink()
    begun()
    assert docker.follower()
    assert [call[0] for call in docker.calls() if "--project-name" in call] == ["docker-compose"] * 5


def test_without_docker_compose(docker, begun, monkeypatch):
    """The error says what to install, and what there is instead."""
    (docker.folder / "v2").unlink()
    (docker.folder / "docker-compose").unlink()
    monkeypatch.setenv("PATH", str(docker.folder))
    with pytest.raises(RuntimeError, match=r"docker compose is not installed .*LocalComposition"):
        begun()


def test_stop_start_restart(docker, begun):
    """Of one container; none of it is a death."""
    composition = begun()
    composition.stop("web")
    assert docker.running() == ["db"]
    composition.start("web")
    composition.restart("web")
    assert docker.compose_calls()[4:] == [["stop", "web"], ["start", "web"]] * 2
    composition.stop_all()
    assert docker.running() == []
    begun.request.end()


def wait_log(composition, starts):
    """Wait until so many containers have said that they start."""
    said = lambda: sum("starts" in line for line in composition.logs()) == starts  # noqa: E731
    assert utils.retry_timeout(said, timeout=30, interval=0.02)


def test_run_and_exec(docker, begun):
    """The output comes back; ``kw`` goes to subprocess.run; without a terminal."""
    composition = begun()
    assert composition.run("web", "echo", "hello") == "hello\n"
    assert composition.exec("db", "cat", input="text") == "text"
    assert composition.exec("db", "cat") == "", "the test run's input stays its own"
    assert docker.compose_calls()[4:] == [
        ["run", "--rm", "-T", "web", "echo", "hello"],
        ["exec", "-T", "db", "cat"],
        ["exec", "-T", "db", "cat"],
    ]
    assert composition.run("web", "false", check=False) == ""
    assert composition.run("web", "echo", "x", text=False) == b"x\n"
    with pytest.raises(subprocess.TimeoutExpired):
        composition.run("web", "sleep", "60", timeout=0.5)


def test_environment(docker, begun):
    """More variables, for docker compose and its file."""
    composition = begun(environment={"TAG": "1.2"})
    assert composition.run("web", "sh", "-c", "echo $TAG") == "1.2\n"


def test_a_failed_command_shows_its_output(docker, begun):
    """Both streams, and the command line; it is a CalledProcessError as well."""
    composition = begun()
    with pytest.raises(CommandError, match=r"exec -T db sh -c .* ended with 3:\nout\nerr$") as raised:
        composition.exec("db", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert isinstance(raised.value, subprocess.CalledProcessError)
    assert (raised.value.returncode, raised.value.stdout) == (3, "out\n")


def test_a_failed_build_shows_its_output(docker, begun):
    """Nothing is started; what there is is stopped."""
    (docker.folder / "fail/build").write_text("COPY failed: no such file")
    with pytest.raises(CommandError, match=r"build ended with 1:\nCOPY failed: no such file"):
        begun()
    begun.request.end()
    assert [words[0] for words in docker.compose_calls()] == ["stop", "rm", "build", "stop"]


def test_logs(docker, begun):
    """What the containers say, while they live."""
    composition = begun()
    docker.play("say", "web", "ready to serve")
    assert utils.retry_timeout(lambda: "ready to serve" in composition.logs("web"), timeout=30, interval=0.02)
    assert "web | ready to serve" in composition.logs()
    assert "ready to serve" not in composition.logs("db")


def test_a_death_ends_all_waiting(docker, begun, http_sink):
    """The container's last lines are in the error, of whatever waits with our tools."""
    composition = begun()
    docker.play("say", "web", "No such table: item")
    docker.play("end", "web", 3)
    assert dead(composition) == "web died with status 3; its last lines:\nweb starts\nNo such table: item"
    http_sink.answer(status=503)
    start = time.monotonic()
    with pytest.raises(ContainerDiedError, match="web died"):
        utils.wait_url(http_sink.url, timeout=600)
    assert time.monotonic() - start < 300
    composition.restart("web")
    utils.wait_url(http_sink_ready(http_sink))
    begun.request.end()


def http_sink_ready(http_sink):
    """Let the sink answer well."""
    http_sink.clear()
    return http_sink.url


def test_a_death_during_the_start(docker, begun):
    """It fails at the latest when all are up: at once or in the first wait."""
    (docker.folder / "dies").write_text("web 1")

    def start():
        wait_death(begun())
        begun.request.end()

    with pytest.raises(ContainerDiedError, match=r"(?s)web died with status 1.*web has a problem"):
        start()


def test_a_death_that_no_test_saw_fails_the_teardown(docker, begun):
    """Otherwise the last container to die would do so unnoticed."""
    composition = begun()
    docker.play("end", "db", 1)
    wait_death(composition)
    with pytest.raises(ContainerDiedError, match="db died with status 1"):
        begun.request.end()
    utils.retry_timeout(lambda: True)  # the alarm is off


@pytest.mark.parametrize("how", ["status 0", "restart policy", "stopped"])
def test_ends_that_are_no_deaths(docker, begun, how):
    """A task that is done, a container that docker starts again, one that was stopped, whatever its status."""
    composition = begun()
    if how == "status 0":
        docker.play("end", "web", 0)
    elif how == "restart policy":
        docker.play("end", "web", 1)
        ended = docker.folder / "ended/web"
        ended.write_text(ended.read_text().replace("Exited (1)", "Restarting (1)"))
    else:
        composition.stop("web")
        assert "Exited (143)" in (docker.folder / "ended/web").read_text()
    utils.retry_timeout(lambda: True)
    begun.request.end()


def test_one_off_containers_do_not_die(docker, begun):
    """The exit status of a ``run`` is what it gives; its container is not looked at."""
    begun()
    (looks,) = {tuple(call[:8]) for call in docker.calls() if call[:2] == ["docker", "ps"]}
    labels = ("--filter", "label=com.docker.compose.project=shop", "--filter", "label=com.docker.compose.oneoff=False")
    assert looks == ("docker", "ps", "--all", *labels, "--format")


def test_a_death_before_a_stop_stays_one(docker, begun):
    """A stop of what is dead says nothing of why it died."""
    composition = begun()
    docker.play("end", "web", 3)
    composition.stop("web")
    assert "web died with status 3" in dead(composition)
    composition.restart("web")
    utils.retry_timeout(lambda: True)


def test_docker_start_0(docker, begun, monkeypatch):
    """Nothing is started: what runs is followed, and dies as well; what was down before did not die."""
    for service in ("db", "web"):
        docker.play("start", service)
    docker.play("end", "web", 1)
    monkeypatch.setenv("docker_start", "0")
    composition = begun()
    assert docker.compose_calls() == []

    def said():
        docker.play("say", "db", "of today")  # again and again: it is not known when the follower begins to read
        return "of today" in composition.logs("db")

    assert utils.retry_timeout(said, timeout=30, interval=0.02)
    assert "db starts" not in composition.logs("db"), "of the time before"
    docker.play("end", "db", 137)
    assert "db died with status 137" in dead(composition)
    begun.request.end()
    assert docker.compose_calls() == [["stop"]]


def test_docker_stop_0(docker, begun, monkeypatch):
    """The containers run on; nothing follows them any more."""
    monkeypatch.setenv("docker_stop", "0")
    composition = begun()
    begun.request.end()
    assert docker.running() == ["db", "web"]
    assert composition._follower.poll() is not None


def test_coverage(docker, begun, tmp_path):
    """Copied from the stopped containers, by the service's name or the container's in both styles."""
    begun(coverage_paths=["web:/tmp/cov", "shop_db_1:/cov"])
    old = tmp_path / "reports/coverage/web/old"
    old.parent.mkdir(parents=True)
    old.touch()
    begun.request.end()
    (web,) = (path for path in (docker.folder / "log").iterdir() if path.read_text() == "web starts\n")
    assert (tmp_path / "reports/coverage/web/copied").read_text() == f"{web.name}:/tmp/cov"
    assert not old.exists(), "that of an earlier run"
    assert (tmp_path / "reports/coverage/db/copied").read_text().endswith(":/cov")
    assert docker.compose_calls()[-1] == ["stop"]


def test_bad_arguments(docker, begun, request):
    """Errors name what is wrong."""
    with pytest.raises(ValueError, match=r"coverage_paths: '/tmp/cov' is not container:path"):
        begun(coverage_paths=["/tmp/cov"])
    with pytest.raises(FileNotFoundError, match=r"There is no composition file .*absent\.yaml"):
        Composition(request, "shop", "absent.yaml")
    with pytest.raises(ValueError, match="'-_!' has no letter or digit"):
        Composition(request, "-_!", "compose.yaml")


def test_with_pytest(docker, pytester):
    """Each failed test shows the log of its time; after a death, tests that use the fixture fail, others do not."""
    pytester.makefile(".yaml", compose="services: {}")
    pytester.makepyfile(
        test_it=f"""
        import subprocess, time
        import pytest
        from c2c_testing.composition import Composition

        def play(*words):
            subprocess.run([{str(docker.folder / "docker")!r}, "play", *words], check=True)

        @pytest.fixture(scope="session")
        def composition(request):
            return Composition(request, "shop", "compose.yaml")

        def until(what):
            deadline = time.monotonic() + 30
            while not what() and time.monotonic() < deadline:
                time.sleep(0.02)

        def test_good(composition):
            until(lambda: len(composition.logs()) == 2)

        def test_bad(composition):
            play("say", "web", "Traceback of a request")
            until(lambda: len(composition.logs()) == 3)
            raise ValueError

        def test_dies(composition):
            play("say", "web", "out of memory")
            play("end", "web", "137")

        def test_after(composition):
            raise AssertionError("not reached")

        def test_without():
            pass

        def test_mended(composition):
            pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rA")
    result.assert_outcomes(passed=2, failed=2, errors=2)
    text = result.stdout.str()
    bad = text[text.index("_ test_bad _") : text.index("_ test_dies _")]
    assert "Log of shop" in bad
    assert "web | Traceback of a request" in bad
    assert "web | web starts" not in bad, "that was before"
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_dies - *web died with status 137*"])
    result.stdout.fnmatch_lines(["ERROR test_it.py::test_after - *web died with status 137*"])
    assert "not reached" not in text.partition("short test summary")[0].partition("_ test_dies _")[2]
    assert docker.running() == []
