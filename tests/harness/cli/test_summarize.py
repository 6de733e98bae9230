"""The table of results is readable in every terminal, and in none is a figure cut off."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
import typer
from rich.console import Console

from harness.cli import dispatch
from harness.cli.summarize import print_table
from mlperf_llama_base.errors import UserError
from tests.harness.fake_run import write_run
from tests.harness.submission.real_logs import unpack

ROWS: list[tuple[str, ...]] = [
    ("run", "scenario", "tokens/s", "ROUGE-1"),
    ("offline-performance", "offline", "53,193.60", ""),
    ("server-performance", "server", "45,075.80", ""),
]


def printed(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    print_table(console, ROWS)
    assert console.width == width
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize(("width", "heads"), [(80, ["run", "scenario", "tokens/s"]), (20, ["run", "scenario"])])
def test_a_row_a_run(width: int, heads: list[str]) -> None:
    lines = printed(width)
    assert all(head in lines[1] for head in heads)
    assert [line for line in lines if "offline-performance" in line and "53,193.60" in line]


def test_on_its_side_where_it_is_too_wide() -> None:
    short: list[tuple[str, ...]] = [
        ("run", "scenario", "mode", "tokens/s", "TTFT p99 ms"),
        ("a", "server", "performance", "45,075.80", "1"),
    ]
    console = Console(file=io.StringIO(), width=40)
    print_table(console, short)
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 40
    assert [line for line in lines if "tokens/s" in line and "45,075.80" in line]


@pytest.mark.parametrize("width", [20, 80])
def test_a_column_without_any_figure_is_left_out(width: int) -> None:
    assert "ROUGE-1" not in "\n".join(printed(width))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpack(tmp_path_factory.mktemp("real"))


def summarize(capsys: pytest.CaptureFixture[str], *paths: Path) -> tuple[int, list[str]]:
    """Exit code and lines of the output."""
    try:
        code = int(dispatch(["summarize", *map(str, paths)]) or 0)
    except typer.Exit as ended:
        code = ended.exit_code
    return code, capsys.readouterr().out.splitlines()


def row(lines: list[str], name: str) -> list[str]:
    (line,) = (line for line in lines if line.startswith("│") and name in line)
    return [cell.strip() for cell in line.strip("│").split("│")]


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


@pytest.mark.usefixtures("wide")
def test_a_tree_of_another_harness_s_logs(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = summarize(capsys, real / "base")
    assert code == 0
    assert lines[0] == f"in {real / 'base/closed/ACME/results/SYS_8x/llama3.1-8b'}:"
    assert row(lines, "Interactive/performance/run_1")[:8] == [
        "Interactive/performance/run_1",
        *("interactive", "performance", "VALID", "yes", "not recorded", "998.06", "128,750.00"),
    ]
    accuracy = row(lines, "Server/accuracy")
    assert accuracy[1:6] == ["server", "accuracy", "", "yes", "not recorded"] and accuracy[-4:-2] == ["38.78", "16.19"]
    text = "\n".join(lines)
    assert not any(word in text for word in ("result.json", "killed", "None", "limit", "session.json"))
    assert lines[-1].startswith("not recorded: LoadGen's logs of another harness do not tell model")


@pytest.mark.usefixtures("wide")
def test_all_that_lies_in_a_folder_is_read_or_named(real: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = summarize(capsys, real / "base-edge", real / "endpoints", real / "foreign-multistream")
    assert code == 1
    assert row(lines, "SingleStream/performance/run_1")[1:5] == ["singlestream", "performance", "VALID", "yes"]
    text = "\n".join(lines)
    assert "foreign-multistream: LoadGen ran MultiStream, which this benchmark does not have" in text
    server = real / "endpoints/good/closed/ACME/results/sys1/llama3.1-8b/Server"
    assert f"{server} holds an Endpoints run, not LoadGen's" in text
    with pytest.raises(UserError, match="holds an Endpoints run, not LoadGen's"):
        summarize(capsys, server)


@pytest.mark.usefixtures("wide")
def test_files_of_another_harness_with_our_names(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "deep" / "deeper" / "theirs"
    shutil.copytree(next((real / "base").rglob("Offline/performance/run_1")), run)
    (run / "result.json").write_text('{"scenario": ["Offline"], "tokens": "many"}')
    (run / "config.yaml").write_text("scenario: 7\nmode: fast\n")
    (run / "system.json").write_text("[]")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "config.yaml").write_text("a: b\n")  # of their sources, no run
    code, lines = summarize(capsys, tmp_path)
    assert code == 0
    assert row(lines, str(run))[1:7] == ["offline", "performance", "VALID", "yes", "not recorded", "1,243.49"]
    assert len(list(run.iterdir())) == 5


@pytest.mark.usefixtures("wide")
def test_loadgen_s_verdict_is_the_log_s(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    shutil.copytree(next((real / "base").rglob("Server/performance/run_1")), run)
    for log in run.iterdir():
        log.write_text(log.read_text().replace('"VALID"', '"INVALID"').replace(": VALID", ": INVALID"))
    code, lines = summarize(capsys, run)
    assert code == 1 and "INVALID" in "\n".join(lines)


def test_an_accuracy_text_of_another_log(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A complete log must have the hash that accuracy.txt gives; scores below the targets do not count."""
    run = tmp_path / "run"
    shutil.copytree(next((real / "base").rglob("Server/accuracy")), run)
    text = (run / "accuracy.txt").read_text()
    (run / "accuracy.txt").write_text(text.replace("38.77", "12.34"))
    code, lines = summarize(capsys, run)
    assert code == 1 and "not valid: accuracy: rouge1" in "\n".join(lines)
    (run / "accuracy.txt").write_text(text)
    (run / "mlperf_log_accuracy.json").write_text('[\n{ "seq_id" : 0, "qsl_idx" : 0, "data" : "00000000" }\n]\n')
    code, lines = summarize(capsys, run)
    assert code == 1 and "the scores are of another mlperf_log_accuracy.json" in "\n".join(lines)
    (run / "accuracy.txt").unlink()
    code, lines = summarize(capsys, run)
    assert code == 1 and "the accuracy log is not scored yet" in "\n".join(lines)


def test_runs_at_any_depth_through_a_link_in_a_circle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "a" / "b" / "run", samples=50)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    _, lines = summarize(capsys, tmp_path)
    assert sum(str(run) in line for line in lines if "│" in line) == 1
    with pytest.raises(UserError, match="holds no run"):
        summarize(capsys, _made(tmp_path / "empty"))


def _made(path: Path) -> Path:
    path.mkdir()
    return path
