"""One thread a model, which answers whatever waits as one batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from backbones.classifier.assembly import Answer
from backbones.classifier.preparing import Prepared
from backbones.data.decoder_pool import DecoderPool
from backbones.errors import BackbonesError
from backbones.serving.refusals import stopping

_NEW_SHARE = 0.2  # of a new measurement in a running mean


@dataclass(frozen=True)
class Answered:
    """An image's answer.

    Args:
        answer: what the networks say.
        size: width and height of the image, px, upright.
    """

    answer: Answer
    size: tuple[int, int]


@dataclass(eq=False)
class _Job:
    """One thing that waits for the model's thread.

    Args:
        future: where its result goes; who cancels it drops the work.
        compute: what the thread has to do for it; None for an image, which goes into a batch.
        num_images: as how much work it counts.
        prepared: an image's pixels, once they are there.
    """

    future: Future[Any]
    compute: Callable[[], Any] | None = None
    num_images: float = 1
    prepared: Prepared | None = None
    since: float = field(default_factory=time.perf_counter)


class RunningMean:
    """Seconds of something that is measured again and again; the latest count most."""

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, seconds: float) -> None:
        """A new measurement."""
        old = self.value or seconds
        self.value = old + _NEW_SHARE * (seconds - old)


class Worker:
    """A model's thread, and what waits for it.

    Images are decoded by threads that all models share, and answered in the order in which they
    are ready. The thread takes all that wait, up to a batch, and never waits for more to come.

    Args:
        name: of the model.
        answer: the second half of the way for prepared images, one answer each.
        decoders: the threads.
        max_batch: images at a time.
        batched: called with the size of each batch and the seconds that its images waited.
    """

    def __init__(
        self,
        name: str,
        answer: Callable[[Sequence[Prepared]], Sequence[Answer]],
        decoders: DecoderPool,
        max_batch: int,
        batched: Callable[[int, Sequence[float]], None] = lambda size, waits: None,
    ) -> None:
        self._answer, self._decoders, self._max_batch = answer, decoders, max_batch
        self._batched = batched
        self._ready: deque[_Job] = deque()
        self._pending = 0.0  # images of jobs that are not done
        self._ending = False
        self._changed = threading.Condition()
        self._computing = 0.0  # images of the batch that is computed
        self._computing_since = 0.0
        self.decoding_s, self.image_s = RunningMean(), RunningMean()
        self._thread = threading.Thread(target=self._run, name=f"model {name}", daemon=True)
        self._thread.start()

    @property
    def predicted_s(self) -> float:
        """How long a new image would wait for those before it.

        A batch that takes longer than its images usually do is the latest measurement there is.
        """
        with self._changed:
            pending, computing, since = self._pending, self._computing, self._computing_since
        each = self.image_s.value + self.decoding_s.value / max(1, self._decoders.workers)
        done = time.perf_counter() - since if computing else 0.0
        if computing:
            each = max(each, done / computing)
        return max(0.0, pending * each - done)

    @property
    def idle(self) -> bool:
        """Whether nothing waits, is decoded or computed."""
        return self._pending <= 0

    def submit_image(self, prepare: Callable[[], Prepared]) -> Future[Answered]:
        """Have an image answered.

        Args:
            prepare: decodes and cuts it; what it raises comes out of the future.

        Raises:
            Refusal: the model is ending.
        """
        job = _Job(Future())
        self._add(job)
        self._decoders.submit(self._prepare, job, prepare)
        return job.future

    def submit(self, compute: Callable[[], Any], num_images: float) -> Future[Any]:
        """Have something else computed in the model's thread.

        Args:
            compute: what it does.
            num_images: as how many images it counts.

        Raises:
            Refusal: the model is ending.
        """
        job = _Job(Future(), compute, num_images)
        self._add(job)
        with self._changed:
            self._ready.append(job)
            self._changed.notify_all()
        return job.future

    def end(self, wait_s: float = 0.0) -> None:
        """Take no more; the thread ends when all that it took is done.

        Args:
            wait_s: for that, at most.
        """
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        if wait_s:
            self._thread.join(wait_s)

    def _add(self, job: _Job) -> None:
        with self._changed:
            if self._ending:
                raise stopping()
            self._pending += job.num_images

    def _done(self, jobs: Sequence[_Job], *, computed: bool = False) -> None:
        with self._changed:
            self._pending -= sum(job.num_images for job in jobs)
            if computed:
                self._computing = 0.0
            self._changed.notify_all()

    def _prepare(self, job: _Job, prepare: Callable[[], Prepared]) -> None:
        """In a decoding thread."""
        if job.future.cancelled():
            self._done([job])
            return
        start = time.perf_counter()
        try:
            prepared = prepare()
        except BaseException as error:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(error)
            self._done([job])
            return
        if prepared.error is not None:  # no work for the networks
            if job.future.set_running_or_notify_cancel():
                answer = Answer(0, prepared.names[0], error=prepared.error)
                job.future.set_result(Answered(answer, prepared.size))
            self._done([job])
            return
        self.decoding_s.add(time.perf_counter() - start)
        job.prepared = prepared
        with self._changed:
            self._ready.append(job)
            self._changed.notify_all()

    def _run(self) -> None:
        """In the model's thread."""
        while (jobs := self._take()) is not None:
            wanted = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if wanted:
                self._compute(wanted)
            self._done(jobs, computed=True)

    def _take(self) -> list[_Job] | None:
        """All that wait, as far as they go together; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ready or (self._ending and self._pending <= 0))
            if not self._ready:
                return None
            jobs = [self._ready.popleft()]
            while (
                jobs[0].compute is None
                and self._ready
                and self._ready[0].compute is None
                and len(jobs) < self._max_batch
            ):
                jobs.append(self._ready.popleft())
            self._computing = sum(job.num_images for job in jobs)
            self._computing_since = time.perf_counter()
            return jobs

    def _compute(self, jobs: Sequence[_Job]) -> None:
        start = time.perf_counter()
        try:
            if jobs[0].compute is not None:
                jobs[0].future.set_result(jobs[0].compute())
                return
            prepared = [job.prepared for job in jobs if job.prepared is not None]
            answers = self._answer(prepared)
        except BaseException as error:
            if len(jobs) > 1 and isinstance(error, BackbonesError):
                for job in jobs:  # one image's trouble is not the others'
                    self._compute([job])
                return
            for job in jobs:
                job.future.set_exception(error)
            return
        self.image_s.add((time.perf_counter() - start) / len(jobs))
        self._batched(len(jobs), [start - job.since for job in jobs])
        for job, each, answer in zip(jobs, prepared, answers, strict=True):
            job.prepared = None
            job.future.set_result(Answered(answer, each.size))
