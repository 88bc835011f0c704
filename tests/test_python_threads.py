"""The Python package under many threads, signals, forks and copies: the bits are the same, no call stays running, and
no memory is retained."""
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from test_python import COMPLETIONS, library, package_env, PROMPTS, tiny  # noqa: F401


def test_eight_threads_on_one_model(tiny):
    from capp.classify import log_probs_conditional

    jobs = [[f"{word} {p}" for p in PROMPTS * 3] for word in ("in", "on", "the", "a", "he", "no", "yes", "er")]
    alone = [log_probs_conditional(job, COMPLETIONS, tiny, show_progress_bar=False) for job in jobs]
    together = [None] * len(jobs)

    def work(i):
        for _ in range(5):
            together[i] = log_probs_conditional(jobs[i], COMPLETIONS, tiny, show_progress_bar=False)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


INTERRUPTED = """
import os, random, signal, sys, threading, time
from capp import Model
from capp.classify import predict, predict_proba
model = Model(sys.argv[1], precision=sys.argv[2], threads=2)
predict("warm", ["up", "down"], model)
short, long = [f"number {i} " * 40 for i in range(20000)], [f"number {i} " * 700 for i in range(100)]
rng, sent, n_cores = random.Random(sys.argv[2]), [], min(2, len(os.sched_getaffinity(0)))
def send():
    sent[:] = time.monotonic(), time.process_time()
    os.kill(os.getpid(), signal.SIGINT)
for i in range(4):
    threading.Timer(rng.uniform(0.3, 1), send).start()
    begun = time.monotonic(), time.process_time()
    try:
        predict_proba(long if i % 2 else short, ["a", "b"], model, show_progress_bar=False)
    except KeyboardInterrupt:
        seconds = time.monotonic() - sent[0]
        print(seconds, (sent[1] - begun[1]) / (sent[0] - begun[0]) / n_cores)
print(predict("still", ["here", "gone"], model) in ("here", "gone"))
"""


@pytest.mark.parametrize("precision", ["auto", "f32"])
def test_ctrl_c_stops_within_a_second_and_the_model_goes_on(smollm2, precision):
    """A signal in the middle of a wave, which takes longer. The load of other programs does not count: where the call
    got only a share of the processors before the signal, it may take proportionally longer after it."""
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, smollm2, precision], env=package_env(), capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    *tries, alive = done.stdout.splitlines()
    assert len(tries) == 4 and alive == "True"
    for line in tries:
        seconds, share = map(float, line.split())
        assert seconds * min(share, 1) < 1, (seconds, share)


OPENING = """
import os, random, signal, sys, threading, time
from capp import Model
def opened(**keywords):
    Model(sys.argv[1], precision="f32", **keywords).close()
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) >> 10
times = []
for i in range(3):
    begun = time.monotonic()
    opened()
    times.append(time.monotonic() - begun)
rng, sent, before = random.Random(3), [], resident()
def send():
    sent[:] = [time.monotonic()]
    os.kill(os.getpid(), signal.SIGINT)
for i in range(5):
    try:
        threading.Timer(rng.uniform(0.01, 0.3) * min(times), send).start()
        opened(threads=1 + i % 2)
    except KeyboardInterrupt:
        print((time.monotonic() - sent[0]) / min(times))
print(resident() - before)
"""


def test_ctrl_c_while_a_model_is_opened(smollm2):
    """The call ends in the time that opening takes, which is that of the tokenizer, and nothing stays behind."""
    done = subprocess.run([sys.executable, "-c", OPENING, smollm2], env=package_env(), capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    *shares, megabytes = map(float, done.stdout.split())
    assert len(shares) == 5 and sorted(shares)[2] < 1.5 and megabytes < 100


MEMORY = """
import gc, sys
from capp import Model
from capp.classify import cache, predict_proba
def resident():
    gc.collect()
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) * 1024
def once():
    with Model(sys.argv[1], threads=1, memory=8 << 20) as model, cache(model, "in the house") as cached:
        predict_proba(["the", "a"], ["yes", "no"], cached)
for _ in range(50): once()
before = resident()
for _ in range(int(sys.argv[2])): once()
print(resident() - before)
"""


@pytest.mark.parametrize("n", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_memory_returns_to_its_level(tiny_model, n):
    done = subprocess.run([sys.executable, "-c", MEMORY, tiny_model, str(n)], env=package_env(), capture_output=True,
                          text=True, check=True)
    assert int(done.stdout) < 2 << 20


def test_a_forked_child_scores_too(tiny):
    from capp.classify import predict_proba

    expected = predict_proba(PROMPTS, COMPLETIONS, tiny)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, b"1" if np.array_equal(predict_proba(PROMPTS, COMPLETIONS, tiny), expected) else b"0")
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 1) == b"1"
    os.waitpid(child, 0)


def test_a_forked_child_ends(tiny_model):
    import capp
    from capp.classify import predict

    with capp.Model(tiny_model, threads=2) as model:
        predict(PROMPTS[0], COMPLETIONS, model)
        child = os.fork()
        if not child:
            model.close()
            os._exit(0)
        end = time.monotonic() + 20
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > end:
                os.kill(child, signal.SIGKILL)
                pytest.fail("the child does not end")
            time.sleep(0.01)
        assert predict(PROMPTS[0], COMPLETIONS, model) in COMPLETIONS


def test_numbers_out_of_range(tiny, tiny_model):
    import capp

    for wrong in ({"memory": -1}, {"context": 2**40}, {"threads": -2}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            capp.Model(tiny_model, **wrong)
    with pytest.raises(ValueError, match="max_tokens"):
        tiny.generate("a", -1)
    with pytest.raises(TypeError, match="stop"):
        tiny.generate("a", 1, stop="xyz")


def test_closing_while_others_tokenize(tiny_model):
    import capp

    for _ in range(20):
        model, wrong = capp.Model(tiny_model, threads=1), []

        def tokenize():
            try:
                while True:
                    assert model.detokenize(model.tokenize("the cat " * 50)).startswith("the cat")
            except ValueError:  # closed
                pass
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=tokenize) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.01)
        model.close()
        for thread in threads:
            thread.join()
        assert not wrong


def test_copies_and_pickles_of_prefixes(tiny):
    import copy
    import pickle

    from capp.classify import cache_model, predict_proba

    cached = cache_model(cache_model(tiny, "the ode"), ["of a", "in the"])
    expected = predict_proba(PROMPTS[:2], COMPLETIONS, cached)
    assert copy.deepcopy(cached) is cached and copy.copy(cached) is cached
    assert np.array_equal(predict_proba(PROMPTS[:2], COMPLETIONS, pickle.loads(pickle.dumps(cached))), expected)


def test_copies_and_pickles(tiny):
    import copy
    import pickle

    from capp.classify import predict_proba

    assert copy.deepcopy([tiny])[0] is tiny and copy.copy(tiny) is tiny
    written = pickle.dumps(tiny)
    opened = pickle.loads(written)
    assert opened is pickle.loads(written)
    assert np.array_equal(predict_proba(PROMPTS, COMPLETIONS, opened), predict_proba(PROMPTS, COMPLETIONS, tiny))


def test_a_signal_at_any_time_leaves_no_call_behind(tiny):
    """Whenever the signal comes, the call has ended when the exception is raised, because the library uses the caller's
    memory."""
    import random

    from capp._abi import lib
    from capp._call import interruptible

    def handler(*_):
        raise KeyboardInterrupt

    rng, n_interrupted = random.Random(1), 0
    before = signal.signal(signal.SIGALRM, handler)
    try:
        with tiny._handle.session() as session:
            for _ in range(150):
                begun, ended = [], []
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(2e-5, 3e-3))
                    interruptible(lambda: lib.capp_session_cancel(session), lambda: (begun.append(1), time.sleep(0.002), ended.append(1)))
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    n_interrupted += 1
                known = len(begun)
                assert len(ended) == known
                time.sleep(0.003)
                assert len(begun) == known  # it does not begin now either
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert n_interrupted > 20


def test_signals_of_others_pass(tiny):
    """An exception from another signal's handler ends the call too."""
    from capp.classify import predict_proba

    def handler(*_):
        raise RuntimeError("enough")

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(RuntimeError, match="enough"):
            for _ in range(1000):
                predict_proba(PROMPTS * 50, COMPLETIONS, tiny, show_progress_bar=False)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
