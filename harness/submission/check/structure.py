"""Where everything must lie: divisions, systems, benchmarks, scenarios, and what a repository can take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness.loadgen.log import ACCURACY, DETAIL, parse_detail
from harness.loadgen.rules import Weight
from harness.loadgen.rules.sources import CHECKER, POLICIES, RULES
from harness.rounds import ROUND
from harness.submission.check.base import Checks, Problem
from harness.submission.check.tree import (
    NOT_JSON,
    BenchmarkDirectory,
    ScenarioDirectory,
    Submitter,
    System,
    Tree,
    directories,
    not_utf8,
    read_mapping,
)
from harness.submission.rules import DIVISIONS, MAX_ACCURACY_LOG_BYTES, VERSION

tree_checks: Checks[Tree] = Checks()
submitter_checks: Checks[Submitter] = Checks()
system_layout: Checks[System] = Checks()
benchmark_checks: Checks[BenchmarkDirectory] = Checks()
scenario_layout: Checks[ScenarioDirectory] = Checks()

LAYOUT = f"{POLICIES}, directory structure (Inference)"
REPOSITORY = "mlcommons/inference tools/submission/repository_checks.sh"
LEFTOVERS = ("nohup.out", "*.swp", "*.bak", "*~", "*.pyc", "core.[0-9]*")
OTHER_TESTS = (
    *(f"TEST{n}/performance/run_1/{DETAIL}" for n in ("01", "04")),
    *(f"TEST{n}/verify_accuracy.txt" for n in ("01", "04", "07", "08")),
    "TEST09/verify_output_len.txt",
)
MAX_FILE_BYTES = 50 * 1024 * 1024


@tree_checks.rule("structure.root", source=f"{CHECKER}/loader.py")
def has_submissions(tree: Tree) -> Iterator[Problem]:
    if not tree.submitters:
        yield tree.root, "holds no closed/, open/ or network/ directory with a submitter in it"
    elif not any(benchmark.rules for s in tree.submitters for system in s.systems for benchmark in system.benchmarks):
        yield tree.root, "holds no result of llama3.1-8b or llama3.1-8b-edge"


@tree_checks.rule("structure.repository", source=REPOSITORY)
def fits_a_repository(tree: Tree) -> Iterator[Problem]:
    for path in sorted(tree.root.rglob("*")):
        if path.is_symlink():
            yield path, "is a symbolic link; put the file itself here"
        elif path.is_file() and " " in path.name:
            yield path, "has a space in its name"
        elif path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            yield path, f"is larger than 50 MiB ({path.stat().st_size} bytes)"


@tree_checks.rule("structure.division", source=f"{CHECKER}/loader.py", weight=Weight.EXPLAIN)
def divisions_have_their_names(tree: Tree) -> Iterator[Problem]:
    """Another spelling is passed over without a word, and all that lies there with it."""
    for path in directories(tree.root):
        if path.name not in DIVISIONS and path.name.lower() in DIVISIONS:
            yield path, f"is read by nobody: the directory is called {path.name.lower()}"


@tree_checks.rule("structure.leftovers", source=LAYOUT, weight=Weight.EXPLAIN)
def nothing_was_left_behind(tree: Tree) -> Iterator[Problem]:
    """What a shell or an editor left, and LoadGen's complete logs of outputs and traces."""
    for submitter in tree.submitters:
        for path in sorted(submitter.path.rglob("*")):
            if any(path.match(pattern) for pattern in LEFTOVERS):
                yield path, "does not belong in a submission: remove it"
            elif _is_whole_log(path):
                yield path, f"is a complete log of {path.stat().st_size} bytes, which is not published: remove it"


def _is_whole_log(path: Path) -> bool:
    """A long log of outputs or traces; those of the accuracy run and of TEST06 have rules of their own."""
    own = path.parent.name == "accuracy"
    return (
        path.name in (ACCURACY, "mlperf_log_trace.json")
        and not own
        and path.is_file()
        and path.stat().st_size > MAX_ACCURACY_LOG_BYTES
    )


@tree_checks.rule("structure.hidden", source=REPOSITORY, weight=Weight.EXPLAIN)
def holds_nothing_hidden(tree: Tree) -> Iterator[Problem]:
    """repository_checks.sh lists them; results with such files have been published."""
    for path in sorted(tree.root.rglob(".*")):
        yield path, "is a hidden file or directory; remove it"


@submitter_checks.rule("structure.results", source=LAYOUT)
def has_results(submitter: Submitter) -> Iterator[Problem]:
    if not submitter.systems:
        yield submitter.path / "results", "holds no system"


@submitter_checks.rule("structure.src", source=f"{CHECKER}/checks/measurements_checks.py (directory_exist_check)")
def has_source(submitter: Submitter) -> Iterator[Problem]:
    source = submitter.path / "src"
    if not source.is_dir():
        yield source, f"is missing: {VERSION} wants the code in src/"
    elif not any(p.is_file() for p in source.rglob("*")):
        yield source, "is empty: code that talks to LoadGen must be there"


@submitter_checks.rule("structure.model-mapping", source=f"{CHECKER}/loader.py", weight=Weight.REFUSED)
def mapping_can_be_read(submitter: Submitter) -> Iterator[Problem]:
    """Another benchmark's name stands in it, but the official checker stops where it is no JSON."""
    path = submitter.path / "model_mapping.json"
    if submitter.closed:
        return
    if path.is_dir():
        yield path, "is a directory: the official checker stops there"
    elif isinstance(found := read_mapping(path), str) and found.startswith(NOT_JSON):
        yield path, f"{found}: the official checker stops there"


@submitter_checks.rule("structure.extra", source=LAYOUT, weight=Weight.EXPLAIN)
def has_only_known_directories(submitter: Submitter) -> Iterator[Problem]:
    for path in directories(submitter.path):
        if path.name not in ("systems", "src", "documentation", "results"):
            yield path, "does not belong here: only systems, src, documentation and results do"


@submitter_checks.rule("structure.systems", source=LAYOUT, weight=Weight.EXPLAIN)
def describes_only_systems_with_results(submitter: Submitter) -> Iterator[Problem]:
    known = {system.path.name for system in submitter.systems}
    for path in sorted((submitter.path / "systems").glob("*.json")):
        if path.stem not in known:
            yield path, f"describes a system that has no results/{path.stem}"


@system_layout.rule("structure.benchmarks", source=LAYOUT)
def has_benchmarks(system: System) -> Iterator[Problem]:
    if not system.benchmarks:
        yield system.path, "holds no benchmark"


@benchmark_checks.rule(
    "structure.benchmark-name",
    source=f"{CHECKER}/constants.py (models, model_mapping, required-scenarios-*)",
    weight=Weight.REFUSED,
)
def benchmark_is_known(benchmark: BenchmarkDirectory) -> Iterator[Problem]:
    """Every directory of a system is taken for a benchmark, and one that it does not know ends the official checker."""
    name, kind = benchmark.path.name, str(benchmark.system.fields.get("system_type"))
    if benchmark.rules:
        return
    if is_llama(benchmark):
        yield benchmark.path, "is no benchmark's name: use llama3.1-8b or llama3.1-8b-edge"
    elif benchmark.system.submitter.closed and kind in ROUND.others and not _is_one_of(name, ROUND.others[kind]):
        yield benchmark.path, f"is no benchmark of {kind} systems in {VERSION}: the official checker stops here"
    elif not benchmark.system.submitter.closed and benchmark.scenarios:
        mapped = str(benchmark.system.submitter.model_mapping.get(name, name))
        if not _is_one_of(mapped, frozenset().union(*ROUND.others.values())):
            yield benchmark.path, f"is no benchmark of {VERSION}, and model_mapping.json does not say which it is"


def is_llama(benchmark: BenchmarkDirectory) -> bool:
    """Its name is meant to be this model's."""
    name = benchmark.path.name.lower()
    return "llama3" in name and "8b" in name


def _is_one_of(name: str, known: frozenset[str]) -> bool:
    return next((model for part, model in ROUND.guesses.items() if part in name), name) in known


@benchmark_checks.rule("structure.other-benchmark", source="this checker's scope", weight=Weight.NOTE)
def other_benchmark(benchmark: BenchmarkDirectory) -> Iterator[Problem]:
    if not benchmark.rules and not is_llama(benchmark):
        yield benchmark.path, "is another benchmark, not checked here"


@benchmark_checks.rule("structure.system-type", source=f"{CHECKER}/constants.py (required-scenarios-*)")
def benchmark_fits_system(benchmark: BenchmarkDirectory) -> Iterator[Problem]:
    kind = benchmark.system.fields.get("system_type")
    if not benchmark.rules or not benchmark.system.submitter.closed or not isinstance(kind, str):
        return
    if benchmark.rules.benchmark not in kind.split(","):
        yield (
            benchmark.path,
            (
                f"{benchmark.rules.name} is a benchmark of {benchmark.rules.benchmark} systems, "
                f"this one is {kind!r}; the official checker stops here with a traceback"
            ),
        )


@benchmark_checks.rule("structure.scenarios", source=f"{CHECKER}/loader.py (check_scenarios); {RULES}, Benchmarks")
def scenarios_are_complete(benchmark: BenchmarkDirectory) -> Iterator[Problem]:
    rules = benchmark.rules
    if rules is None:
        return
    names = [scenario.name for scenario in benchmark.scenarios]
    if not names:
        yield benchmark.path, "holds no scenario"
    for scenario in benchmark.scenarios:
        known = ", ".join(s.directory for s in rules.scenarios)
        if scenario.scenario is None:
            yield scenario.path, f"is no scenario of {rules.name}, and every directory here is taken for one ({known})"
        elif benchmark.system.submitter.closed and scenario.scenario not in rules.scenarios:
            yield scenario.path, f"{scenario.name} is no scenario of {rules.name} ({known})"
    for name, count in Counter(names).items():
        if count > 1:
            yield benchmark.path, f"{name} is there {count} times"
    if benchmark.system.submitter.closed:
        for wanted in rules.required:
            if wanted.directory not in names:
                yield benchmark.path, f"scenario {wanted.directory} is missing"
        choices = [s.directory for s in rules.one_of]
        if choices and not set(choices) & set(names):
            yield benchmark.path, f"needs one of {' and '.join(choices)}"


@scenario_layout.rule("structure.scenario-name", source=f"{CHECKER}/loader.py", weight=Weight.REFUSED)
def has_its_official_name(scenario: ScenarioDirectory) -> Iterator[Problem]:
    """The official checker lowers names for some look-ups and not for others."""
    if scenario.path.name not in (scenario.name, scenario.name.lower()):
        yield scenario.path, f"must be called {scenario.name}"


@scenario_layout.rule("structure.files", source=LAYOUT)
def files_are_there(scenario: ScenarioDirectory) -> Iterator[Problem]:
    wanted: list[Path] = []
    for directory in (scenario.performance_path.parent, scenario.accuracy_path.parent):
        wanted += [directory / "mlperf_log_detail.txt", directory / "mlperf_log_summary.txt"]
    wanted += [scenario.path / "accuracy" / name for name in ("mlperf_log_accuracy.json", "accuracy.txt")]
    for path in wanted:
        if not path.is_file():
            yield path, "is missing"
        elif not path.stat().st_size:
            yield path, "is empty"


@scenario_layout.rule("structure.other-tests", source=f"{CHECKER}/loader.py", weight=Weight.REFUSED)
def other_tests_can_be_read(scenario: ScenarioDirectory) -> Iterator[Problem]:
    """Compliance tests that this benchmark does not have; the official checker reads them wherever they lie."""
    for path in (scenario.path / name for name in OTHER_TESTS):
        if path.is_dir():
            yield path, "is a directory: the official checker stops there"
        elif path.is_file() and (wrong := not_utf8(path)):
            yield path, wrong
        elif path.name == DETAIL and (damaged := parse_detail(path).damaged):
            yield path, f"{damaged[0]}: the official checker stops there"


@scenario_layout.rule("structure.runs", source=f"{RULES}, Scenarios: one performance run", weight=Weight.EXPLAIN)
def only_one_run(scenario: ScenarioDirectory) -> Iterator[Problem]:
    for path in directories(scenario.path / "performance"):
        if path.name not in ("run_1", "power", "ranging"):
            yield path, "is not read by the official checker; only run_1 counts"
