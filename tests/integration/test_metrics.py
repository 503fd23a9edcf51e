"""/metrics, as Prometheus and its own tools take it: names that promtool accepts, rules and a dashboard whose expressions find
something in a real Prometheus that has scraped a router."""

import json
import re
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pytest

from lab_checks import said, wait_for
from places import FREEFLOW, Router
from programs import program

SCRAPE = """
global: {{scrape_interval: 1s}}
scrape_configs: [{{job_name: freeflow, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}]
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def get(port, path, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="module")
def router():
    made = Router()
    yield made
    made.remove()


def serve(directory):
    port = free_port()
    process = subprocess.Popen([*FREEFLOW, "metrics", "--dir", directory, "--listen", f"127.0.0.1:{port}"], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process, port


@pytest.fixture(scope="module")
def port(router):
    """Of the exporter."""
    said(router.run(program("rc_transfer"), "send"))
    process, port = serve(router.directory)
    yield port
    process.terminate()
    process.wait(10)


def values(text):
    return {name: float(value) for name, value in re.findall(r"^(freeflow_\S+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)}


def test_promtool_has_nothing_to_say_against_the_names(port):
    _, text = get(port, "/metrics")
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    complaints = [line for line in (done.stdout + done.stderr).splitlines() if not re.search(r"^freeflow_\w+_err\b", line)]
    assert complaints == []


def test_what_a_program_has_moved_is_told(router, port):
    wait_for(lambda: values(get(port, "/metrics")[1]).get(
        'freeflow_port_packets_transmitted_total{container="host",device="ff0",port="1"}', 0) > 0)
    found = values(get(port, "/metrics")[1])
    assert found["freeflow_up"] == 1 and found["freeflow_work_requests_total"] > 0
    assert found['freeflow_state_id{container="host",device="ff0",port="1"}'] == 4
    assert any(name.startswith("freeflow_build_info{") for name in found)
    assert 'container="host",engine=""' in get(port, "/metrics")[1]


def test_open_metrics_too(port):
    assert get(port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")[1].endswith("# EOF\n")


def test_probes(port):
    assert get(port, "/livez") == (200, "ok\n") and get(port, "/readyz") == (200, "ok\n") and get(port, "/x")[0] == 404


def test_a_router_that_is_gone(tmp_path):
    process, port = serve(tmp_path)
    try:
        assert get(port, "/livez")[0] == 200
        status, why = get(port, "/readyz")
        assert status == 503 and "no router" in why
        assert values(get(port, "/metrics")[1]) == {"freeflow_up": 0}
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def alerts(tmp_path):
    path = tmp_path / "alerts.yml"
    path.write_text(said(subprocess.run([*FREEFLOW, "metrics", "--alerts"], capture_output=True, text=True)) + "\n")
    return path


def test_promtool_takes_the_rules(alerts):
    said(subprocess.run(["promtool", "check", "rules", alerts], capture_output=True, text=True))


def test_the_rules_fire(alerts, tmp_path):
    (tmp_path / "tests.yml").write_text("""
rule_files: [alerts.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - {series: 'freeflow_up{instance="h1"}', values: '0x10'}
      - {series: 'freeflow_state_id{instance="h1",container="web",device="ff0",port="1"}', values: '1x10'}
      - {series: 'freeflow_container_info{instance="h1",container="web",pod="p"}', values: '1x10'}
    alert_rule_test:
      - {eval_time: 5m, alertname: FreeFlowRouterDown, exp_alerts: [{exp_labels: {severity: critical, instance: h1},
         exp_annotations: {summary: No router answers on h1, action: 'freeflow doctor, on that host'}}]}
      - {eval_time: 5m, alertname: FreeFlowPortDown, exp_alerts: [{exp_labels: {severity: warning, instance: h1, container: web,
         device: ff0, port: "1", pod: p}, exp_annotations: {summary: The link of container web is down}}]}
""")
    said(subprocess.run(["promtool", "test", "rules", "tests.yml"], capture_output=True, text=True, cwd=tmp_path))


@pytest.fixture(scope="module")
def prometheus(port, tmp_path_factory):
    """Asks a Prometheus that scrapes the exporter: query -> its result."""
    place, own = tmp_path_factory.mktemp("prometheus"), free_port()
    (place / "prometheus.yml").write_text(SCRAPE.format(port=port))
    process = subprocess.Popen(["prometheus", f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data",
                                f"--web.listen-address=127.0.0.1:{own}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(query):
        status, answer = get(own, "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
        assert status == 200, answer
        return json.loads(answer)["data"]["result"]

    def scraped_twice():
        try:
            return ask("count_over_time(freeflow_up[1m]) >= 3")
        except (OSError, AssertionError):
            return False

    try:
        wait_for(scraped_twice, 40)
        yield ask
    finally:
        process.terminate()
        process.wait(20)


def expressions_of_dashboard():
    dashboard = json.loads(said(subprocess.run([*FREEFLOW, "metrics", "--dashboard"], capture_output=True, text=True)))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def test_each_panel_shows_something(prometheus, router):
    silent = {"sum by (container) (freeflow_container_queue_pairs)", "sum by (container) (freeflow_container_registered_bytes)"}
    for expression in expressions_of_dashboard():
        found = prometheus(expression.replace("$__rate_interval", "1m"))
        assert found or expression in silent, expression  # nobody has the device open just now


def test_each_rule_asks_for_something_that_is_there(prometheus, alerts):
    """The names in the rules are those of /metrics, but for what only a host with etcd has."""
    names = set(re.findall(r"\bfreeflow_\w+", " ".join(re.findall(r"expr: (.*)", alerts.read_text()))))
    missing = {name for name in names if not prometheus(name)}
    assert missing == {"freeflow_etcd_connected"}
