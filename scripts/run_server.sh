#!/usr/bin/env bash
# Run the Server scenario in performance mode: queries arrive at random; 99 % must keep the latency limits.
#
# Usage: scripts/run_server.sh [OPTION of 'mlperf-llama run']...
#
# MODEL, DATASET, ENGINE and other environment variables describe the run: --help and scripts/scenario.sh list them.

set -euo pipefail
# shellcheck source=scripts/scenario.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scenario.sh"
run_scenario server performance "$@"
