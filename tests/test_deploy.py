"""What lies in deploy/, judged without an engine: by published schemas, by the tools that read it, by rules of ours."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from containerfile import fill_in, read_containerfile
from vestiary import __version__

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "prometheus-adapter.yaml")
PAGES_PROBED = {"/livez", "/readyz", "/metrics"}
SECRET = re.compile(r"password|secret|token|credential|api[-_]?key", re.IGNORECASE)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of nested mappings and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key), inner
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)


def container(kind: str = "kubernetes") -> dict[str, Any]:
    file = DEPLOY / ("kubernetes/deployment.yaml" if kind == "kubernetes" else "cloudrun/service.yaml")
    found: dict[str, Any] = load(file)["spec"]["template"]["spec"]["containers"][0]
    return found


def check_schema(schema: str, *files: Path) -> None:
    pytest.importorskip("check_jsonschema", reason="check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# The image


def test_the_image_keeps_to_the_rules_for_images() -> None:
    """The rules of hadolint that apply: its numbers stand beside them."""
    _, (build, final) = read_containerfile(DEPLOY / "Dockerfile")
    everything = [*build.instructions, *final.instructions]
    assert all(
        re.fullmatch(r"[\w./-]+(:(?!latest)[\w.-]+|@sha256:[0-9a-f]{64})", stage.base) for stage in (build, final)
    )  # DL3006, DL3007
    assert "slim" in final.base
    assert not [each for each in everything if each.word in ("ADD", "MAINTAINER", "VOLUME")]  # DL3020, DL4000
    for stage in (build, final):
        assert all(each.words[0].startswith("/") for each in stage.instructions if each.word == "WORKDIR")  # DL3000
        assert not [name for name in stage.arguments | stage.environment if SECRET.search(name)]
    for each in everything:
        if each.word == "RUN":
            assert not re.search(
                r"\bsudo\b|\bapt(-get)? |\bcurl\b|\bwget\b|\|", each.rest
            )  # DL3004, DL3008, DL4001, DL4006
            assert "pip" not in each.rest or {"--no-cache-dir", "--constraint"} <= set(each.words)  # DL3013, DL3042
        if each.word == "COPY":
            assert not {word for word in each.words[:-1] if word in (".", "./", "..")}, "the whole context is copied"
            sources = [word for word in each.words if word.startswith("--from=")]
            assert sources in ([], [f"--from={build.name}"])  # DL3022
    assert (
        int(final.last("USER").rest.partition(":")[0]) >= 1000
    )  # DL3002; a number, so that runAsNonRoot can be checked
    for word in ("CMD", "ENTRYPOINT"):
        assert final.last(word).rest.startswith("["), word  # DL3025
        assert len([each for each in final.instructions if each.word == word]) == 1  # DL4003, DL4004
    assert not [each for each in final.instructions if each.word == "RUN"], "the final stage runs nothing as root"


def test_the_context_of_the_image_holds_what_it_copies_and_little_else() -> None:
    _, (build, _) = read_containerfile(DEPLOY / "Dockerfile")
    copied = {word.removeprefix("./") for each in build.instructions if each.word == "COPY" for word in each.words[:-1]}
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert ignore[0] == "*"
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_takes_extras_that_there_are_and_no_torch() -> None:
    import tomllib

    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    _, (build, _) = read_containerfile(DEPLOY / "Dockerfile")
    chosen = build.arguments["EXTRAS"].split(",")
    assert set(chosen) <= set(extras)
    assert {"serve", "postgres", "cloud"} <= set(chosen)
    named = re.findall(
        r"EXTRAS=([a-z,]+)", (DEPLOY / "Dockerfile").read_text() + (ROOT / "docs/guides/deploy.md").read_text()
    )
    assert all(set(each.split(",")) <= set(extras) - {"train"} for each in named)


def test_the_image_is_asked_for_its_health_in_a_way_that_works(service: Any) -> None:
    """The very command, against a service that lives, and against nobody."""
    import os

    _, (_, final) = read_containerfile(DEPLOY / "Dockerfile")
    words = final.last("HEALTHCHECK").rest.partition("CMD ")[2]
    command = [sys.executable, *json.loads(words)[1:]]
    port = service.url.rpartition(":")[2]
    alive = subprocess.run(command, env=os.environ | {"VESTIARY_PORT": port}, capture_output=True)
    assert alive.returncode == 0, alive.stderr.decode()
    assert subprocess.run(command, env=os.environ | {"VESTIARY_PORT": "1"}, capture_output=True).returncode == 1


# Compose


def test_compose_is_valid_and_holds_no_password() -> None:
    check_schema("vendor.compose-spec", DEPLOY / "compose.yaml")
    services = load(DEPLOY / "compose.yaml")["services"]
    assert set(services) == {"vestiary", "postgres", "prometheus", "grafana"}
    for name, service in services.items():
        assert re.search(r":[\w.-]*\d", service["image"]), f"{name} has no pinned tag"
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert re.fullmatch(r"\$\{[A-Z_]+:[?-][^}]*\}", value), f"{key} of {name} stands in the file"
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{name} is open to every machine"
        for place in (volume.split(":")[0] for volume in service.get("volumes", ())):
            assert place in load(DEPLOY / "compose.yaml")["volumes"] or (DEPLOY / place).exists(), place
    assert services["vestiary"]["read_only"] is True
    assert services["vestiary"]["cap_drop"] == ["ALL"]
    assert (DEPLOY / services["vestiary"]["build"]["context"] / services["vestiary"]["build"]["dockerfile"]).is_file()


def test_prometheus_and_grafana_find_what_they_are_given() -> None:
    services = load(DEPLOY / "compose.yaml")["services"]
    prometheus = load(DEPLOY / "prometheus" / "prometheus.yml")
    assert all((DEPLOY / "prometheus" / name).is_file() for name in prometheus["rule_files"])
    (job,) = prometheus["scrape_configs"]
    assert job["dns_sd_configs"][0]["names"][0] in services
    rules = [rule["expr"] for group in load(DEPLOY / "prometheus" / "alerts.yml")["groups"] for rule in group["rules"]]
    assert any(f'job="{job["job_name"]}"' in rule for rule in rules)
    provisioned = DEPLOY / "grafana" / "provisioning"
    (source,) = load(provisioned / "datasources" / "prometheus.yml")["datasources"]
    assert source["url"].split("//")[1].partition(":")[0] in services
    (provider,) = load(provisioned / "dashboards" / "vestiary.yml")["providers"]
    mounted = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert f"{provider['options']['path']}/vestiary.json" in mounted
    assert "/etc/grafana/provisioning" in mounted


# Kubernetes


def test_every_manifest_is_valid_for_kubernetes() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    assert {path.name for path in MANIFESTS} == {
        "kustomization.yaml",
        *load(DEPLOY / "kubernetes/kustomization.yaml")["resources"],
    }
    for path in MANIFESTS:
        if path.name != "kustomization.yaml":
            for version in ("1.30", "1.37"):
                kubernetes.validate(load(path), version, strict=True)


def test_kustomize_puts_them_together() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed, so nobody put the manifests together")
    done = subprocess.run(["kubectl", "kustomize", str(DEPLOY / "kubernetes")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    assert {
        "Deployment",
        "Service",
        "HorizontalPodAutoscaler",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "ConfigMap",
    } == set(made)
    (vestiary,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert vestiary["image"] == f"vestiary:{__version__}"
    assert vestiary["envFrom"][0]["configMapRef"]["name"] == made["ConfigMap"]["metadata"]["name"]


def test_the_overlay_in_the_guide_changes_image_and_settings(tmp_path: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed, so nobody put the manifests together")
    guide = (ROOT / "docs" / "guides" / "deploy.md").read_text(encoding="utf-8")
    block = re.search(r"```yaml\n(# kustomization.yaml\n.*?)```", guide, re.S)
    assert block is not None
    shutil.copytree(DEPLOY / "kubernetes", tmp_path / "vestiary" / "deploy" / "kubernetes")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "kustomization.yaml").write_text(block[1], encoding="utf-8")
    done = subprocess.run(["kubectl", "kustomize", str(tmp_path / "own")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    made = {each["kind"]: each for each in yaml.safe_load_all(done.stdout)}
    (vestiary,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert vestiary["image"] == f"registry.shop.example/vestiary:{__version__}"
    assert made["ConfigMap"]["data"]["VESTIARY_BUNDLE"].startswith("s3://")
    assert made["ConfigMap"]["data"]["VESTIARY_MAX_HELD_BYTES"] == "200000000"


def test_the_manifests_speak_of_the_same_pods() -> None:
    kind = {each["kind"]: each["spec"] for each in map(load, MANIFESTS) if "spec" in each}
    labels = kind["Deployment"]["template"]["metadata"]["labels"]
    assert kind["Deployment"]["selector"]["matchLabels"] == labels
    assert kind["Service"]["selector"] == labels
    assert kind["PodDisruptionBudget"]["selector"]["matchLabels"] == labels
    assert kind["NetworkPolicy"]["podSelector"]["matchLabels"] == labels
    assert "replicas" not in kind["Deployment"], "it would undo what the autoscaler chose"
    assert (
        kind["HorizontalPodAutoscaler"]["scaleTargetRef"]["name"]
        == load(DEPLOY / "kubernetes/deployment.yaml")["metadata"]["name"]
    )
    assert kind["Service"]["ports"][0]["targetPort"] in {port["name"] for port in container()["ports"]}
    adapter = load(DEPLOY / "kubernetes" / "prometheus-adapter.yaml")["rules"]["custom"]
    metric = kind["HorizontalPodAutoscaler"]["metrics"][0]["pods"]["metric"]["name"]
    assert metric in {rule["name"]["as"] for rule in adapter}


def test_pods_may_do_little() -> None:
    pod = load(DEPLOY / "kubernetes" / "deployment.yaml")["spec"]["template"]["spec"]
    assert pod["enableServiceLinks"] is False
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container()["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    _, (_, final) = read_containerfile(DEPLOY / "Dockerfile")
    assert str(pod["securityContext"]["runAsUser"]) == final.last("USER").rest.partition(":")[0]
    places = {mount["mountPath"] for mount in container()["volumeMounts"]}
    for variable in ("HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        assert any(final.environment[variable].startswith(place) for place in places), variable


@pytest.mark.parametrize("kind", ["kubernetes", "cloudrun"])
def test_probes_ask_routes_that_there_are_and_secrets_come_from_secrets(kind: str, service: Any) -> None:
    import httpx

    from vestiary.web.settings import Settings

    given = container(kind)
    probes = [value for key, value in given.items() if key.endswith("Probe")]
    assert len(probes) >= 2
    for probe in probes:
        assert httpx.get(service.url + probe["httpGet"]["path"]).status_code == 200
        assert probe["httpGet"]["port"] in ("http", given["ports"][0]["containerPort"])
    known = {f"VESTIARY_{name.upper()}" for name in Settings.model_fields}
    for variable in given["env"]:
        assert variable["name"] in known
        assert "secretKeyRef" in variable["valueFrom"], f"{variable['name']} stands in the file"
    assert "--" not in " ".join(given["args"])


def test_settings_that_are_named_anywhere_in_deploy_exist() -> None:
    pytest.importorskip("pydantic_settings", reason="the extra 'serve' is not installed")
    from vestiary.web.settings import Settings

    known = {f"VESTIARY_{name.upper()}" for name in Settings.model_fields}
    for path in (each for each in DEPLOY.rglob("*") if each.is_file() and each.suffix != ".json"):
        found = set(re.findall(r"VESTIARY_[A-Z]+(?:_[A-Z]+)*", path.read_text(encoding="utf-8")))
        assert found <= known, f"{path.name} names {found - known}"


def test_one_version_stands_everywhere() -> None:
    texts = {
        path: path.read_text(encoding="utf-8")
        for path in DEPLOY.rglob("*")
        if path.suffix in (".yaml", "") and path.is_file()
    }
    found = {(path.name, tag) for path, text in texts.items() for tag in re.findall(r"vestiary:(\d[\w.]*)", text)}
    assert {name for name, _ in found} >= {"Dockerfile", "compose.yaml", "service.yaml"}
    assert {tag for _, tag in found} == {__version__}
    assert load(DEPLOY / "kubernetes" / "kustomization.yaml")["images"] == [{"name": "vestiary", "newTag": __version__}]


def test_cloud_run_gets_what_it_asks_for() -> None:
    """Cloud Run's form is Knative's; no schema of it is at hand, so the fields that it needs are looked at."""
    service = load(DEPLOY / "cloudrun" / "service.yaml")
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    spec = service["spec"]["template"]["spec"]
    assert set(spec) == {"containerConcurrency", "timeoutSeconds", "containers"}
    assert {"image", "ports", "resources", "startupProbe", "livenessProbe"} <= set(spec["containers"][0])
    from vestiary.web.settings import Settings

    assert spec["containerConcurrency"] < Settings.model_fields["max_in_flight"].default
    annotations = service["spec"]["template"]["metadata"]["annotations"]
    assert all(isinstance(value, str) for value in annotations.values())


def test_no_manifest_holds_a_secret() -> None:
    for path in (*MANIFESTS, DEPLOY / "cloudrun" / "service.yaml"):
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            assert each["kind"] != "Secret", path
            for key, value in walk(each):
                assert not (isinstance(value, str) and re.search(r"://[^/\s:]+:[^/\s]+@", value)), f"{key} in {path}"


# systemd


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed, so nobody judged the unit")
    text = (DEPLOY / "systemd" / "vestiary.service").read_text()
    there = text.replace("/opt/vestiary/bin/vestiary", sys.executable)  # it looks whether the program is there
    (tmp_path / "vestiary.service").write_text(there)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "vestiary.service")], capture_output=True, text=True
    )
    own = [told for told in done.stderr.splitlines() if "vestiary" in told]
    assert (done.returncode, own) == (0, [])
    assert "DynamicUser=yes" in text
    assert "ProtectSystem=strict" in text


def test_whoever_stops_the_service_leaves_it_the_time_it_takes() -> None:
    from vestiary.web.recorder import STOP_S
    from vestiary.web.settings import Settings

    needed = Settings.model_fields["shutdown_s"].default + STOP_S
    pod = load(DEPLOY / "kubernetes" / "deployment.yaml")["spec"]["template"]["spec"]
    grace = load(DEPLOY / "compose.yaml")["services"]["vestiary"]["stop_grace_period"]
    unit = (DEPLOY / "systemd" / "vestiary.service").read_text()
    waits = re.search(r"TimeoutStopSec=(\d+)", unit)
    assert waits is not None
    assert pod["terminationGracePeriodSeconds"] >= needed + 5
    assert int(grace.removesuffix("s")) >= needed
    assert int(waits[1]) >= needed


def test_defaults_of_the_dockerfile_are_filled_in() -> None:
    assert fill_in("a ${B} $C ${D}", {"B": "b", "C": "c"}) == "a b c ${D}"
