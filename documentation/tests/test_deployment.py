"""docker/ and the manifests of the guides say what the settings, the services and the probes really are."""

import importlib
import importlib.metadata
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import requests
import yaml

from acceptance_tests import demo as start
from c2c_broadcast import declarations
from c2c_testing.servers import free_port
from c2c_testing.utils import retry_timeout
from documentation.blocks import ROOT, blocks
from documentation.sandbox import SECRET

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
MANIFEST = next(block for block in blocks(ROOT / "docs/guides/kubernetes.md") if block.title == "deployment.yaml")
DEPLOYMENT: dict[str, Any] = next(yaml.safe_load_all(MANIFEST.text))
CONTAINER: dict[str, Any] = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]
ANNOTATIONS: dict[str, str] = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]


def declared() -> Iterator[str]:
    """Give the environment variables that the packages' settings and c2c-run read."""
    yield from ("C2CWSGIUTILS_CONFIG", "GUNICORN_PARAMS")
    for entry in importlib.metadata.entry_points(group="c2c.settings"):
        for declaration, _ in declarations(entry.load()).values():
            if declaration.env and not declaration.prefix:
                yield declaration.env


def used_by_the_demo() -> set[str]:
    """Return the variables that the demo's ini file uses."""
    text = (ROOT / "acceptance_tests/app/production.ini").read_text()
    return set(re.findall(r"%\((\w+)\)s", text)) - {"here", "message"}


def dockerfile_environ() -> set[str]:
    """Return the variables that the Dockerfile sets."""
    return set(re.findall(r"^(?:ENV|   ) +([A-Z][A-Z0-9_]+)=", (DOCKER / "Dockerfile").read_text(), re.MULTILINE))


def test_hadolint_has_nothing_to_say() -> None:
    """The Dockerfile is clean, but for what it says itself."""
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, DOCKER / "Dockerfile"], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", sorted((DOCKER / "postgres").glob("*.sh")), ids=lambda path: path.name)
def test_bash_can_read_the_scripts(script: Path) -> None:
    """The scripts that set PostgreSQL up are Bash."""
    subprocess.run(["bash", "-n", script], check=True, timeout=60)


def test_the_guides_dockerfile_installs_as_root() -> None:
    """The image's user can't write what is installed; a service's image goes back to it at the end."""
    guide = blocks(ROOT / "docs/guides/docker.md")
    lines = next(block.text for block in guide if block.title == "Dockerfile").splitlines()
    assert lines.index("USER 0") < min(number for number, line in enumerate(lines) if line.startswith("RUN"))
    assert lines[-1] == "USER 33333"
    targets = {
        line.split()[-1] for line in (DOCKER / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")
    }
    text = (ROOT / "docs/guides/docker.md").read_text()
    named = {*re.findall(r"^\| `(\w+)`", text, re.MULTILINE), *re.findall(r"--target (\w+)", text)}
    assert {"light", "full", "compat"} <= named <= targets


def test_what_the_dockerfile_copies_is_there_for_it() -> None:
    """Each of its sources is a file or folder of the repository, and one that .dockerignore lets through."""
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    let = [Path(line[1:]) for line in ignored if line.startswith("!")]
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (DOCKER / "Dockerfile").read_text(), re.MULTILINE)
    sources = [Path(source) for line in copied for source in line.split()]
    assert Path("docs/dashboards") in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert {source, *source.parents} & {*let}, source


def test_the_composition_has_what_it_promises() -> None:
    """Application, primary, replica, Redis, statsd exporter and Prometheus, each with a health check."""
    wanted = {"application", "primary", "replica", "redis", "statsd-exporter", "prometheus"}
    assert wanted <= SERVICES.keys()
    assert all(SERVICES[name]["healthcheck"].get("test") for name in wanted)
    for name, service in SERVICES.items():
        assert service.keys() & {"image", "build"}, name
        assert service.get("depends_on", {}).keys() <= SERVICES.keys(), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in COMPOSE["volumes"] or (DOCKER / source).is_file(), f"{name}: {volume}"


def test_the_composition_sets_variables_that_somebody_reads() -> None:
    """Each variable of the application is a setting or used by its ini file; those that the file uses are all set."""
    given = SERVICES["application"]["environment"].keys()
    assert given <= {*declared(), *used_by_the_demo()}
    assert used_by_the_demo() <= given | dockerfile_environ()


def test_the_composition_builds_stages_of_the_dockerfile() -> None:
    """Targets, contexts and files exist, and a health check asks what the image's would."""
    dockerfile = (DOCKER / "Dockerfile").read_text()
    build = SERVICES["application"]["build"]
    assert f" AS {build['target']}\n" in dockerfile
    assert (DOCKER / build["context"] / build["dockerfile"]).resolve() == DOCKER / "Dockerfile"
    assert SERVICES["application"]["healthcheck"]["test"][-1].replace("$$", "$") in dockerfile.replace('\\"', '"')


@dataclass(frozen=True)
class Probed:
    """The demo with a probe address, and that as a URL."""

    demo: start.Demo
    url: str


@pytest.fixture(scope="module")
def probed(running: start.Demo) -> Iterator[Probed]:
    """Give the demo as the image and the manifest start it: with a probe address."""
    port = free_port()
    environ = {"C2C_PROBE_ADDRESS": f"127.0.0.1:{port}", "C2C_BROADCAST_PREFIX": "probed_", "C2C_SECRET": SECRET}
    with start.service(running.databases, running.redis, port=free_port(), environ=environ) as demo:
        requests.get(f"{demo.service.url}/api/hello", timeout=60)
        yield Probed(demo, f"http://127.0.0.1:{port}")


def test_prometheus_scrapes_services_of_the_composition(probed: Probed) -> None:
    """Its targets are services; the application's path is the one that answers."""
    jobs = {job["job_name"]: job for job in yaml.safe_load((DOCKER / "prometheus.yaml").read_text())["scrape_configs"]}
    for job in jobs.values():
        for target in job["static_configs"][0]["targets"]:
            assert target.split(":")[0] in SERVICES
    answer = requests.get(probed.url + jobs["application"].get("metrics_path", "/metrics"), timeout=60)
    assert "# TYPE c2c_route_seconds histogram" in answer.text


def test_the_manifest_sets_variables_that_somebody_reads() -> None:
    """Each variable of the Kubernetes guide is a setting, or one of the demo's."""
    assert {one["name"] for one in CONTAINER["env"]} <= {*declared(), *used_by_the_demo()}


def test_the_manifests_of_the_guide_are_files_of_a_kustomization() -> None:
    """What the guide shows is what ``kubectl apply -k`` takes; the image that it tags is the one of the manifest."""
    folder = ROOT / "docs" / "kubernetes"
    shown = {block.title: block.text for block in blocks(ROOT / "docs/guides/kubernetes.md") if block.title}
    assert {path.name: path.read_text().strip() for path in folder.iterdir()} == {
        name: shown[name].strip() for name in ("deployment.yaml", "podmonitor.yaml", "kustomization.yaml")
    }
    kustomization = yaml.safe_load(shown["kustomization.yaml"])
    assert {"kustomization.yaml", *kustomization["resources"]} == {path.name for path in folder.iterdir()}
    assert CONTAINER["image"] == "{name}:{newTag}".format(**kustomization["images"][0])


def test_uwsgi_finds_what_the_guide_names() -> None:
    """It looks into the module's dictionary, where what ``__getattr__`` gives is not, and calls a name with ()."""
    file = next(block.text for block in blocks(ROOT / "docs/guides/servers.md") if block.title == "uwsgi.ini")
    module, name = re.search(r"^module = (\S+):(\w+)\(\)$", file, re.MULTILINE).groups()  # type: ignore[union-attr]
    assert callable(vars(importlib.import_module(module))[name])


@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_the_probes_of_the_manifest_answer(probe: str, probed: Probed) -> None:
    """What Kubernetes asks is green in a service that is well."""
    ask = CONTAINER[probe]["httpGet"]
    assert ask["port"] in {port["name"] for port in CONTAINER["ports"]}
    retry_timeout(lambda: requests.get(probed.url + ask["path"], timeout=60).ok, 60, 0.2)


def test_a_pod_has_the_time_to_end() -> None:
    """Kubernetes waits longer than readiness is red and gunicorn ends its requests."""
    environ = {one["name"]: one.get("value", "") for one in CONTAINER["env"]}
    graceful = re.search(r"--graceful-timeout (\d+)", environ["GUNICORN_PARAMS"])
    assert graceful
    wanted = float(environ["C2C_HEALTH_LINGER"]) + float(graceful[1])
    assert DEPLOYMENT["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > wanted


def test_the_annotations_name_the_metrics(probed: Probed) -> None:
    """Prometheus finds them where the pod says."""
    assert int(ANNOTATIONS["prometheus.io/port"]) in {port["containerPort"] for port in CONTAINER["ports"]}
    assert requests.get(probed.url + ANNOTATIONS["prometheus.io/path"], timeout=60).status_code == 200


def expressions() -> dict[str, str]:
    """Return the expressions of the alerts and of the dashboard, by their titles."""
    folder = ROOT / "docs" / "dashboards"
    groups = yaml.safe_load((folder / "alerts.yaml").read_text())["groups"]
    found = {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}
    for panel in json.loads((folder / "grafana.json").read_text())["panels"]:
        found |= {f"{panel['title']} {target['refId']}": target["expr"] for target in panel.get("targets", ())}
    return found


@pytest.mark.parametrize("title", expressions())
def test_expressions_are_promql(title: str) -> None:
    """Prometheus can read them, and users' errors are counted without the toolkit's own pages."""
    expression = expressions()[title]
    promql_parser.parse(expression)
    if "c2c_route_seconds" in expression:
        assert expression.count('route!~"c2c_.*"') == expression.count("c2c_route_seconds_")


def test_alerts_and_dashboard_are_about_metrics_that_exist(probed: Probed) -> None:
    """Each metric, and each value of a label, that they name is there once the demo was used.

    An error was answered, and a worker was killed with a request in hand.
    """
    _hold_metrics(probed.demo.service.url)


def _hold_metrics(url: str) -> None:
    texts = expressions().values()
    names = {name for one in texts for name in re.findall(r"\b(?:c2c|pod_process)_\w+", one)}
    assert len(names) > 10
    # Not those with ~: they leave out what may not be there.
    labels = {
        rf"{name}\{{[^}}]*{label}"
        for one in texts
        for name, matchers in re.findall(r"\b(c2c_\w+){([^}]*)}", one)
        for label in re.findall(r'\w+="[^"]*"', matchers.replace("!=", "="))
    }
    assert len(labels) > 1
    for path in ("/api/c2c/health_check?max_level=2", "/api/hello", "/api/outgoing/1", "/api/error"):
        requests.get(url + path, timeout=60)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(requests.get, f"{url}/api/sleep?seconds=600", timeout=60)
        in_flight = f"{url}/api/c2c/debug/running"

        def worker() -> Any:
            rows = requests.get(in_flight, headers={"X-API-Key": SECRET}, timeout=60).json()["running"]
            return next(row["pid"] for row in rows if row["path"] == "/api/sleep")

        os.kill(retry_timeout(worker, 60, 0.2), signal.SIGKILL)
        assert asked.exception(60)

    def missing() -> set[str]:
        text = requests.get(f"{url}/api/metrics", timeout=60).text
        return {
            wanted
            for wanted in (*(rf"{name}\b" for name in names), *labels)
            if not re.search(f"^{wanted}", text, re.MULTILINE)
        }

    try:
        retry_timeout(lambda: not missing(), 60, 0.5)
    except TimeoutError:
        raise AssertionError(f"no such metrics: {sorted(missing())}") from None
