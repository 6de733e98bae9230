#!/usr/bin/env bash
# Run the SingleStream scenario (edge) in performance mode: one query after the other, the latency of each.
#
# Usage: scripts/run_singlestream.sh [OPTION of 'mlperf-llama run']...
#
# MODEL, DATASET, ENGINE and other environment variables describe the run: --help and scripts/scenario.sh list them.

set -euo pipefail
# shellcheck source=scripts/scenario.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scenario.sh"
run_scenario singlestream performance "$@"
