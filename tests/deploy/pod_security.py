"""The Pod Security Standard "restricted" for Linux: kubernetes.io/docs/concepts/security/pod-security-standards.

No package checks it without a cluster: kubeconform and kube-score are no Python packages, and this is all of its table
that a specification of a pod can break.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
}
SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
CONTAINER = ("containers", 0)
BREACHES: list[tuple[tuple[str | int, ...], Any]] = [
    (("hostNetwork",), True),
    (("hostPID",), True),
    (("hostIPC",), True),
    (("securityContext", "runAsNonRoot"), False),
    (("securityContext", "runAsUser"), 0),
    (("securityContext", "seccompProfile"), {"type": "Unconfined"}),
    (("securityContext", "sysctls"), [{"name": "kernel.msgmax", "value": "1"}]),
    (("securityContext", "seLinuxOptions"), {"type": "spc_t"}),
    (("securityContext", "appArmorProfile"), {"type": "Unconfined"}),
    (("volumes",), [{"name": "host", "hostPath": {"path": "/"}}]),
    ((*CONTAINER, "securityContext", "privileged"), True),
    ((*CONTAINER, "securityContext", "allowPrivilegeEscalation"), True),
    ((*CONTAINER, "securityContext", "capabilities"), {"drop": ["NET_RAW"]}),
    ((*CONTAINER, "securityContext", "capabilities"), {"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    ((*CONTAINER, "securityContext", "procMount"), "Unmasked"),
    ((*CONTAINER, "ports"), [{"containerPort": 1, "hostPort": 1}]),
]


def restricted(pod: dict[str, Any]) -> list[str]:
    """What in the specification of a pod the standard forbids."""
    found = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    for volume in pod.get("volumes", []):
        found += [f"volume {volume['name']}: {kind}" for kind in volume.keys() - {"name"} - VOLUMES]
    found += _context("pod", pod.get("securityContext", {}))
    names = {one["name"] for one in pod.get("securityContext", {}).get("sysctls", [])}
    found += [f"sysctl {name}" for name in names - SYSCTLS]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        found += _container(container, pod.get("securityContext", {}))
    return found


def _container(container: dict[str, Any], of_pod: dict[str, Any]) -> Iterator[str]:
    name, own = container["name"], container.get("securityContext", {})
    both = of_pod | own
    yield from _context(name, own)
    if both.get("runAsNonRoot") is not True:
        yield f"{name}: runAsNonRoot is not true"
    if both.get("seccompProfile", {}).get("type") not in PROFILES:
        yield f"{name}: no seccomp profile"
    if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: privileges"
    capabilities = own.get("capabilities", {})
    if "ALL" not in capabilities.get("drop", []) or set(capabilities.get("add", [])) - {"NET_BIND_SERVICE"}:
        yield f"{name}: capabilities"
    if own.get("procMount", "Default") != "Default":
        yield f"{name}: procMount"
    if any(port.get("hostPort") for port in container.get("ports", [])):
        yield f"{name}: a port of the host"


def _context(name: str, context: dict[str, Any]) -> Iterator[str]:
    if context.get("runAsUser") == 0:
        yield f"{name}: runs as root"
    selinux = context.get("seLinuxOptions", {})
    if selinux.get("type", "") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
        yield f"{name}: SELinux"
    if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in PROFILES:
        yield f"{name}: AppArmor"
