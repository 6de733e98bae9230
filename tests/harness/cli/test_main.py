"""The command line before any command runs: help without heavy imports, and errors as exit codes and one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from harness import __version__, cli
from mlperf_llama_base.errors import EnvironmentFault, HarnessError, RunError, UserError

ROOT = Path(__file__).resolve().parents[3]
HEAVY = {
    "torch",
    "transformers",
    "vllm",
    "ray",
    "pyarrow",
    "pandas",
    "datasets",
    "evaluate",
    "nltk",
    "matplotlib",
    "mlperf_loadgen",
    "numpy",
    "optuna",
    "jinja2",
    "zmq",
}
AVAILABLE = sorted(c for c in cli.COMMANDS if (Path(cli.__file__).parent / f"{c}.py").is_file())


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of ``main`` with these arguments."""
    monkeypatch.setattr(sys, "argv", ["mlperf-llama", *argv])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def modules_after(*argv: str) -> set[str]:
    """The top-level modules that a fresh process has imported once the command line ``argv`` has ended."""
    code = (
        "import json, sys\nsys.argv = ['mlperf-llama', *json.loads(sys.argv[1])]\n"
        "from harness.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    call = [sys.executable, "-c", code, json.dumps(argv)]
    done = subprocess.run(call, capture_output=True, text=True, cwd=ROOT, check=True, timeout=120)
    assert done.stdout, done.stderr
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize("argv", [("--help",), ("--version",), *((name, "--help") for name in AVAILABLE)], ids=" ".join)
def test_help_imports_nothing_heavy(argv: tuple[str, ...]) -> None:
    loaded = modules_after(*argv)
    assert "harness" in loaded
    assert not loaded & HEAVY
    if argv == ("--help",):
        assert not loaded & {"typer", "rich", "pydantic", "yaml"}


def test_every_command_that_is_listed_is_there() -> None:
    assert set(AVAILABLE) == set(cli.COMMANDS)


def test_help_lists_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(monkeypatch, capsys, "--help")
    assert (code, err) == (0, "")
    assert all(f"  {name} " in out for name in cli.COMMANDS)
    assert call(monkeypatch, capsys) == (2, out, "")  # without anything
    assert call(monkeypatch, capsys, "-h")[1] == out


def test_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, capsys, "--version") == (0, f"mlperf-llama {__version__}\n", "")


@pytest.mark.parametrize(("word", "meant"), [("rnu", "run"), ("preflght", "preflight"), ("submision", "submission")])
def test_an_unknown_command_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str, meant: str
) -> None:
    code, out, err = call(monkeypatch, capsys, word)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1 and "mlperf-llama --help" in err
    assert err.startswith(f"mlperf-llama: command {word!r} is not known; did you mean {meant!r}?")


ENDS: list[tuple[Any, int, str]] = [
    (UserError("no such file"), 2, "no such file"),
    (EnvironmentFault("no GPU"), 3, "no GPU"),
    (RunError("it broke"), 4, "it broke"),
    (HarnessError("it broke"), 4, "it broke"),
    (KeyboardInterrupt(), 4, "interrupted"),
    (ZeroDivisionError("by zero"), 4, "internal error: ZeroDivisionError: by zero (--debug shows where)"),
    (typer.Exit(1), 1, ""),
    (typer.Exit(0), 0, ""),
    (typer.BadParameter("no number"), 2, "no number"),
]


@pytest.mark.parametrize(("error", "code", "text"), ENDS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("debug", [False, True])
def test_how_a_command_ends(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    text: str,
    debug: bool,
) -> None:
    """Through typer and without it: what a command raises is one line and an exit code."""

    def command() -> None:
        raise error

    monkeypatch.setattr("harness.cli.summarize.summarize", command)
    found, out, err = call(monkeypatch, capsys, *(["--debug"] if debug else []), "summarize")
    assert (found, out) == (code, "")
    lines = err.splitlines()
    assert len([line for line in lines if line.startswith("mlperf-llama: ") and text in line]) == bool(text)
    traced = debug and not isinstance(error, KeyboardInterrupt | typer.Exit | typer.BadParameter)
    assert ("Traceback" in err) == traced
    assert traced or len(lines) == bool(text)


@pytest.mark.parametrize(
    ("argv", "helped_by"),
    [
        (["report"], "report"),
        (["run", "--output"], "run"),
        (["run", "--output", "x", "--scenario", "batch"], "run"),
        (["run", "--output", "x", "--bogus"], "run"),
        (["data", "prepar"], "data"),
        (["data", "prepare"], "data prepare"),
        (["bench", "engine", "--bogus"], "bench engine"),
        (["benchmark", "edge"], "benchmark edge"),
        (["submission", "check"], "submission check"),
    ],
)
def test_a_usage_error_is_one_line_that_names_the_help_of_what_was_called(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str], helped_by: str
) -> None:
    code, out, err = call(monkeypatch, capsys, *argv)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("mlperf-llama: ") and f"(mlperf-llama {helped_by} --help " in err
    assert "Value error" not in err, "the parser's own word for it"


GROUPS = {
    "benchmark": ("coordinated", "cluster", "endpoints", "datacenter", "edge"),
    "submission": ("build", "check"),
    "data": ("prepare", "inspect", "synthesize"),
    "bench": ("engine", "overhead", "links", "serve", "weights", "simulate", "card"),
}


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_of_commands_by_itself_names_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    code, out, err = call(monkeypatch, capsys, name)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert f"{name} needs a command: {', '.join(GROUPS[name])} (mlperf-llama {name} --help explains them)" in err


@pytest.mark.parametrize("argv", [*([n] for n in AVAILABLE), *([n, sub] for n in GROUPS for sub in GROUPS[n])], ids=str)
def test_every_help_has_a_short_form_and_installs_no_completion_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    code, out, err = call(monkeypatch, capsys, *argv, "-h")
    assert (code, err) == (0, "")
    assert "--help" in out and "-completion" not in out


AS_INSTALLED = "import sys\nsys.argv[0] = 'mlperf-llama'\nfrom harness.cli import main\nmain()\n"


def completions(shell: str, words: list[str]) -> str:
    """What the installed ``mlperf-llama`` answers when a shell asks how ``words`` may go on."""
    line = " ".join(words)
    asked = {
        "_MLPERF_LLAMA_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    env = os.environ | asked
    done = subprocess.run(
        [sys.executable, "-c", AS_INSTALLED], env=env, capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_a_command_goes_on(shell: str) -> None:
    assert "preflight" in completions(shell, ["mlperf-llama", "pre"])
    assert "datacenter" in completions(shell, ["mlperf-llama", "benchmark", "da"])
    assert "--target-qps" in completions(shell, ["mlperf-llama", "run", "--target-q"])


def test_completion_is_installed_for_the_one_command_there_is(tmp_path: Path) -> None:
    """In a home directory of its own; the shell then reads what was written, and completes with it."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "mlperf-llama"
    program.write_text(f"#!{sys.executable}\n{AS_INSTALLED}")
    program.chmod(0o755)
    path = f"{program.parent}:{os.environ['PATH']}"
    env = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": path}
    script = (
        "mlperf-llama --install-completion bash > /dev/null && . ~/.bashrc && complete -p mlperf-llama && "
        "COMP_WORDS=(mlperf-llama summ) COMP_CWORD=1 && "
        "$(complete -p mlperf-llama | sed 's/.*-F \\([^ ]*\\).*/\\1/') mlperf-llama && echo \"got ${COMPREPLY[*]}\""
    )
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.stdout.splitlines()[-1] == "got summarize", done.stdout + done.stderr
