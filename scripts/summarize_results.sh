#!/usr/bin/env bash
# Print a table of scenario results, read from LoadGen's logs.
#
# Usage: scripts/summarize_results.sh RUN_DIR... [OPTION of 'mlperf-llama summarize']...

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"
[[ $# -gt 0 ]] || die 2 "give one or more run directories: scripts/summarize_results.sh RUN_DIR..."
ensure_environment
mlperf_llama summarize "$@"
