"""Campaigns and a tree, made once for all tests here; a test that spoils one takes a copy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from harness.config import Benchmark
from harness.submission import scrub
from harness.submission.build import Order, build_tree
from harness.submission.identities import identities
from harness.submission.runs import find_system
from harness.submission.secrets import secret_spans
from tests.harness.submission.runs import copy, make_campaign

Found = TypeVar("Found")
SYSTEM = """\
status: available
system_name: Example 8x
system_type_detail: ''
number_of_nodes: '1'
host_processor_model_name: Example CPU 9000
host_processors_per_node: '2'
host_processor_core_count: '64'
host_memory_capacity: 1536 GiB
host_memory_configuration: 24 x 64 GB DDR5-4800
host_storage_capacity: 2 x 3840 GB
host_storage_type: NVMe
host_networking: Ethernet 100 Gbit/s
host_network_card_count: 2 x Ethernet 100 Gbit/s
host_networking_topology: N/A
accelerators_per_node: '8'
accelerator_model_name: Example GPU
accelerator_host_interconnect: PCIe Gen5 x16
accelerator_interconnect: NVLink (18 links)
accelerator_memory_capacity: 80 GiB
accelerator_memory_configuration: HBM3
cooling: air-cooled
framework: vllm 0.26.0
operating_system: Example Linux 12 (Linux 6.8)
other_software_stack: driver 570.86, CUDA 12.8, torch 2.11.0, cublas 10.2.0.163
hw_notes: Power limit 700 W per accelerator; ECC on
sw_notes: mlperf-llama
"""


def order(directory: Path, **changes: object) -> Order:
    """A sound order for a tree under ``directory``."""
    yaml = directory / "system.yaml"
    if not yaml.exists():
        yaml.write_text(SYSTEM)
    choices: dict[str, object] = {
        "tree": directory / "tree",
        "backup": directory / "backup",
        "submitter": "ACME",
        "division": "closed",
        "system_id": "acme_8x",
        "system_yaml": yaml,
    }
    return Order(**(choices | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def searched_once() -> Iterator[None]:
    """The same text has the same secrets in it: hundreds of copies of a tree differ in a file or two."""
    with pytest.MonkeyPatch.context() as patch:
        for search in (secret_spans, identities):
            patch.setattr(scrub, search.__name__, _remembered(search))
        yield


def _remembered(search: Callable[[str], Iterator[Found]]) -> Callable[[str], tuple[Found, ...]]:
    return functools.lru_cache(maxsize=1000)(lambda text: tuple(search(text)))


@pytest.fixture(scope="session")
def datacenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign of the datacenter benchmark. Not to be changed."""
    return make_campaign(tmp_path_factory.mktemp("runs") / "datacenter", Benchmark.DATACENTER)


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign of the edge benchmark. Not to be changed."""
    return make_campaign(tmp_path_factory.mktemp("runs") / "edge", Benchmark.EDGE)


def little_source(target: Path) -> int:
    """One file instead of the whole project, so that hundreds of copies stay small."""
    target.mkdir(parents=True)
    (target / "sut.py").write_text('"""Code that talks to LoadGen."""\n')
    return 1


@pytest.fixture(scope="session")
def both(datacenter: Path, edge: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ``tree`` (a datacenter and an edge system, closed) and ``backup``. Not to be changed."""
    directory = tmp_path_factory.mktemp("both")
    patch = pytest.MonkeyPatch()
    patch.setattr("harness.submission.build.copy_sources", little_source)
    build_tree(find_system([datacenter]), order(directory))
    build_tree(find_system([edge]), order(directory, system_id="acme_edge"))
    patch.undo()
    return directory


@pytest.fixture
def spoilt(both: Path, tmp_path: Path) -> Path:
    """A copy of ``both`` to spoil; the backup is only read, and not copied."""
    copy(both / "tree", tmp_path / "copy" / "tree")
    (tmp_path / "copy" / "backup").symlink_to(both / "backup")
    return tmp_path / "copy"
