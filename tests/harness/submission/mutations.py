"""Ways to spoil a submission. ``rule``: one that the checker must name; the traps are those of LoadGen's
configuration, of its threads and waits, of the official checker's blind spots, of accuracy.txt and of the system
description.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.loadgen.log import ACCURACY, DETAIL, SUMMARY
from tests.harness.submission import figures
from tests.harness.submission.runs import add_message, edit_log
from tests.harness.submission.spoil import (
    Spoiler,
    audited,
    empty_source,
    hash_of_short,
    ids,
    in_readme,
    interactive_as_scenario,
    large,
    other_test,
    second_configuration,
    short_offline,
    two_logs,
    whole_outputs,
)

TTFT, TPOT = "result_first_token_99.00_percentile_latency_ns", "result_time_per_output_token_99.00_percentile_ns"
MS = 1_000_000


@dataclass(frozen=True)
class Mutation:
    """``what`` went wrong, for people; the ``rule`` that finds it; ``apply`` does it."""

    group: str
    what: str
    rule: str
    apply: Callable[[Spoiler], object]

    @property
    def name(self) -> str:
        return f"{self.group}: {self.what}"


def _group(group: str, *rows: tuple[str, str, Callable[[Spoiler], object]]) -> tuple[Mutation, ...]:
    return tuple(Mutation(group, *row) for row in rows)


USER_CONF = _group(
    "user.conf",
    ("is missing", "user-conf.file", lambda s: (s.scenario("Server") / "user.conf").unlink()),
    ("is empty", "user-conf.file", lambda s: s.conf("")),
    ("a comment behind a value", "user-conf.syntax", lambda s: s.conf("*.Server.target_qps = 20.57 # measured\n")),
    ("no spaces around =", "user-conf.ignored", lambda s: s.conf("*.Server.target_qps=20.57\n")),
    ("a misspelt key", "user-conf.ignored", lambda s: s.add_conf("*.Server.target_qsp = 21\n")),
    (
        "a scenario 'Interactive'",
        "user-conf.ignored",
        lambda s: s.add_conf("*.Interactive.target_qps = 9\n", "Interactive"),
    ),
    ("a fraction for an integer", "user-conf.syntax", lambda s: s.add_conf("*.Server.max_duration = 900000.5\n")),
    ("a looser TTFT limit", "user-conf.syntax", lambda s: s.add_conf("*.Server.ttft_latency = 5000\n")),
    ("seeds, which have no effect there", "user-conf.surprise", lambda s: s.add_conf("*.*.qsl_rng_seed = 7\n")),
    ("min_duration of 120 s", "user-conf.rules", lambda s: s.add_conf("*.Server.min_duration = 120000\n")),
    (
        "*.Server.min_duration wins over the model's line",
        "user-conf.rules",
        lambda s: s.add_conf("llama3_1-8b.*.min_duration = 600000\n*.Server.min_duration = 60000\n"),
    ),
    ("equal issue off", "user-conf.rules", lambda s: s.add_conf("*.*.sample_concatenate_permutation = 0\n")),
    ("is another run's", "user-conf.same", lambda s: s.conf("*.Server.target_qps = 500\n")),
    ("sets no rate", "user-conf.rate", lambda s: s.conf("*.Server.min_duration = 600000\n")),
    ("queries coalesced", "user-conf.same", lambda s: s.add_conf("*.Server.coalesce_queries = 1\n")),
    (
        "queries at a time limited",
        "user-conf.same",
        lambda s: s.add_conf("*.Server.max_async_queries = 7\n"),
    ),
    (
        "was not found by LoadGen: the run had target_qps 1",
        "user-conf.same",
        lambda s: s.set({"requested_server_target_qps": 1, "effective_target_qps": 1}),
    ),
)
LOADGEN = _group(
    "LoadGen settings",
    ("configured twice in one process", "performance.seeds", second_configuration),
    ("another sample seed", "performance.seeds", lambda s: s.set({"effective_sample_index_rng_seed": 1})),
    ("scenario string 'Interactive'", "validity.limits", interactive_as_scenario),
    ("min_duration 10 s", "performance.min-duration", lambda s: s.set({"effective_min_duration_ms": 10_000})),
    (
        "Interactive judged by Server's limits",
        "validity.limits",
        lambda s: s.set(
            {"requested_server_ttft_latency": 2000 * MS, "requested_server_tpot_latency": 100 * MS}, "Interactive"
        ),
    ),
    ("TTFT limit raised to 5 s", "validity.limits", lambda s: s.set({"requested_server_ttft_latency": 5000 * MS})),
    (
        "a tighter TTFT limit",
        "validity.own-limits",
        lambda s: s.set({"requested_server_ttft_latency": 400 * MS}, "Interactive"),
    ),
    ("token latencies off", "performance.token-latencies", lambda s: s.set({"requested_use_token_latencies": False})),
    (
        "1,000 samples loaded",
        "performance.sample-count",
        lambda s: s.set({"effective_performance_sample_count": 1000}),
    ),
    (
        "target latency 30 s",
        "performance.target-latency",
        lambda s: s.set({"effective_target_latency_ns": 30_000 * MS}),
    ),
    (
        "equal issue off",
        "validity.equal-issue",
        lambda s: s.set({"effective_sample_concatenate_permutation": False}),
    ),
    ("90th percentile in Server", "validity.percentile", lambda s: s.set({"effective_target_latency_percentile": 0.9})),
    ("the same sample again and again", "validity.issue", lambda s: s.set({"effective_performance_issue_same": True})),
    ("LoadGen of v5.1", "validity.loadgen", lambda s: s.set({"loadgen_version": "5.1.3 @ 0123456789"})),
    ("altered LoadGen", "validity.altered", lambda s: s.set({"loadgen_git_status_message": " M logging.cc"})),
)
PERFORMANCE = _group(
    "performance run",
    ("INVALID: Offline over in 30 s", "validity.duration", short_offline),
    (
        "INVALID: latency limits missed",
        "validity.verdict",
        lambda s: s.set({"result_validity": "INVALID", "result_perf_constraints_met": False}),
    ),
    (
        "Offline of 5,000 samples",
        "performance.offline-samples",
        lambda s: s.set({"effective_samples_per_query": 5000}, "Offline"),
    ),
    (
        "Offline of 14,000 samples, no multiple of the data set",
        "validity.whole-rounds",
        lambda s: s.set({"generated_samples_per_query": 14_000, "effective_samples_per_query": 14_000}, "Offline"),
    ),
    ("early stopping not met", "performance.early-stopping", lambda s: s.set({"early_stopping_met": False})),
    ("Server: TTFT p99 2.3 s", "performance.latency", lambda s: s.set({TTFT: 2300 * MS})),
    ("Server: TPOT p99 120 ms", "performance.latency", lambda s: s.set({TPOT: 120 * MS})),
    ("Interactive: TTFT p99 1.5 s", "performance.latency", lambda s: s.set({TTFT: 1500 * MS}, "Interactive")),
    ("Interactive: TPOT p99 60 ms", "performance.latency", lambda s: s.set({TPOT: 60 * MS}, "Interactive")),
    (
        "Server's run filed under Interactive",
        "consistency.own-run",
        lambda s: s.move(s.scenario("Server"), s.scenario("Interactive")),
    ),
    (
        "Offline's log filed under Server",
        "log.scenario",
        lambda s: s.move(s.log("Offline").parent, s.log("Server").parent),
    ),
    ("error: sample completed twice", "log.errors", lambda s: s.error("QuerySampleComplete called twice")),
    ("error: n_tokens missing", "log.errors", lambda s: s.error("n_tokens argument missing or wrong")),
    (
        "error: one-token answers",
        "log.errors",
        lambda s: s.error("Number of tokens need to be greater than 1"),
    ),
    (
        "error: first token from another thread",
        "log.errors",
        lambda s: s.error("Attempted to record a sample latency before it's first token latency"),
    ),
    ("error: stopped by max_async_queries", "log.errors", lambda s: s.error("Ending early: Max async queries")),
    ("error: clocks drift", "log.errors", lambda s: s.error("PerfClock and WallClock differ by 1.5%")),
    (
        "time per output token overflowed",
        "validity.token-counts",
        lambda s: s.set({"result_time_per_output_token_50.00_percentile_ns": 18446744073709551000}),
    ),
    ("fewer queries judged than issued", "validity.answers", lambda s: s.set({"result_query_count": 13000})),
    (
        "a line is missing",
        "results.keys",
        lambda s: edit_log(s.log(), {}, drop=frozenset({"result_completed_samples_per_sec"})),
    ),
    (
        "SingleStream without its estimate",
        "results.keys",
        lambda s: edit_log(s.log("edge-SingleStream"), {"early_stopping_latency_ss": "none"}),
    ),
    ("tokens/s made up", "results.figures", lambda s: s.set({"result_completed_tokens_per_second": 30_000})),
    ("p99 below p50", "results.order", lambda s: s.set({TTFT: 1})),
    (
        "a byte that is not UTF-8",
        "log.complete",
        lambda s: s.log().write_bytes(s.log().read_bytes().replace(b"sut_name", b"sut_nam\xff", 1)),
    ),
    (
        "an empty line before the first",
        "log.complete",
        lambda s: s.log().write_bytes(b"\n" + s.log().read_bytes()),
    ),
    ("no result", "performance.metric", lambda s: s.set({"result_completed_tokens_per_second": 0})),
    ("killed: the log ends in the middle", "log.complete", lambda s: s.cut(s.log())),
    ("hung and killed: the log is empty", "structure.files", lambda s: s.log().write_text("")),
    ("the log is missing", "structure.files", lambda s: s.log().unlink()),
    (
        "a damaged line",
        "log.complete",
        lambda s: s.log().write_text(s.log().read_text().replace('"key": "sut_name"', '"key": sut_name')),
    ),
    (
        "a bit flipped in a line's metadata",
        "log.complete",
        lambda s: s.log().write_text(s.log().read_text().replace('"is_error"', '"is_erroz"', 1)),
    ),
    ("an INVALID and a VALID log in one file", "log.one-run", two_logs),
    ("audit.config in the working directory", "log.audit", audited),
    ("is the accuracy run's log", "log.mode", lambda s: s.move(s.accuracy() / DETAIL, s.log())),
    ("the summary is missing", "structure.files", lambda s: s.log().with_name(SUMMARY).unlink()),
    (
        "the summary is another run's",
        "log.summary",
        lambda s: s.move(s.log("Interactive").with_name(SUMMARY), s.log().with_name(SUMMARY)),
    ),
    (
        "a second run beside run_1",
        "structure.runs",
        lambda s: s.move(s.log().parent, s.log().parent.with_name("run_2")),
    ),
)
ACCURACY_RUN = _group(
    "accuracy run",
    (
        "an error in the log",
        "log.errors",
        lambda s: add_message(s.accuracy() / DETAIL, "QuerySampleComplete called twice", error=True),
    ),
    (
        "5,000 of 13,368 samples",
        "accuracy.data-set",
        lambda s: edit_log(s.accuracy() / DETAIL, {"effective_accuracy_sample_count": 5000}),
    ),
    (
        "500 queries were generated",
        "accuracy.data-set",
        lambda s: edit_log(s.accuracy() / DETAIL, {"generated_query_count": 500}),
    ),
    ("is the performance run's log", "log.mode", lambda s: s.move(s.log(), s.accuracy() / DETAIL)),
    ("killed: the log ends in the middle", "log.complete", lambda s: s.cut(s.accuracy() / DETAIL)),
    (
        "is another scenario's log",
        "accuracy.same-code",
        lambda s: s.move(s.accuracy("Offline") / DETAIL, s.accuracy() / DETAIL),
    ),
    ("the log is missing", "structure.files", lambda s: (s.accuracy() / DETAIL).unlink()),
    ("the summary was cut off", "log.summary", lambda s: s.cut(s.accuracy() / SUMMARY)),
    ("accuracy.txt is missing", "structure.files", lambda s: (s.accuracy() / "accuracy.txt").unlink()),
    ("no hash", "accuracy.hash", lambda s: s.scores(r"^hash=.*\n", "")),
    ("a hash that is none", "accuracy.hash", lambda s: s.scores(r"^hash=.*$", "hash=to_be_done")),
    ("another log's hash", "accuracy.hash", lambda s: s.scores(r"^hash=.*$", f"hash={'0' * 64}")),
    ("the outputs were not shortened", "accuracy.truncated", whole_outputs),
    ("the outputs are missing", "structure.files", lambda s: (s.accuracy() / ACCURACY).unlink()),
    (
        "the outputs are a performance run's",
        "accuracy.truncated",
        lambda s: (s.accuracy() / ACCURACY).write_text("[\n]\n"),
    ),
    ("hashed after shortening", "accuracy.hash", hash_of_short),
    ("rouge2 below the target", "accuracy.targets", lambda s: s.scores(r"'rouge2': '[\d.]+'", "'rouge2': '15.74'")),
    ("ROUGE of 3,880", "accuracy.possible", lambda s: s.scores(r"'rouge1': '[\d.]+'", "'rouge1': '3880.0'")),
    ("the shortened outputs are others", "accuracy.hash", lambda s: other_outputs(s.accuracy() / ACCURACY)),
    ("outputs too long", "accuracy.targets", lambda s: s.scores(r"'gen_len': \d+", "'gen_len': 8984500")),
    ("outputs too short", "accuracy.targets", lambda s: s.scores(r"'gen_len': \d+", "'gen_len': 7350000")),
    ("a score with two points", "accuracy.scores", lambda s: s.scores(r"'rouge1': '[\d.]+'", "'rouge1': '38.7.8'")),
    ("double quotes (json.dumps)", "accuracy.scores", lambda s: s.scores("'", '"')),
    (
        "np.int64(...) for gen_len",
        "accuracy.scores",
        lambda s: s.scores(r"'gen_len': (\d+)", r"'gen_len': np.int64(\1)"),
    ),
    (
        "a byte that is not UTF-8 in accuracy.txt",
        "accuracy.scores",
        lambda s: (s.accuracy() / "accuracy.txt").write_bytes((s.accuracy() / "accuracy.txt").read_bytes() + b"\xff\n"),
    ),
    ("two lines of results", "accuracy.scores", lambda s: s.scores(r"^(\{.*\})$", r"\1\n\1")),
    ("one sample was not scored", "accuracy.count", lambda s: s.scores(r"'gen_num': \d+", "'gen_num': 13367")),
)
SYSTEM = _group(
    "system description",
    ("is missing", "system.file", lambda s: s.system.unlink()),
    ("is no JSON", "system.file", lambda s: s.cut(s.system, 0.7)),
    ("holds no field", "system.file", lambda s: s.system.write_text("{}\n")),
    ("half of a surrogate pair", "system.file", lambda s: s.describe({"accelerator_model_name": "\ud83d"})),
    ("a field is missing", "system.fields", lambda s: s.describe({}, drop="cooling")),
    ("a field is empty", "system.fields", lambda s: s.describe({"host_networking": ""})),
    ("a blank is left", "system.blanks", lambda s: s.describe({"cooling": "FILL IN: air-cooled, ..."})),
    ("an answer is TBD", "system.blanks", lambda s: s.describe({"cooling": "TBD"})),
    ("no accelerators, but a GPU's name", "system.accelerators", lambda s: s.describe({"accelerators_per_node": "0"})),
    ("accelerators_per_node is the number 0", "system.fields", lambda s: s.describe({"accelerators_per_node": 0})),
    ("number_of_nodes is 'N/A'", "system.counts", lambda s: s.describe({"number_of_nodes": "N/A"})),
    ("sw_notes is a list", "system.notes", lambda s: s.describe({"sw_notes": ["vLLM", "CUDA"]})),
    ("is_network 'false'", "system.network", lambda s: s.describe({"is_network": "false"})),
    ("is_network false", "system.network", lambda s: s.describe({"is_network": False})),
    ("is_network 'true' in closed", "system.network", lambda s: s.describe({"is_network": "true"})),
    ("status 'released'", "system.status", lambda s: s.describe({"status": "released"})),
    ("system_type 'cloud'", "system.type", lambda s: s.describe({"system_type": "cloud"})),
    ("another submitter", "system.owner", lambda s: s.describe({"submitter": "Initech"})),
    ("another division", "system.owner", lambda s: s.describe({"division": "open"})),
    ("ECC off", "system.ecc", lambda s: s.describe({"hw_notes": "ECC off"})),
)
DESCRIPTION = _group(
    "measurements and documents",
    (
        "measurements.json is missing",
        "measurements.file",
        lambda s: (s.scenario("Server") / "measurements.json").unlink(),
    ),
    ("retraining is false, not 'No'", "measurements.fields", lambda s: s.measure({"retraining": False})),
    ("weight_data_types is empty", "measurements.fields", lambda s: s.measure({"weight_data_types": ""})),
    ("a field is missing", "measurements.fields", lambda s: s.measure({}, drop="input_data_types")),
    ("the weights were retrained", "measurements.retraining", lambda s: s.measure({"retraining": "Yes, 1 epoch"})),
    (
        "Llama 2 as starting weights",
        "measurements.weights",
        lambda s: s.measure({"starting_weights_filename": "Llama-2-7b-chat-hf"}),
    ),
    ("README.md is missing", "measurements.readme", lambda s: (s.scenario("Server") / "README.md").unlink()),
    ("README.md holds nothing", "measurements.readme", lambda s: (s.scenario("Server") / "README.md").write_text("\n")),
    (
        "quantised, but no calibration document",
        "documentation.calibration",
        lambda s: (s.submitter / "documentation" / "calibration.md").unlink(),
    ),
    (
        "quantised, and the calibration document holds nothing",
        "documentation.calibration",
        lambda s: (s.submitter / "documentation" / "calibration.md").write_text("\n"),
    ),
)
STRUCTURE = _group(
    "structure",
    ("src/ is missing", "structure.src", lambda s: shutil.rmtree(s.submitter / "src")),
    ("src/ is empty", "structure.src", empty_source),
    ("code/ instead of src/", "structure.src", lambda s: (s.submitter / "src").rename(s.submitter / "code")),
    ("Offline is missing", "structure.scenarios", lambda s: shutil.rmtree(s.scenario("Offline"))),
    (
        "neither Server nor Interactive",
        "structure.scenarios",
        lambda s: [s.scenario(name).rename(s.root / name) for name in ("Server", "Interactive")],
    ),
    (
        "a directory SERVER",
        "structure.scenario-name",
        lambda s: s.scenario("Server").rename(s.benchmark / "SERVER"),
    ),
    (
        "directory Llama3.1-8B beside it",
        "structure.benchmark-name",
        lambda s: s.move(s.benchmark, s.benchmark.with_name("Llama3.1-8B")),
    ),
    ("a directory that is no benchmark", "structure.benchmark-name", lambda s: (s.benchmark.parent / "logs").mkdir()),
    (
        "a benchmark of an earlier round",
        "structure.benchmark-name",
        lambda s: (s.benchmark.parent / "llama2-70b-99" / "Offline").mkdir(parents=True),
    ),
    ("another compliance test, damaged", "structure.other-tests", other_test),
    ("a directory that is no scenario", "structure.scenarios", lambda s: (s.benchmark / "old_runs").mkdir()),
    (
        "SingleStream in datacenter",
        "structure.scenarios",
        lambda s: s.move(s.scenario("edge-SingleStream"), s.benchmark / "SingleStream"),
    ),
    (
        "directory llama3_1-8b-interactive",
        "structure.benchmark-name",
        lambda s: s.benchmark.rename(s.benchmark.with_name("llama3_1-8b-interactive")),
    ),
    ("llama3.1-8b on an edge system", "structure.system-type", lambda s: s.describe({"system_type": "edge"})),
    (
        "llama3.1-8b-edge on a datacenter system",
        "structure.system-type",
        lambda s: s.mapping(s.submitter / "systems" / "acme_edge.json", {"system_type": "datacenter"}),
    ),
    ("edge without SingleStream", "structure.scenarios", lambda s: shutil.rmtree(s.scenario("edge-SingleStream"))),
    (
        "edge Offline of 4,000 samples",
        "performance.offline-samples",
        lambda s: s.set({"effective_samples_per_query": 4000}, "edge-Offline"),
    ),
    ("edge without TEST06", "test06.edge", lambda s: shutil.rmtree(s.test06("edge-Offline"))),
    ("a symbolic link", "structure.repository", lambda s: (s.submitter / "src" / "link").symlink_to("sut.py")),
    ("a directory Open", "structure.division", lambda s: (s.root / "tree" / "Open" / "ACME").mkdir(parents=True)),
    ("a file nohup.out", "structure.leftovers", lambda s: (s.submitter / "results" / "nohup.out").write_text("x")),
    (
        "the performance run's complete outputs",
        "structure.leftovers",
        lambda s: s.log().with_name(ACCURACY).write_text("[\n" + 2000 * "{},\n" + "]\n" + 6000 * " "),
    ),
    ("a hidden file", "structure.hidden", lambda s: (s.submitter / "src" / ".DS_Store").write_text("x")),
    ("a space in a file name", "structure.repository", lambda s: (s.submitter / "src" / "my notes.md").write_text("x")),
    ("a file of 60 MB", "structure.repository", large),
    ("a directory beside results/", "structure.extra", lambda s: (s.submitter / "calibration").mkdir()),
    (
        "a system without results",
        "structure.systems",
        lambda s: s.move(s.system, s.system.with_name("acme_16x.json")),
    ),
    (
        "a nameplate that is no YAML",
        "system.power-file",
        lambda s: s.system.with_name("acme_8x_power.yaml").write_text("psus: ["),
    ),
    ("power measured, files missing", "power.files", lambda s: (s.log().parents[1] / "power").mkdir()),
)
TEST06 = _group(
    "TEST06",
    ("is missing", "test06.files", lambda s: shutil.rmtree(s.test06())),
    ("the verdict is missing", "test06.files", lambda s: (s.test06() / "verify_accuracy.txt").unlink()),
    ("the outputs are missing", "test06.files", lambda s: (s.test06() / "accuracy" / ACCURACY).unlink()),
    ("EOS check failed", "test06.verdict", lambda s: s.verdict("EOS check pass: True", "EOS check pass: False")),
    (
        "first token check skipped in Server",
        "test06.verdict",
        lambda s: s.verdict("First token check pass: True", "First token check pass: Skipped"),
    ),
    (
        "three end tokens, passed all the same",
        "test06.outputs",
        lambda s: s.outputs(
            lambda e: e[3].update(data=ids(5, 128009, 128009, 128009), token_count=4, token_data=ids(5))
        ),
    ),
    ("another first token", "test06.outputs", lambda s: s.outputs(lambda e: e[3].update(token_data=ids(1)))),
    ("no first token", "test06.outputs", lambda s: s.outputs(lambda e: e[3].update(token_data=""))),
    ("more tokens than reported", "test06.outputs", lambda s: s.outputs(lambda e: e[3].update(token_count=2))),
    (
        "129 tokens",
        "outputs.length",
        lambda s: s.outputs(lambda e: e[3].update(data=ids(*[5] * 129), token_count=129, token_data=ids(5))),
    ),
    (
        "tokens after an end token",
        "outputs.end-token",
        lambda s: s.outputs(lambda e: e[3].update(data=ids(5, 128009, 7), token_count=3, token_data=ids(5))),
    ),
    (
        "a token id of no vocabulary",
        "outputs.vocabulary",
        lambda s: s.outputs(lambda e: e[3].update(data=ids(5, 900_000), token_count=2, token_data=ids(5))),
    ),
    (
        "a negative token id",
        "outputs.vocabulary",
        lambda s: s.outputs(lambda e: e[3].update(data=ids(5, -7), token_count=2, token_data=ids(5))),
    ),
    ("a sample beyond the data set", "outputs.samples", lambda s: s.outputs(lambda e: e[3].update(qsl_idx=99_999))),
    (
        "one sample a hundred times",
        "outputs.samples",
        lambda s: s.outputs(lambda e: [dict(e[0], seq_id=i) for i in range(100)]),
    ),
    (
        "copied from Interactive",
        "consistency.own-run",
        lambda s: s.move(s.test06("Interactive") / "performance", s.test06() / "performance"),
    ),
    (
        "the verdict says both",
        "test06.verdict",
        lambda s: s.verdict("EOS check pass: True", "EOS check pass: True\nEOS check pass: False"),
    ),
    (
        "a byte that is not UTF-8 in the verdict",
        "test06.verdict",
        lambda s: (s.test06() / "verify_accuracy.txt").write_bytes(
            (s.test06() / "verify_accuracy.txt").read_bytes() + b"\xff\n"
        ),
    ),
    ("99 samples", "test06.outputs", lambda s: s.outputs(lambda e: e[:-1])),
    ("shortened outputs", "test06.outputs", lambda s: s.cut(s.test06() / "accuracy" / ACCURACY, 0.3)),
    (
        "Offline's outputs in Server",
        "test06.outputs",
        lambda s: s.move(s.test06("Offline") / "accuracy" / ACCURACY, s.test06() / "accuracy" / ACCURACY),
    ),
    (
        "the summary is no summary",
        "log.summary",
        lambda s: s.move(s.system, s.test06() / "performance/run_1" / SUMMARY),
    ),
    (
        "a run of another system",
        "test06.same-code",
        lambda s: edit_log(s.test06() / "performance" / "run_1" / DETAIL, {"sut_name": "another"}),
    ),
    (
        "LoadGen did not read audit.config",
        "test06.settings",
        lambda s: s.move(s.log(), s.test06() / "performance" / "run_1" / DETAIL),
    ),
)
PRIVACY = _group(
    "privacy",
    (
        "a Hugging Face token in README.md",
        "privacy.secrets",
        lambda s: in_readme(s, "HF_TOKEN=hf_abcDEF0123456789abcDEF"),
    ),
    ("a password in a configuration", "privacy.secrets", lambda s: in_readme(s, "password: hunter2hunter2")),
    ("a home directory", "privacy.identity", lambda s: in_readme(s, "--model /home/erika/models/llama")),
    ("an address of the cluster", "privacy.identity", lambda s: in_readme(s, "--cluster 10.20.30.40:6379")),
)


def other_outputs(path: Path) -> None:
    """One digit of the shortened log is another; its length and its ends are as they were."""
    text = path.read_text()
    at = text.index('"data" : "') + len('"data" : "')
    path.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])


FIGURES = _group("figures and times", *figures.FIGURES)
MUTATIONS = (
    USER_CONF + LOADGEN + PERFORMANCE + FIGURES + ACCURACY_RUN + SYSTEM + DESCRIPTION + STRUCTURE + TEST06 + PRIVACY
)
