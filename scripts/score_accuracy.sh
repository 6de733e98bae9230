#!/usr/bin/env bash
# Score the accuracy log of a run again (ROUGE-1, -2, -L, -Lsum, generated length) and write its accuracy.txt.
#
# Usage: scripts/score_accuracy.sh RUN_DIR [OPTION of 'mlperf-llama accuracy']...

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"
[[ $# -gt 0 ]] || die 2 "give the directory of an accuracy run: scripts/score_accuracy.sh RUN_DIR"
ensure_environment
mlperf_llama accuracy "$@"
