#!/usr/bin/env bash
# Make the document of docs/cluster-report.md: the three benchmarks of a cluster of two nodes, which are network namespaces
# of this machine with a real Ray and the demo model, ten samples a node, 32 tokens. Needs root and iproute2; takes
# minutes on two idle cores, far longer on busy ones.
#
# Usage: scripts/cluster_document.sh [DIR] [VARIANT]
#   DIR       where the runs go (default: runs/cluster-document)
#   VARIANT   undisturbed (default), or offline (of the datacenter benchmark only that scenario): the document goes to
#             docs/; or killed, killed-coordinated, wrong-model, wrong-model-unchecked, clock (needs a C compiler),
#             half-speed
#
# scripts/common.sh lists the environment variables that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"

ready_for_two_nodes
output=${1:-runs/cluster-document}
variant=${2:-undisturbed}
[[ ! -e "$output/execution.json" ]] || die 2 "$output holds a document already: remove it, or give another DIR"
HF_HUB_OFFLINE=1 "$VENV/bin/python" -m tests.integration.cluster_document "$output" "$variant"
if [[ $variant == undisturbed || $variant == offline ]]; then
  "$VENV/bin/python" -m tests.integration.cluster_document --publish "$output" docs/cluster-report.md
fi
