#!/usr/bin/env bash
# Test the distributed and the coordinated benchmark on a real Ray cluster of two nodes: network namespaces of this
# machine, joined by a virtual cable, with addresses of their own. A node is killed, cut off and stopped at five random
# moments each, and "benchmark cluster" makes its document of two nodes, undisturbed, with a node killed in the middle of
# each benchmark, another model on one node, a clock apart and a node at half speed. Needs root and iproute2 (for the
# clock a C compiler); takes about a quarter of an hour on two cores, and far longer with the documents.
#
# Usage: scripts/test_cluster.sh [OPTION of pytest]...
#
# Environment variables (all optional):
#   MLPERF_LLAMA_MOMENTS=N   of each accident (default: 5; continuous integration takes 1)
#   MLPERF_LLAMA_DOCUMENT=   empty: without the documents
# scripts/common.sh lists those that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"

ready_for_two_nodes
export MLPERF_LLAMA_MOMENTS=${MLPERF_LLAMA_MOMENTS:-5} MLPERF_LLAMA_DOCUMENT=${MLPERF_LLAMA_DOCUMENT-1} OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1
exec "$VENV/bin/python" -m pytest tests/integration/test_cluster.py tests/integration/test_cluster_document.py \
  tests/sut/test_curve.py "$@"
