#!/usr/bin/env bash
# From a checkpoint to quantised ones on any machine: calibrate the demo model with each scheme on 12 of its 36 articles,
# answer the other 24 with each and with the checkpoint itself, and print their ROUGE scores side by side. What is there
# already is not made again.
#
# Usage: scripts/calibrate_demo.sh [DIR] [OPTION of 'mlperf-llama run']...
#   DIR          where models and runs go (default: runs/calibrate-demo)
#
# Environment variables (all optional):
#   CALIBRATE_VENV   environment with llm-compressor (default: .venv-calibrate, which scripts/test.sh makes)
#   ENGINE_VENV      environment of the engine that answers (default: CALIBRATE_VENV; its transformers reads the models)
#   SCHEMES          of fp8, w8a8 and w4a16, those wanted (default: all)
# scripts/common.sh lists those that concern the installation.

set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname -- "$(realpath -- "${BASH_SOURCE[0]}")")/common.sh"
help_if_asked "$@"

dir=$ROOT/runs/calibrate-demo
if [[ $# -gt 0 && $1 != -* ]]; then
    dir=$1
    shift
fi
calibrate=${CALIBRATE_VENV:-$ROOT/.venv-calibrate}/bin/python
engine=${ENGINE_VENV:-${CALIBRATE_VENV:-$ROOT/.venv-calibrate}}/bin/python
read -ra schemes <<<"${SCHEMES:-fp8 w8a8 w4a16}"

ensure_environment
"$calibrate" -c 'import llmcompressor' 2>/dev/null ||
    die 3 "$calibrate has no llm-compressor: python3 -m venv .venv-calibrate && .venv-calibrate/bin/pip install -c constraints-calibrate.txt '.[calibrate]'"
mkdir -p -- "$dir"
model=$("$VENV/bin/python" - "$dir" <<'END'
import json
import sys
from pathlib import Path

from harness.demo import demo_dataset, demo_model

folder, rows = Path(sys.argv[1]), json.loads(demo_dataset().read_text(encoding="utf-8"))
for name, part in (("evaluation", rows[:24]), ("calibration", rows[24:])):
    (folder / f"{name}.json").write_text(json.dumps(part), encoding="utf-8")
print(demo_model())
END
)
cd -- "$dir"

# answer NAME MODEL [OPTION...]: an accuracy run of the 24 articles
answer() {
    [[ ! -f runs/$1/accuracy.json ]] || return 0
    "$engine" -m harness run --scenario offline --mode accuracy --profile cpu-demo --model "$2" --dataset evaluation.json \
        --output "runs/$1" --overwrite "${@:3}"
}

answer unquantised "$model" "$@"
for scheme in "${schemes[@]}"; do
    [[ -d demo-$scheme ]] || "$calibrate" -m harness calibrate --model "$model" --scheme "$scheme" \
        --calibration calibration.json --evaluation evaluation.json --device cpu --output "demo-$scheme"
    answer "$scheme" "demo-$scheme" "$@"
done
"$VENV/bin/python" - unquantised "${schemes[@]}" <<'END'
import json
import sys
from pathlib import Path

names = ("rouge1", "rouge2", "rougeL", "rougeLsum", "tokens_mean")
print("| scheme | weights | KV cache | ROUGE-1 | ROUGE-2 | ROUGE-L | ROUGE-Lsum | tokens an answer | same answers |")
print("|---" * 9 + "|")
answers = {}
for scheme in sys.argv[1:]:
    run = Path("runs") / scheme
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    log = json.loads((run / "mlperf_log_accuracy.json").read_text(encoding="utf-8"))
    answers[scheme] = {row["qsl_idx"]: row["data"] for row in log}
    same = sum(answers[scheme][index] == data for index, data in answers[sys.argv[1]].items())
    scores = " | ".join(f"{result['accuracy'][name]:.2f}" for name in names)
    engine = result["engine"]
    print(f"| {scheme} | {engine['weight_dtype']} | {engine['kv_cache_dtype']} | {scores} | {same} of {len(log)} |")
END
