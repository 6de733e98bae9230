"""The table of outstanding samples, and every decision about who works on what.

Pure: no thread, no socket, no clock of its own. The hub feeds it what happens and sends what it decides; a simulation
can do the same with a thousand workers in one process.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from mlperf_llama_base.errors import RunError
from sut import checks
from sut.messages import Completion, Failure, FirstToken
from sut.policies import Order, Policy, Sample, WorkerLoad

SPEED_WINDOW_NS = 2_000_000_000
SPEED_SAMPLES = 16
LATE_NS = 100_000_000


class Dispatcher:
    """Every issued sample is in exactly one place: queued, or held by one worker; it leaves by completing once.

    ``block``: the data set's size; reordering never crosses it. ``max_attempts``: times that a sample may be handed out
    before the run is given up. ``eos_token_ids`` is set once an engine has reported them.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        order: Order,
        block: int,
        max_attempts: int,
        first_tokens: bool,
        eos_token_ids: Iterable[int] = (),
    ) -> None:
        self.policy = policy
        self.order = order
        self.block = block
        self.max_attempts = max_attempts
        self.first_tokens = first_tokens
        self.workers: dict[int, WorkerLoad] = {}
        self.queue: deque[Sample] = deque()
        self.outstanding: dict[int, Sample] = {}
        self._changed: dict[int, WorkerLoad] = {}  # the policy has not been told yet
        self.new_test()
        self.eos_token_ids = frozenset(eos_token_ids)  # of the model; engines add what they know
        self.vocab_size: int | None = None
        self.max_new_tokens = 128

    def new_test(self) -> None:
        """Set the counters to zero."""
        self.issued = self.completed = self.retried = self.duplicates = self.failures = 0
        self.behind = 0
        self._caught_up = True
        self.violations: Counter[str] = Counter()
        self.examples: list[str] = []

    def issue(self, samples: list[Sample], queries: Sequence[int] = ()) -> None:
        """Queue what LoadGen issued, in the policy's order inside each block. ``queries``: how many samples each query
        has, where they are several; nothing is sorted across queries.
        """
        self.issued += len(samples)
        outstanding = self.outstanding
        for sample in samples:
            outstanding[sample.id] = sample
        if len(samples) == max(1, len(queries)):
            self.queue.extend(samples)
            return
        left = iter(samples)
        for size in queries or (len(samples),):
            self.queue.extend(self.order(list(islice(left, size)), self.block))

    def worker_ready(self, worker: int, *, capacity: int, now_ns: int) -> None:
        load = self.workers[worker] = WorkerLoad(worker, capacity, since_ns=now_ns)
        self._changed[worker] = load

    def worker_lost(self, worker: int) -> int:
        """Take a worker's samples back and queue them first. Returns how many."""
        load = self.workers.pop(worker, None)
        if load is None:
            return 0
        back = list(load.outstanding.values())
        for sample in reversed(back):
            self._requeue(sample, f"worker {worker} was lost")
        return len(back)

    def assignments(self, now_ns: int) -> Iterator[tuple[int, list[Sample]]]:
        """Decide and book. Yields ``(worker, samples)`` to be sent.

        ``behind`` counts the samples that come to it :data:`LATE_NS` after they were due although there was room for
        them at once: it is not the workers that they waited for.
        """
        late_ns = now_ns - LATE_NS if self._caught_up else 0
        for worker in self._changed.values():  # once for all that has happened to it since
            self.policy.touch(worker)
        self._changed.clear()
        for worker, samples in self.policy.assign(self.queue, self.workers):
            if not worker.counted and not worker.outstanding:
                worker.since_ns = now_ns  # it may have been ready long before there was work
            number, outstanding = worker.id, worker.outstanding
            for sample in samples:
                sample.worker = number
                sample.dispatch_ns = now_ns
                sample.attempts += 1
                outstanding[sample.id] = sample
                if sample.issue_ns < late_ns and sample.attempts == 1:
                    self.behind += 1
                if not sample.first_token:
                    worker.prefilling += 1
            self.policy.touch(worker)
            yield worker.id, samples
        self._caught_up = not self.queue

    def first_token(self, worker: int, event: FirstToken, now_ns: int) -> Sample | None:
        """Book a first token. ``None``: nothing to report (late, twice, or already reported by an earlier attempt)."""
        load = self.workers.get(worker)
        sample = load.outstanding.get(event.id) if load else None
        if load is None or sample is None:
            self.duplicates += 1
            return None
        if sample.first_token or len(event.tokens) != 4:
            return None
        sample.first_token, sample.first_ns = event.tokens, now_ns
        load.prefilling -= 1
        self._changed[load.id] = load
        return sample

    def examine(self, answers: Sequence[bytes]) -> list[str] | None:
        """What is wrong with each of these outputs (:func:`sut.checks.examine`), for :meth:`complete`."""
        return checks.examine(
            answers,
            vocab_size=self.vocab_size,
            max_new_tokens=self.max_new_tokens,
            eos_token_ids=self.eos_token_ids,
        )

    def complete(
        self, worker: int, event: Completion, now_ns: int, problem: str | None = None
    ) -> tuple[Sample | None, bool]:
        """Book a completion: ``(sample, first)``; ``first``: its first token has to be reported with it.

        ``problem``: what :meth:`examine` found, where the caller had many examined at once; None: not examined yet.
        ``(None, False)``: nothing to report: it was done already, or the output is unusable and it was queued again.
        """
        load = self.workers.get(worker)
        sample = load.outstanding.get(event.id) if load else None
        if load is None or sample is None:
            self.duplicates += 1
            return None, False
        if problem is None:
            problem = (self.examine([event.tokens]) or [checks.CLEAN])[0]
        if problem in checks.UNUSABLE:
            self.violations[problem] += 1
            self.fail(worker, Failure(event.id, f"output is {problem.replace('_', ' ')}"))
            return None, False
        begins = event.tokens[:4]
        first = self.first_tokens and not sample.first_token
        if first:
            self._violation("no_first_token", sample)
            sample.first_token, sample.first_ns = begins, now_ns
            load.prefilling -= 1
        elif not sample.first_token:
            load.prefilling -= 1
        elif sample.first_token != begins:
            self._violation("first_token_mismatch", sample)
        self._note(sample, event, problem)
        del load.outstanding[sample.id], self.outstanding[sample.id]
        self.completed += 1
        self._measure(load, sample, now_ns)
        self._changed[load.id] = load
        return sample, first

    def _measure(self, load: WorkerLoad, sample: Sample, now_ns: int) -> None:
        """Learn the worker's speed.

        In Offline it is the throughput. Under a given rate, throughput only shows what a worker was given, and sharing
        by it would keep any imbalance forever; there it is the time that a sample takes.
        """
        load.counted += 1
        if not self.first_tokens:
            if now_ns - load.since_ns > SPEED_WINDOW_NS:
                load.speed = load.counted / (now_ns - load.since_ns) * 1e9
        elif now_ns > sample.dispatch_ns:
            took = (now_ns - sample.dispatch_ns) / 1e9
            load.took_s += (took - load.took_s) * max(1 / load.counted, 1 / 64)
            if load.counted >= SPEED_SAMPLES:
                load.speed = 1 / load.took_s

    def fail(self, worker: int, event: Failure) -> None:
        """The engine gave up on a sample: queue it again. Raises ``RunError`` after ``max_attempts``."""
        sample = self._held(worker, event.id)
        if sample is None:
            return
        self.failures += 1
        load = self.workers[worker]
        del load.outstanding[sample.id]
        load.prefilling -= 0 if sample.first_token else 1
        self._changed[load.id] = load
        self._requeue(sample, event.reason)

    def _requeue(self, sample: Sample, reason: str) -> None:
        if sample.attempts >= self.max_attempts:
            self._give_up(sample, reason)
            return
        self.retried += 1
        self.queue.appendleft(sample)

    def _give_up(self, sample: Sample, reason: str) -> None:
        """LoadGen takes no answer as none: the run is over."""
        raise RunError(
            f"sample {sample.index} of the data set failed {sample.attempts} times, last on worker "
            f"{sample.worker}: {reason}; see workers/worker-{sample.worker}.log"
        )

    def _held(self, worker: int, sample_id: int) -> Sample | None:
        load = self.workers.get(worker)
        sample = load.outstanding.get(sample_id) if load else None
        if sample is None:
            self.duplicates += 1
        return sample

    def _note(self, sample: Sample, event: Completion, problem: str) -> None:
        """Count what is wrong with an answer that LoadGen gets."""
        if event.counted not in (-1, len(event.tokens) >> 2):
            self._violation("count_differs", sample)
        if problem:
            self._violation(problem, sample)

    def _violation(self, kind: str, sample: Sample) -> None:
        self.violations[kind] += 1
        if len(self.examples) < 20:
            self.examples.append(f"{kind.replace('_', ' ')}: data-set sample {sample.index}, worker {sample.worker}")
