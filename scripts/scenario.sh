# shellcheck shell=bash
# What the run_*.sh scripts and quickstart.sh share: one run of a scenario, described by environment variables.
#
# To be sourced.
#
# Environment variables (all optional; options on the command line win):
#   MODEL        folder or Hugging Face hub id of the model
#   DATASET      data set in MLCommons' JSON form, or the same as parquet
#   ENGINE       transformers, vllm, openai or null (default: the profile's)
#   PROFILE      a name in harness/profiles or a YAML file
#   WORKERS      number of worker processes (default: one for each GPU)
#   TARGET_QPS   Server and Interactive: queries/s that LoadGen sends; Offline: samples/s to expect, of which LoadGen
#                then issues 660 s worth (default: the profile's or user.conf's)
#   TARGET_LATENCY_MS  SingleStream: expected latency of a query in ms, from which LoadGen works out how many to prepare
#   USER_CONF    LoadGen user.conf (there is an example, user.conf, at the top of the project)
#   OUTPUT       directory of the run (default: runs/DATE-TIME-SCENARIO-MODE)
# Without PROFILE, MODEL, DATASET and ENGINE it is the demo: a small Llama and 36 articles, on any machine.
# scripts/common.sh lists the variables that concern the installation.

set -euo pipefail
SCENARIO_SCRIPT=$(realpath -- "${BASH_SOURCE[0]}")
# shellcheck source=scripts/common.sh
source "$(dirname -- "$SCENARIO_SCRIPT")/common.sh"

# run_scenario SCENARIO MODE [OPTION...]: all that a run_*.sh does
run_scenario() {
    if [[ ${3:-} == -h || ${3:-} == --help ]]; then
        comment_at_top "$0"
        echo
        comment_at_top "$SCENARIO_SCRIPT" | sed '1,/^To be sourced/d' | sed '1d'
        exit 0
    fi
    run_benchmark "$@"
}

# run_benchmark SCENARIO MODE [OPTION...]: one run, as the variables above describe it
run_benchmark() {
    local scenario=$1 mode=$2 needed=() options=()
    shift 2
    case ${ENGINE:-} in
        openai) needed=(openai) ;;
        vllm) if has_nvidia_gpu; then needed=(vllm); fi ;;
    esac
    ensure_environment "${needed[@]}"
    [[ -z ${PROFILE:-} ]] || options+=(--profile "$PROFILE")
    [[ -z ${MODEL:-} ]] || options+=(--model "$MODEL")
    [[ -z ${DATASET:-} ]] || options+=(--dataset "$DATASET")
    [[ -z ${ENGINE:-} ]] || options+=(--engine "$ENGINE")
    [[ -z ${WORKERS:-} ]] || options+=(--workers "$WORKERS")
    [[ -z ${TARGET_QPS:-} ]] || options+=(--target-qps "$TARGET_QPS")
    [[ -z ${TARGET_LATENCY_MS:-} ]] || options+=(--target-latency-ms "$TARGET_LATENCY_MS")
    [[ -z ${USER_CONF:-} ]] || options+=(--user-conf "$USER_CONF")
    # with --output among the extra arguments, that one counts
    options+=(--output "${OUTPUT:-$ROOT/runs/$(date +%Y%m%d-%H%M%S)-$scenario-$mode}")
    mlperf_llama run --scenario "$scenario" --mode "$mode" "${options[@]}" "$@"
}
