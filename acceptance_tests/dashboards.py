"""Pictures of the dashboard and the alerts for the docs: ``python -m acceptance_tests.dashboards``.

Prometheus (Debian's package of that name) scrapes the demo while it works and is probed, its replica and its Redis die,
and a worker is killed with a request in hand.
The panels are drawn from ``grafana.json``, at their places, with what Prometheus answers to their queries; the alerts
are Prometheus' own page.
"""

import contextlib
import html
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import sync_playwright

from acceptance_tests import demo as start
from acceptance_tests.looking import launch
from acceptance_tests.screenshots import neutral_app, traffic
from c2c_testing.servers import free_port

DOCS = Path(__file__).resolve().parent.parent / "docs"
COLOURS = ["#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#8ab8ff", "#ffa6b0", "#96d98d", "#ffee52"]
STEP = 5
CONFIG = """global: {{scrape_interval: 2s, evaluation_interval: 2s}}
rule_files: ["{rules}"]
scrape_configs: [{{job_name: demo, static_configs: [{{targets: ["{target}"]}}]}}]
"""
PAGE = """<style>body {{margin: 0; background: #111217; color: #ccccdc; font: 12px sans-serif; width: 1200px;
position: relative; height: {height}px}} div {{position: absolute; overflow: hidden; box-sizing: border-box}}
.panel {{background: #181b1f; border: 1px solid #24272c; padding: 6px}} h3, h2 {{margin: 0; font-size: 13px}}
p {{margin: 0; line-height: 14px; white-space: nowrap}} svg {{display: block; margin: 4px 0}}</style>{panels}"""


@contextlib.contextmanager
def prometheus(target: str) -> Iterator[str]:
    """Run Prometheus with the alert rules, scraping a target; give its address."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "prometheus.yml")
        config.write_text(CONFIG.format(rules=DOCS / "dashboards" / "alerts.yaml", target=target))
        address = f"127.0.0.1:{free_port()}"
        arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder}", f"--web.listen-address={address}"]
        server = subprocess.Popen(["prometheus", *arguments], stderr=subprocess.DEVNULL)
        try:
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait()


def probe(url: str, stop: threading.Event) -> None:
    """Ask for health as an orchestrator and a monitor do, until told to stop."""
    while not stop.wait(5):
        for path in ("/ready", "/health_check?max_level=2"):
            with contextlib.suppress(requests.RequestException):
                requests.get(url + path, timeout=30)


def asked(url: str, target: dict[str, Any], begun: float) -> Iterator[tuple[str, list[tuple[float, float]]]]:
    """Yield name and points of each series that a query of a panel gives."""
    given = {"query": target["expr"], "start": begun, "end": time.time(), "step": STEP}
    answer = requests.get(f"{url}/api/v1/query_range", params=given, timeout=60).json()
    assert answer["status"] == "success", answer
    for series in answer["data"]["result"]:
        name = target.get("legendFormat") or target["expr"]
        for key, value in series["metric"].items():
            name = name.replace("{{" + key + "}}", value).replace("{{ " + key + " }}", value)
        points = [(float(at), float(value)) for at, value in series["values"]]
        yield name, [(at, value) for at, value in points if value == value]  # noqa: PLR0124 # NaN


def shown(value: float, unit: str) -> str:
    """Write a number with its unit as a person reads it."""
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "percentunit":
        return f"{value:.2%}"
    if unit == "s" and value < 1:
        return f"{value * 1000:.1f} ms"
    return f"{value:.3g} {unit.removeprefix('short')}"


def panel(url: str, of: dict[str, Any], begun: float) -> str:
    """Draw one panel of the dashboard."""
    place = of["gridPos"]
    width, height = place["w"] * 50, place["h"] * 30
    style = f'style="left: {place["x"] * 50}px; top: {place["y"] * 30}px; width: {width}px; height: {height}px"'
    if of["type"] == "row":
        return f"<div {style}><h2>{html.escape(of['title'])}</h2></div>"
    unit = of.get("fieldConfig", {}).get("defaults", {}).get("unit", "short")
    found = [series for target in of["targets"] for series in asked(url, target, begun)]
    top = max((value for _, points in found for _, value in points), default=0) or 1
    across, high, span = width - 16, height - 50 - 14 * min(len(found), 5), time.time() - begun
    lines, legend = [], []
    for (name, points), colour in zip(found, COLOURS * 9, strict=False):
        path = " ".join(
            f"{(at - begun) / span * across:.1f},{high - value / top * (high - 4):.1f}" for at, value in points
        )
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        last = shown(points[-1][1], unit) if points else ""
        legend.append(f'<p><span style="color: {colour}">&#9644;</span> {html.escape(name)} {last}</p>')
    svg = f'<svg width="{across}" height="{high}">{"".join(lines)}</svg>'
    title = f"<h3>{html.escape(of['title'])}</h3><p>up to {shown(top, unit)}</p>"
    return f'<div class="panel" {style}>{title}{svg}{"".join(legend[:5])}</div>'


def _lost(url: str) -> None:
    with contextlib.suppress(requests.RequestException):
        requests.get(f"{url}/api/sleep?seconds=20", timeout=60)


def main() -> None:
    """Take both, after some minutes of work."""
    quarter = float(os.environ.get("MINUTES", "8")) * 15
    panels = json.loads((DOCS / "dashboards" / "grafana.json").read_text())["panels"]
    probes, stop = f"127.0.0.1:{free_port()}", threading.Event()
    app = neutral_app()
    with (
        start.databases() as servers,
        start.service(
            *servers, port=free_port(), arguments=start.PATIENT, environ={"C2C_PROBE_ADDRESS": probes}, app=app
        ) as demo,
        prometheus(probes) as url,
        traffic(demo.service.url),
        sync_playwright() as playwright,
        launch(playwright) as browser,
    ):
        prober = threading.Thread(target=probe, args=(f"http://{probes}", stop))
        prober.start()
        begun = time.time()
        time.sleep(2 * quarter)
        demo.databases.replica.kill()
        time.sleep(quarter / 2)
        demo.redis.kill()
        slow = [threading.Thread(target=_lost, args=(demo.service.url,)) for _ in range(9)]
        for thread in slow:
            thread.start()
        time.sleep(5)
        os.kill(demo.service.workers()[0], signal.SIGKILL)
        time.sleep(1.5 * quarter)
        stop.set()
        prober.join()
        tab = browser.new_page(viewport={"width": 1200, "height": 560})
        height = max(of["gridPos"]["y"] + of["gridPos"]["h"] for of in panels) * 30
        tab.set_content(PAGE.format(height=height, panels="".join(panel(url, of, begun) for of in panels)))
        tab.screenshot(path=DOCS / "pictures" / "dashboard.png", full_page=True)
        tab.goto(f"{url}/classic/alerts")
        tab.wait_for_timeout(2_000)
        tab.evaluate(
            "document.body.innerHTML = document.body.innerHTML.replaceAll(/[^ >]*alerts.yaml/g, 'alerts.yaml')"
        )
        tab.screenshot(path=DOCS / "pictures" / "alerts.png", full_page=True)


if __name__ == "__main__":
    main()
