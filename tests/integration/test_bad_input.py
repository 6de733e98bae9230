"""Whatever a user can get wrong: exit code 2 or 3, one line that says what, where and what to do, and nothing lost."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command import Done, assert_refused, command, mounted, read
from tests.helpers.rows import rows, write_rows
from tests.integration import tiny_model

pytestmark = pytest.mark.timeout(300)

SHORT = ("--set", "loadgen.min_duration_ms=0", "--set", "loadgen.min_query_count=1", "--set", "monitor.enabled=false")
NULL = ("--engine", "null", *SHORT)
ON_CPU = ("--engine", "transformers", "--set", "engine.device=cpu", *SHORT)
SKIPPING = ((), ("--skip-preflight",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("model"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "data.json", prompts())


def prompts(count: int = 16) -> list[dict[str, Any]]:
    """Rows without articles, so that the pre-flight has nothing to re-encode."""
    return [row | {"input": ""} for row in rows(count)]


def with_third(change: Callable[[dict[str, Any]], object]) -> str:
    """The rows, of which that with index 3 was changed."""
    changed = prompts()
    change(changed[3])
    return json.dumps(changed)


def contents(folder: Path) -> dict[Path, str]:
    return {p: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(folder: Path, *arguments: str | Path, words: tuple[str, ...], codes: tuple[int, ...] = (2,)) -> None:
    """``run ARGUMENTS`` into ``folder/run`` is refused with ``words``; every file in ``folder`` stays as it was."""
    before = contents(folder)
    assert_refused(command("run", "--output", folder / "run", *arguments), *words, codes=codes)
    after = contents(folder)
    assert {path: after.get(path) for path in before} == before
    assert not (folder / "run" / "result.json").exists()


# -- data sets ---------------------------------------------------------------------------------------------------------

BAD_DATA: dict[str, tuple[str, tuple[str, ...]]] = {
    "not JSON": ("hello {", ("not JSON", "data prepare")),
    "cut short": (json.dumps(prompts())[:500], ("cut short", "data prepare")),
    "no list": ('{"tok_input": [1]}', ("not a JSON list", "data prepare")),
    "empty file": ("", ("empty file", "data prepare")),
    "empty list": ("[]", ("no samples", "data prepare")),
    "row without ids": (with_third(lambda row: row.pop("tok_input")), ("row 3", "`tok_input`", "list of token ids")),
    "ids no numbers": (with_third(lambda row: row.update(tok_input=["a"])), ("row 3", "tok_input[0]", "token ids")),
    "negative id": (with_third(lambda row: row.update(tok_input=[11, -5])), ("row 3", "tok_input[1]", ">= 0")),
    "id beyond int32": (with_third(lambda row: row.update(tok_input=[2**40])), ("row 3", "tok_input[0]", "2147483647")),
    "id beyond the vocabulary": (
        with_third(lambda row: row.update(tok_input=[11, 200_000])),
        ("row 3", "200000", "beyond the model's vocabulary of 128256", "tokenizer of the model"),
    ),
    "empty prompt": (with_third(lambda row: row.update(tok_input=[])), ("row 3", "prompt is empty", "data prepare")),
}


@pytest.mark.parametrize("skip", SKIPPING, ids=["preflight", "skip"])
@pytest.mark.parametrize("case", BAD_DATA)
def test_a_data_set_that_cannot_be_used(tmp_path: Path, case: str, skip: tuple[str, ...]) -> None:
    content, words = BAD_DATA[case]
    path = tmp_path / "bad.json"
    path.write_text(content)
    refused(tmp_path, *NULL, "--dataset", path, *skip, words=(str(path), *words))


def test_a_data_set_that_is_missing(tmp_path: Path) -> None:
    refused(tmp_path, *NULL, "--dataset", tmp_path / "none.json", words=("none.json", "does not exist", "data prepare"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("skip", SKIPPING, ids=["preflight", "skip"])
def test_a_prompt_longer_than_the_model_takes(tmp_path: Path, model: Path, skip: tuple[str, ...]) -> None:
    path = tmp_path / "long.json"
    path.write_text(with_third(lambda row: row.update(tok_input=[20] * 300)))
    words = (str(path), "row 3", "300 tokens", "takes 128", "context length")
    refused(tmp_path, *ON_CPU, "--model", model, "--dataset", path, *skip, words=words)


def test_duplicates_and_a_wrong_count_run_are_counted_and_cannot_be_submitted(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "data.json", [*prompts(16), *prompts(4)])
    done = command("run", "--output", tmp_path / "run", *NULL, "--dataset", path)
    assert (done.code, done.err) == (0, "")
    assert "data set" in done.out.splitlines()[0]  # warned of before the run, not only after it
    result = read(tmp_path / "run", "result.json")
    assert result["dataset"]["duplicates"] == 4
    assert (result["valid"], result["submittable"], result["samples"]["completed"]) == (True, False, 20)
    for reason in ("data set: 20 samples", "20 samples were issued; the benchmark has 13368"):
        assert any(reason in line for line in result["not_submittable_reasons"]), reason
    assert "not submittable" in done.out


# -- user.conf ---------------------------------------------------------------------------------------------------------

BAD_CONF: dict[str, tuple[str, tuple[str, ...]]] = {
    "trailing comment": ("*.Offline.target_qps = 1.0 # mine\n", ("line 1", "comment after a value", "correct")),
    "no spaces": ("\n*.Offline.target_qps=1.0\n", ("line 2", "spaces are needed around '='", "write it as")),
    "unknown key": ("*.Offline.targt_qps = 1.0\n", ("line 1", "targt_qps", "did you mean 'target_qps'")),
    "unknown model": ("llama3.1-8b.Offline.target_qps = 1\n", ("line 1", "llama3.1-8b", "did you mean 'llama3_1-8b'")),
    "zero": ("*.Offline.target_qps = 0\n", ("target_qps 0", "positive number", "--target-qps")),
}


@pytest.mark.parametrize("case", BAD_CONF)
def test_a_user_conf_with_a_trap(tmp_path: Path, data: Path, case: str) -> None:
    content, words = BAD_CONF[case]
    path = tmp_path / "user.conf"
    path.write_text(content)
    refused(tmp_path, *NULL, "--dataset", data, "--user-conf", path, words=("user.conf", *words))


@pytest.mark.parametrize(
    ("scenario", "content", "words"),
    [
        ("offline", BAD_CONF["trailing comment"][0], ("FromConfig returned", "comment behind a value")),
        ("server", "*.Server.target_qps = 0\n", ("server_target_qps is 0", "--target-qps")),
        ("server", "*.Server.target_qps = inf\n", ("server_target_qps is inf", "at most 1e+06", "--target-qps")),
        (
            "server",
            "*.Server.target_qps = 9e5\n*.*.min_duration = 900000\n",
            ("900000 for 900000 ms",),
        ),
        (
            "offline",
            "*.*.min_duration = 99999999999999999999\n",
            ("min_duration_ms is 184467", "at most"),
        ),
        ("offline", "*.Offline.min_query_count = 999999999999\n", ("min_query_count is 999999999999", "at most")),
    ],
)
def test_what_loadgen_itself_refuses_is_refused_without_preflight(
    tmp_path: Path, data: Path, scenario: str, content: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "user.conf"
    path.write_text(content)
    arguments = ("--engine", "null", "--scenario", scenario, "--dataset", data, "--user-conf", path, "--skip-preflight")
    refused(tmp_path, *arguments, words=(str(path), *words))


def test_a_user_conf_that_is_missing(tmp_path: Path, data: Path) -> None:
    path = tmp_path / "none.conf"
    refused(tmp_path, *NULL, "--dataset", data, "--user-conf", path, words=(str(path), "does not exist", "--user-conf"))
    assert not (tmp_path / "run").exists()


# -- options and profiles ----------------------------------------------------------------------------------------------

PROFILES = {
    "unknown key": ("workers:\n  cout: 2\n", ("'workers.cout'", "did you mean 'workers.count'")),
    "unknown section": ("engin:\n  name: vllm\n", ("'engin'", "did you mean 'engine")),
    "unknown scenario": ("scenarios:\n  ofline: {}\n", ("'ofline'", "did you mean 'offline'")),
    "not YAML": ("a: [", ("not YAML", "line 1")),
    "no mapping": ("- 1\n", ("mapping",)),
}
OPTIONS = {
    "scenario": (("--scenario", "ofline"), ("'ofline'", "'offline', 'server'", "--help")),
    "option": (("--bogus", "1"), ("--bogus", "--help")),
    "infinite rate": (("--target-qps", "inf"), ("loadgen.target_qps", "finite")),
    "infinite time": (("--set", "loadgen.min_duration_ms=99999999999999999999"), ("min_duration_ms", "less than")),
    "infinite heartbeat": (("--set", "workers.heartbeat_s=.inf"), ("workers.heartbeat_s", "finite")),
    "slow heartbeat": (("--set", "workers.heartbeat_s=1e8"), ("workers.heartbeat_s", "less than or equal to 60")),
    "all the workers": (("--workers", "99999999999999999999"), ("workers.count", "less than or equal to 4096")),
    "zero rate": (("--target-qps", "0"), ("loadgen.target_qps", "greater than 0")),
    "no workers": (("--set", "workers.count=0"), ("workers.count", "greater than or equal to 1")),
    "set without value": (("--set", "workers.count"), ("workers.count", "key.path=value")),
    "set of an unknown key": (("--set", "dispatch.polcy=auto"), ("dispatch.polcy", "did you mean 'dispatch.policy'")),
    "profile": (("--profile", "h100"), ("'h100'", "did you mean 'h100-")),
    "engine": (("--engine", "transformer"), ("'transformer'", "did you mean 'transformers'")),
    "engine's argument": (("--engine", "null", "--set", "engine.args.step=1"), ("engine.args.step", "'step_ms'")),
}


@pytest.mark.parametrize("case", PROFILES)
def test_a_profile_with_a_mistake(tmp_path: Path, case: str) -> None:
    content, words = PROFILES[case]
    path = tmp_path / "profile.yaml"
    path.write_text(content)
    refused(tmp_path, "--profile", path, words=words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_with_a_mistake(tmp_path: Path, data: Path, case: str) -> None:
    options, words = OPTIONS[case]
    refused(tmp_path, "--dataset", data, *SHORT, *options, words=words, codes=(2, 3))


# -- model and engine --------------------------------------------------------------------------------------------------


def change_model(case: str, folder: Path) -> None:
    if case == "weights":
        (folder / "model.safetensors").unlink()
    elif case == "cut weights":
        with (folder / "model.safetensors").open("r+b") as file:
            file.truncate(10_000)
    elif case == "config":
        (folder / "config.json").unlink()
    elif case == "tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    elif case == "vocabulary":
        tiny_model.write_tokenizer(folder, 600)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("weights", ("model files", "no weights", "download it again")),
        ("cut weights", ("model.safetensors", "its header says", "copy it again")),
        ("config", ("config.json is missing", "download it again")),
        ("tokenizer", ("no tokenizer in", "scoring needs", "copy tokenizer.json")),
        ("vocabulary", ("tokenizer has 600 ids", "the model 512", "copy the model's own tokenizer")),
    ],
)
def test_a_model_that_is_not_whole(tmp_path: Path, model: Path, data: Path, case: str, words: tuple[str, ...]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    change_model(case, folder)
    refused(tmp_path, *ON_CPU, "--mode", "accuracy", "--model", folder, "--dataset", data, words=words)


@pytest.mark.parametrize(("case", "codes"), [("weights", (2, 3)), ("config", (2,))])
def test_a_model_that_is_not_whole_without_preflight(
    tmp_path: Path, model: Path, data: Path, case: str, codes: tuple[int, ...]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(model, folder)
    change_model(case, folder)
    arguments = (*ON_CPU, "--model", folder, "--dataset", data, "--skip-preflight")
    refused(tmp_path, *arguments, words=(str(folder), "no "), codes=codes)


def test_a_model_folder_that_is_missing(tmp_path: Path, data: Path) -> None:
    folder = tmp_path / "none"
    refused(tmp_path, *ON_CPU, "--model", folder, "--dataset", data, words=(str(folder), "does not exist", "--model"))


def test_a_model_that_is_no_llama_3_1_8b_runs_and_cannot_be_submitted(tmp_path: Path, model: Path, data: Path) -> None:
    done = command("run", "--output", tmp_path / "run", *ON_CPU, "--model", model, "--dataset", data)
    assert (done.code, done.err) == (0, "")
    result = read(tmp_path / "run", "result.json")
    assert (result["valid"], result["submittable"]) == (True, False)
    assert any("is not Llama-3.1-8B-Instruct: hidden_size is 64" in r for r in result["not_submittable_reasons"])
    assert "not submittable" in done.out


@pytest.mark.parametrize("skip", SKIPPING, ids=["preflight", "skip"])
@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is an NVIDIA GPU")
def test_cuda_asked_for_and_absent(tmp_path: Path, model: Path, data: Path, skip: tuple[str, ...]) -> None:
    arguments: tuple[str | Path, ...] = ("--engine", "transformers", *SHORT, "--model", model, "--dataset", data, *skip)
    refused(tmp_path, *arguments, "--set", "engine.device=cuda", words=("engine.device=cpu",), codes=(3,))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed")
def test_an_engine_that_is_not_installed(tmp_path: Path, model: Path, data: Path) -> None:
    arguments = ("--engine", "vllm", *SHORT, "--model", model, "--dataset", data)
    refused(tmp_path, *arguments, words=("'vllm'", "not installed", "mlperf-llama[vllm]"), codes=(3,))
    assert not (tmp_path / "run").exists()


# -- the output directory ----------------------------------------------------------------------------------------------


def test_an_output_directory_that_cannot_be(tmp_path: Path, data: Path) -> None:
    before = contents(tmp_path)
    for output in (data, data / "below"):
        done = command("run", "--output", output, *NULL, "--dataset", data)
        assert_refused(done, str(output), "choose another --output")
    assert contents(tmp_path) == before


def test_a_directory_that_may_not_be_written(tmp_path: Path, data: Path) -> None:
    output = tmp_path / "run"
    output.mkdir()
    output.chmod(0o500)
    with mounted(output, "ro") if os.geteuid() == 0 else nullcontext():  # mode bits do not bind root
        done = command("run", "--output", output, *NULL, "--dataset", data)
    assert_refused(done, str(output), "cannot be written", "choose another --output")


def test_a_directory_that_is_not_empty(tmp_path: Path, data: Path) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "thesis.tex").write_text("years of work")
    run = (*NULL, "--dataset", data)
    refused(tmp_path, *run, words=(str(output), "not empty", "--overwrite"))
    refused(tmp_path, *run, "--overwrite", words=(str(output), "not one of our runs", "choose another"))
    (output / "config.yaml").write_text("logging: verbose\n")  # a common name makes no run
    refused(tmp_path, *run, "--overwrite", words=(str(output), "not one of our runs", "choose another"))


def test_only_a_run_is_overwritten_and_only_when_asked(tmp_path: Path, data: Path) -> None:
    output = tmp_path / "run"
    run = ("run", "--output", output, *NULL, "--dataset", data)
    assert command(*run).code == 0
    before = contents(tmp_path)
    assert_refused(command(*run), str(output), "not empty", "--overwrite")
    (output / "notes.txt").write_text("mine")
    assert_refused(command(*run, "--overwrite"), "notes.txt", "no run wrote")
    (output / "notes.txt").unlink()
    conf = output / "user.conf"
    assert_refused(command(*run, "--overwrite", "--user-conf", conf), str(conf), "needs", "choose another --output")
    assert contents(tmp_path) == before
    assert command(*run, "--overwrite").code == 0
    assert contents(output) != {p: d for p, d in before.items() if output in p.parents}


def test_an_attempt_that_never_started_does_not_bar_the_next(tmp_path: Path, data: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    refused(tmp_path, *NULL, "--dataset", bad, words=("no samples",))
    assert command("run", "--output", tmp_path / "run", *NULL, "--dataset", data).code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mounts a small file system")
@pytest.mark.parametrize("size", ["32k", "512k"])
def test_a_disk_that_is_full_while_logging(tmp_path: Path, model: Path, size: str) -> None:
    path = write_rows(tmp_path / "data.json", prompts(800))
    arguments = (
        "--engine",
        "null",
        *SHORT[:4],
        "--set",
        f"engine.args.eos_token_id={tiny_model.EOS}",
        "--mode",
        "accuracy",
        "--model",
        model,
        "--dataset",
        path,
    )
    (tmp_path / "run").mkdir()
    with mounted(tmp_path / "run", f"size={size}"):
        refused(tmp_path, *arguments, words=("free space there", "--output"), codes=(3,))
        done = command("run", "--output", tmp_path / "run", *arguments, "--skip-preflight")
        assert_refused(done, "free space", str(tmp_path / "run"), codes=(3,), warnings=1)  # metrics stopped
        assert "VALID" not in done.out and not (tmp_path / "run" / "result.json").exists()


# -- accuracy logs -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[Path]:
    """An accuracy run of 16 samples, scored."""
    folder = tmp_path_factory.mktemp("scored")
    write_rows(folder / "data.json", prompts())
    arguments = (*NULL, "--set", f"engine.args.eos_token_id={tiny_model.EOS}", "--mode", "accuracy", "--model", model)
    done = command("run", "--output", folder / "run", *arguments, "--dataset", folder / "data.json")
    assert done.code == 0, done.err
    yield folder


def test_an_accuracy_log_that_is_not_the_runs(tmp_path: Path, scored: Path) -> None:
    run, whole = scored / "run", (scored / "run" / "mlperf_log_accuracy.json").read_text()
    before = contents(scored)

    def score(*options: str | Path) -> Done:
        done = command("accuracy", run, *options)
        assert contents(scored) == before  # neither scores nor log were touched
        return done

    cut = tmp_path / "cut.json"
    cut.write_text(whole[: len(whole) // 2])
    assert_refused(score("--log", cut), str(cut), "cut off in the middle", "use the complete log", codes=(2,))
    lines = whole.splitlines(keepends=True)
    cut.write_text("".join(lines[:5]))
    assert_refused(score("--log", cut), str(cut), "cut off after 4 complete samples", codes=(2,))
    cut.write_text("")
    assert_refused(score("--log", cut), str(cut), "empty", "run it again", codes=(2,))
    other = tmp_path / "other.json"
    other.write_text(whole.replace('"qsl_idx" : 3,', '"qsl_idx" : 33,'))
    assert "33" in other.read_text()
    assert_refused(score("--log", other), "sample 33", "another data set", "--dataset", codes=(2,))
    rows_ = write_rows(tmp_path / "rows.json", rows(16, seed=5))
    assert_refused(score("--dataset", rows_), str(rows_), "not the one that ran", "--dataset", codes=(2,))
    assert command("accuracy", run).code == 0
