"""Weights that stay in the file, through the command: a model larger than the memory that unpacked weights would take;
a file that is cut short while it is scored; and, in `make check`, a model of 7 billion parameters in a small memory."""
import ctypes
import json
import mmap
import os
import re
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

np = pytest.importorskip("numpy")
gguf = pytest.importorskip("gguf")

sys.path.insert(0, str(Path(__file__).resolve().parent))
import tiny  # noqa: E402
from command import run  # noqa: E402

MIB = 1 << 20
ROWS = [{"text": f"the {word} was here in the end", "id": word} for word in ("river", "house", "night", "bee")]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
# In a small memory these rows need more waves than pass before weights are cached.
MANY = [json.dumps({"text": f"the {number} rivers were here in the end", "id": number}) + "\n" for number in range(60)]


def random_q4(rng, rows, columns):
    """Rows of Q4_0: each block has a float16 scale and 32 numbers of 4 bits."""
    blocks = rng.integers(0, 256, (1 << 12, 18), dtype=np.uint8)
    blocks[:, :2] = np.frombuffer(np.float16(0.02 / 4.6).tobytes(), np.uint8)
    return np.resize(blocks, (rows * columns // 32, 18)).reshape(rows, columns // 32 * 18)


def make_model(path, width=2048, feed=5632, layers=7):
    """A random Llama in Q4_0: about 200 MB by default, 1.4 GB in float32."""
    writer, rng = gguf.GGUFWriter(str(path), "llama"), np.random.default_rng(3)
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(feed)
    writer.add_head_count(width // 128)
    writer.add_head_count_kv(width // 128)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(128)
    tokens = tiny.add_byte_level(writer, "smollm")

    def add(name, rows, columns):
        writer.add_tensor(name + ".weight", random_q4(rng, rows, columns), raw_dtype=gguf.GGMLQuantizationType.Q4_0)

    add("token_embd", tokens, width)
    for i in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{i}.{name}.weight", np.ones(width, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{i}.{name}", width, width)
        add(f"blk.{i}.ffn_gate", feed, width)
        add(f"blk.{i}.ffn_up", feed, width)
        add(f"blk.{i}.ffn_down", width, feed)
    writer.add_tensor("output_norm.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# ---- Memory ----------------------------------------------------------------------------------------------------------


class Watched:
    """Runs a command and records the peak of its anonymous memory (the system counts this memory but keeps no peak) and
    the bytes that it read from the disk."""

    def __init__(self, command, stdin, **options):
        process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, **options)
        self.anonymous, self.read, done = 0, 0, threading.Event()
        watcher = threading.Thread(target=self.watch, args=(process.pid, done))
        watcher.start()
        self.stdout, self.stderr = process.communicate(stdin)
        done.set()
        watcher.join()
        self.returncode = process.returncode

    def watch(self, pid, done):
        while not done.wait(0.02):
            try:
                status = Path(f"/proc/{pid}/status").read_text()
                counted = Path(f"/proc/{pid}/io").read_text()
            except OSError:
                return
            found = re.search(r"RssAnon:\s+(\d+) kB", status)
            self.anonymous = max(self.anonymous, int(found[1]) << 10 if found else 0)
            self.read = int(re.search(r"^read_bytes: (\d+)", counted, re.MULTILINE)[1])


def logprobs(capp, model, *options):
    return [capp, "logprobs", "-q", "-m", model, "--precision", "f32", *options]


@pytest.mark.slow
def test_unpacked_weights_would_not_fit(capp, tmp_path):
    """Weights that stay in the file keep within a limit of the process's data; unpacked weights exceed it."""
    model, limit = make_model(tmp_path / "model.gguf"), 448 * MIB
    lines = "".join(MANY[:16])
    size = model.stat().st_size
    assert 190 * MIB < size < 230 * MIB

    def limited():
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    some = Watched(logprobs(capp, model, "--memory", "32M", "--weights-memory", "64M"), lines, preexec_fn=limited)
    none = Watched(logprobs(capp, model, "--memory", "32M", "--weights-memory", "0"), lines, preexec_fn=limited)
    assert none.returncode == 0 and some.returncode == 0, none.stderr + some.stderr
    assert len(none.stdout.splitlines()) == 16 and none.stdout == some.stdout
    assert 0 < none.anonymous < 32 * MIB and none.anonymous + 40 * MIB < some.anonymous < 96 * MIB
    whole = Watched(logprobs(capp, model, "--memory", "32M", "--weights-memory", "all"), lines, preexec_fn=limited)
    assert whole.returncode == 2 and "--weights-memory" in whole.stderr, whole.stderr


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_real_models_cached_in_part(capp, request, name):
    """The bits are the same; a larger cache uses more memory."""
    model = request.getfixturevalue(name)
    printed = {some: Watched([capp, "logprobs", "-q", "-m", model, "--memory", "16M", "--weights-memory", some], "".join(MANY))
               for some in ("all", "60M", "0")}
    assert all(done.returncode == 0 and len(done.stdout.splitlines()) == len(MANY) for done in printed.values())
    assert printed["60M"].stdout == printed["all"].stdout == printed["0"].stdout
    assert printed["0"].anonymous + 30 * MIB < printed["60M"].anonymous < printed["all"].anonymous


@pytest.mark.parametrize("name", ["smollm2", "gemma3"])
def test_waves_of_few_rows(capp, request, name):
    """A wave of a few rows has the same bits with each cache and on every instruction set."""
    lines = "".join(json.dumps({"text": f"no {word}"}) + "\n" for word in ("one", "two", "man", "way", "day", "end"))
    printed = set()
    for cached in ("0", "all"):
        for isa in ("ref", "avx2", "avxvnni", "avx512vnni"):
            done = Watched([capp, "logprobs", "-q", "-m", request.getfixturevalue(name), "--precision", "i16", "--isa", isa,
                            "--memory", "6M", "--weights-memory", cached], lines)
            if "does not support" not in done.stderr:
                assert done.returncode == 0, done.stderr
                printed.add(done.stdout)
    assert len(printed) == 1


# ---- Files that change -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cached", ["0", "all"])
def test_a_file_cut_short_while_it_is_scored(capp, tmp_path, cached):
    """The rows before the cut are written; then an error names the file and a tensor."""
    model = tiny.make(tmp_path / "model.gguf", "llama")
    command = [capp, "classify", "-q", "-m", model, "-c", "yes,no", "--format", "jsonl", "--weights-memory", cached]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdin.write('{"text": "one"}\n')
    process.stdin.flush()
    first = process.stdout.readline()
    os.truncate(model, os.path.getsize(model) // 2)
    rest, message = process.communicate('{"text": "two"}\n')
    assert json.loads(first)["prediction"] in ("yes", "no") and not rest
    assert process.returncode == 2 and message.startswith(f"capp: {model}: tensor "), message


@pytest.mark.parametrize("value", ["some", "-1", "1Q", ""])
def test_weights_memory_that_is_no_number(model, value):
    done = run("logprobs", *model, "--weights-memory", value, stdin=LINES)
    assert done.returncode == 2 and b"--weights-memory" in done.stderr


def test_a_model_that_does_not_fit_memory(capp, tmp_path):
    """If the budget leaves no memory for the file, the run says what it reads again, how fast, and how long that
    takes."""
    model = make_model(tmp_path / "model.gguf", width=512, feed=1024, layers=3)
    arguments = [capp, "logprobs", "-m", model, "--weights-memory", "0"]
    bound, free = Watched([*arguments, "--memory", "100T"], LINES), Watched([*arguments, "--memory", "128M"], LINES)
    assert free.returncode == bound.returncode == 0 and bound.stdout == free.stdout, bound.stderr
    found = re.search(r"model\.gguf: ([\d.]+) MB of its ([\d.]+) MB do not fit the free memory, so every wave of token rows "
                      r"reads them from the disk\. The disk gives ([\d.]+) ([MG])B per second, so a wave takes at least "
                      r"([\d.e-]+) seconds\. More --memory", bound.stderr)
    assert found and "free memory" not in free.stderr, bound.stderr
    streamed, size, rate, seconds = float(found[1]), float(found[2]), float(found[3]) * (1024 if found[4] == "G" else 1), float(found[5])
    assert 0.5 * size < streamed <= size and abs(seconds * rate - streamed) < 0.03 * streamed


def test_the_time_of_a_run_that_reads_the_weights_again(capp, tmp_path):
    """The command says how many waves a file of rows needs and how long they take at least. So many waves read the
    weights: rows are not written at intervals that would cost more of them."""
    model, rows = make_model(tmp_path / "model.gguf", width=512, feed=1024, layers=3), tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": f"{i} is a number that somebody wrote here, and then {i * i}"}) + "\n"
                            for i in range(100)))
    with open(model, "rb") as file:
        os.fsync(file.fileno())  # pages that wait to be written cannot be dropped
    command = [capp, "classify", "-m", model, "--weights-memory", "0", "-c", "yes,no", rows]
    bound, free = Watched([*command, "--memory", "100T"], ""), Watched([*command, "--memory", "128M"], "")
    assert bound.returncode == free.returncode == 0 and bound.stdout == free.stdout, bound.stderr
    wave = float(re.search(r"a wave takes at least ([\d.e-]+) seconds", bound.stderr)[1])
    found = re.search(r"100 rows need about (\d+) waves?: at least ([\d.e-]+) seconds", bound.stderr)
    assert found and "waves" not in free.stderr, bound.stderr
    waves, seconds = int(found[1]), float(found[2])
    assert waves == 1 and abs(seconds - waves * wave) <= 0.03 * seconds
    assert bound.read < 2.6 * model.stat().st_size  # once for the wave and once to measure the disk
    rows.write_text('{"text": 5, "a": 1}\n{"a": 1}\n{"a": 2}\n')  # rows that cannot be scored need no waves
    some = Watched([*command, "--memory", "100T", "--on-error", "skip"], "")
    assert some.returncode == 3 and "capp: 1 row needs about 1 wave: at least" in some.stderr, some.stderr


# ---- A large model ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(shared):
    """Random weights with the shape of DeepSeek-R1-Distill-Qwen-7B, Q4_K_M: 4.7 GB, made once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "capp-peers" / "models"
    path, maker = cache / "7b.gguf", Path(shared, "peers", "make_big.py")
    if not path.exists():
        if not maker.exists():
            pytest.skip(f"neither {path} nor {maker} is there")
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        subprocess.run([sys.executable, str(maker), "7b", str(part)], check=True)
        part.rename(path)
    return path


def evict(path):
    """Removes a file from the page cache; returns the share of its pages that stays."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
        pages = -(-len(mapped) // mmap.PAGESIZE)
        there = (ctypes.c_ubyte * pages)()
        address = np.frombuffer(mapped, np.uint8).ctypes.data
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), there) == 0
        return float((np.frombuffer(there, np.uint8) & 1).mean())


def new_group(limit):
    """A control group for memory, version 1 or 2, below the process's own; skips the test where none can be made."""
    name = f"capp-test-{os.getpid()}"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        first = "memory" in controllers.split(",")
        if controllers and not first:
            continue
        mount = Path("/sys/fs/cgroup/memory" if first else "/sys/fs/cgroup")
        for parent in (mount / own.lstrip("/"), mount):
            group, wanted = parent / name, "memory.limit_in_bytes" if first else "memory.max"
            try:
                group.mkdir()
            except OSError:
                continue
            try:
                (group / wanted).write_text(str(limit))
                return group
            except OSError:
                group.rmdir()
    pytest.skip("no control group of memory can be made here")


def layer_bytes(path):
    return sum(int(t.n_bytes) for t in gguf.GGUFReader(str(path)).tensors if t.name.startswith("blk."))


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_large_model_in_a_small_memory(capp, large):
    """Anonymous memory: the run's budget, that of the cache and 200 MB."""
    budget = 512
    plain = Watched(logprobs(capp, large, "--memory", f"{budget}M", "--weights-memory", "0"), LINES)
    assert plain.returncode == 0 and len(plain.stdout.splitlines()) == len(ROWS), plain.stderr
    assert 0 < plain.anonymous < (budget + 200) * MIB
    cached = Watched(logprobs(capp, large, "--memory", f"{budget}M", "--weights-memory", "1G"), LINES)
    assert cached.returncode == 0 and cached.stdout == plain.stdout
    assert plain.anonymous + 512 * MIB < cached.anonymous < (budget + 1024 + 200) * MIB


def in_group(command, limit, model, stdin=""):
    """Runs a command in a control group with a limit, with the model's file evicted first."""
    group = new_group(limit)
    try:
        left = evict(model)
        assert left < 0.01, f"{left:.1%} of {model} stay in the page cache"
        start = time.monotonic()
        bound = Watched(command, stdin, preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
        print(f"{time.monotonic() - start:.1f} s, {bound.read / 1e9:.2f} GB read, {bound.anonymous / 1e6:.0f} MB of its own")
    finally:
        time.sleep(0.5)
        group.rmdir()
    return bound


def many_rows(path):
    """Rows of about 1,000 tokens: more than a wave holds if the weights fit the memory."""
    path.write_text("".join(json.dumps({"text": f"{i} is a number that somebody wrote here, and then {i * i}"}) + "\n"
                            for i in range(40)))
    return path


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_control_group_that_holds_the_model(capp, large, tmp_path):
    """In a control group of 6 GiB, with nothing set, the file of 4.7 GB is read once by several waves."""
    command = [capp, "classify", "-m", large, "-c", "yes,no", many_rows(tmp_path / "rows.jsonl")]
    plain = Watched([*command, "-q"], "")
    bound = in_group(command, 6 << 30, large)
    assert plain.returncode == bound.returncode == 0 and bound.stdout == plain.stdout, bound.stderr
    assert "free memory" not in bound.stderr and len(bound.stdout.splitlines()) == 40
    assert layer_bytes(large) <= bound.read <= 1.1 * os.path.getsize(large)
    assert bound.anonymous < (1536 + 200) * MIB  # the budget is a quarter of the group's


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_several_waves_that_read_the_weights_again(capp, large, tmp_path):
    """In a control group of 3 GiB each wave reads what does not fit once, in as many waves as the command says."""
    command = [capp, "classify", "-m", large, "--memory", "160M", "--weights-memory", "0", "-c", "yes,no", many_rows(tmp_path / "rows.jsonl")]
    bound = in_group(command, 3 << 30, large)
    assert bound.returncode == 0 and len(bound.stdout.splitlines()) == 40, bound.stderr
    waves = int(re.search(r"40 rows need about (\d+) waves", bound.stderr)[1])
    streamed = float(re.search(r": ([\d.]+) GB of its", bound.stderr)[1]) * (1 << 30)
    print(f"{waves} waves, each reads {streamed / 1e9:.2f} GB")
    assert 2 <= waves and streamed > 1 << 30
    assert layer_bytes(large) + 0.9 * (waves - 1) * streamed <= bound.read <= 1.2 * (os.path.getsize(large) + (waves - 1) * streamed)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_larger_than_memory(capp, large):
    """In a control group of 3 GiB, a file of 4.7 GB gives the same bits, and each layer is read about once per wave."""
    command = logprobs(capp, large, "--memory", "512M", "--weights-memory", "0")
    plain = Watched(command, LINES)
    bound = in_group(command, 3 << 30, large, LINES)
    assert bound.returncode == 0 and plain.returncode == 0, bound.stderr
    assert bound.stdout == plain.stdout and len(plain.stdout.splitlines()) == len(ROWS)
    layers = layer_bytes(large)
    assert layers <= bound.read <= 1.3 * os.path.getsize(large)  # one wave
