#!/usr/bin/env bash
# From a fresh clone to MLPerf runs of a real Llama model on real text, with ROUGE scores: no GPU, no account needed.
#
# Usage: scripts/quickstart.sh [DIR] [OPTION of 'mlperf-llama run']...
#
# Makes the environment in .venv, fetches a small demo model (SmolLM2-135M-Instruct), runs Offline performance, Offline
# accuracy and Server performance into DIR (default: runs/quickstart) and prints a table. Earlier runs in DIR are
# replaced. These are short runs that show everything at work, not results that could be submitted: LoadGen calls the
# Server run INVALID because it has too few queries, whatever its latencies. Exit code 0 means that all three ran.
#
# Environment variables (all optional):
#   PROFILE      another profile than cpu-demo
#   MODEL, DATASET, ENGINE, WORKERS as described in scripts/scenario.sh
# scripts/common.sh lists those that concern the installation.

set -euo pipefail
# shellcheck source=scripts/scenario.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/scenario.sh"
help_if_asked "$@"

dir=$ROOT/runs/quickstart
if [[ $# -gt 0 && $1 != -* ]]; then
    dir=$1
    shift
fi

ensure_environment
export PROFILE=${PROFILE:-cpu-demo}

# step NUMBER TITLE SCENARIO MODE [OPTION...]: a run that ended but is not valid (1) does not stop the others
step() {
    local code=0
    say ""
    say "[$1/3] $2"
    OUTPUT=$dir/$3-$4
    run_benchmark "$3" "$4" --overwrite "${@:5}" || code=$?
    [[ $code -le 1 ]] || exit "$code"
}

# a few samples are enough for the speed; the accuracy run takes them all
short=() shorter=()
if [[ $PROFILE == cpu-demo ]]; then
    short=(--set dataset.limit=16 --set loadgen.min_query_count=16)
    shorter=(--set dataset.limit=12 --set loadgen.min_query_count=12)
fi
step 1 "Offline, performance: how many tokens a second" offline performance "${short[@]}" "$@"
step 2 "Offline, accuracy: how good the summaries are" offline accuracy "$@"
step 3 "Server, performance: how long until the first and each further token" server performance "${shorter[@]}" "$@"

say ""
mlperf_llama summarize "$dir"/offline-performance "$dir"/offline-accuracy "$dir"/server-performance || [[ $? -eq 1 ]]
cat <<EOF

Everything is in $dir:
  */result.json                  figures, validity and why a run is not submittable
  */mlperf_log_summary.txt       LoadGen's own words
  offline-accuracy/accuracy.txt  ROUGE scores
Next: $VENV/bin/mlperf-llama --help, README.md
EOF
