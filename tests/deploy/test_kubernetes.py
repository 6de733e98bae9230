"""The Kubernetes files against KubeRay's own schema (kuberay_schema.json), and against each other."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness import config
from harness.cli.run import run
from tests.deploy.pod_security import BREACHES, restricted

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "deploy" / "kubernetes").glob("ray*.yaml"))
STORAGE = ROOT / "deploy" / "kubernetes" / "storage.yaml"


def strict(node: Any) -> Any:
    """The schema with unknown keys as errors: the API server would drop them without a word."""
    if isinstance(node, list):
        return [strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: strict(value) for key, value in node.items()}
    if "properties" in out and not out.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    return out


@pytest.fixture(scope="module")
def schema() -> Any:
    return strict(json.loads((Path(__file__).parent / "kuberay_schema.json").read_text()))


def problems(tree: Any, schema: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator({**schema[tree["kind"]], "$defs": schema["$defs"]})
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(tree)]


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def pods(path: Path) -> Iterator[dict[str, Any]]:
    spec = load(path)["spec"]
    if "submitterPodTemplate" in spec:
        yield spec["submitterPodTemplate"]["spec"]
    spec = spec.get("rayClusterSpec", spec)
    yield spec["headGroupSpec"]["template"]["spec"]
    for group in spec["workerGroupSpecs"]:
        yield group["template"]["spec"]


def templates(node: Any) -> Iterator[dict[str, Any]]:
    """Every template of a pod, wherever it stands."""
    if isinstance(node, dict):
        if "containers" in node.get("spec", {}):
            yield node
        for value in node.values():
            yield from templates(value)
    elif isinstance(node, list):
        for value in node:
            yield from templates(value)


def test_there_are_clusters_and_jobs_with_and_without_gpus() -> None:
    assert [f.stem for f in FILES] == ["raycluster-cpu", "raycluster-gpu", "rayjob-cpu", "rayjob-gpu"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_schema_of_kuberay_is_met(path: Path, schema: Any) -> None:
    assert problems(load(path), schema) == []


def test_a_misspelt_key_is_found(schema: Any) -> None:
    tree = load(FILES[0])
    tree["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["resorces"] = {}
    del tree["spec"]["workerGroupSpecs"][0]["groupName"]
    found = " ".join(problems(tree, schema))
    assert "resorces" in found and "groupName" in found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_pods_are_confined_and_say_what_they_need(path: Path) -> None:
    for pod in pods(path):
        assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] and security["capabilities"] == {"drop": ["ALL"]}
            assert not security["allowPrivilegeEscalation"]
            assert container["resources"]["requests"] == container["resources"]["limits"]
            mounts = {m["name"] for m in container["volumeMounts"]}
            assert mounts == {v["name"] for v in pod["volumes"]}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_volumes_are_those_of_storage_yaml(path: Path) -> None:
    claims = {d["metadata"]["name"] for d in yaml.safe_load_all(STORAGE.read_text())}
    used = {
        v["persistentVolumeClaim"]["claimName"]
        for pod in pods(path)
        for v in pod["volumes"]
        if "persistentVolumeClaim" in v
    }
    assert used == claims


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_gpus_are_asked_for_where_the_name_says_so(path: Path) -> None:
    *_, head, workers = pods(path)
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]
    with_gpus = path.stem.endswith("gpu")
    assert ("nvidia.com/gpu" in workers["containers"][0]["resources"]["limits"]) == with_gpus
    tolerated = [one["key"] for one in workers.get("tolerations", [])]
    assert tolerated == (["nvidia.com/gpu"] if with_gpus else []) and "tolerations" not in head


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_restricted_standard_is_met(path: Path) -> None:
    assert [found for pod in pods(path) for found in restricted(pod)] == []


def test_what_the_restricted_standard_forbids_is_found() -> None:
    """Each of its controls, broken in a pod that keeps it."""
    for words, value in BREACHES:
        pod = next(pods(FILES[0]))
        *to, last = words
        at: Any = pod
        for word in to:
            at = at[word]
        at[last] = value
        assert restricted(pod), words


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_network_policy_selects_every_pod(path: Path) -> None:
    (policy,) = yaml.safe_load_all((path.parent / "network-policy.yaml").read_text())
    label = policy["spec"]["podSelector"]["matchLabels"]
    found = list(templates(load(path)))
    assert len(found) == len(list(pods(path)))
    assert all(template["metadata"]["labels"].items() >= label.items() for template in found)
    (own, operator) = policy["spec"]["ingress"]
    assert own == {"from": [{"podSelector": {"matchLabels": label}}]}
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]


@pytest.mark.parametrize("path", [f for f in FILES if f.stem.startswith("rayjob")], ids=lambda p: p.stem)
def test_the_entrypoint_is_a_command_of_ours(path: Path) -> None:
    import typer

    words = shlex.split(load(path)["spec"]["entrypoint"])
    assert words[:2] == ["mlperf-llama", "run"]
    app = typer.Typer()
    app.command()(run)
    context = typer.main.get_command(app).make_context("run", words[2:])
    assert context.params["cluster"] == "auto"
    config.load_profile(context.params["profile"], context.params["scenario"])


def test_rays_launcher_file_starts_the_same_version_of_ray_with_a_token() -> None:
    tree = load(ROOT / "deploy" / "ray" / "cluster.yaml")
    assert tree["provider"]["type"] == "local"
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert any("ray start" in command for command in tree[key])
