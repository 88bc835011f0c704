"""capp serve under load, with clients that misbehave, and at its end. The models are tiny."""
import asyncio
import contextlib
import http.client
import json
import os
import random
import re
import select
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from command import rows_of, run
from serving import serving

CLASSES = ["yes", "no", "the other"]


@pytest.fixture(scope="module", params=["plain", "asan", pytest.param("tsan", marks=pytest.mark.long)])
def build_used(request):
    return request.getfixturevalue("build" if request.param == "plain" else f"build_{request.param}")


def sanitized(name):
    folder = os.environ.get(name, "")
    if not (Path(folder) / "capp").exists():
        pytest.skip("no build with sanitizers")
    return Path(folder)


@pytest.fixture(scope="module")
def build_asan():
    return sanitized("CAPP_BUILD_ASAN")


@pytest.fixture(scope="module")
def build_tsan():
    return sanitized("CAPP_BUILD_TSAN")


def options_of(tiny_model, *more):
    return ["-m", f"tiny={tiny_model}", "--precision", "f32", "--threads", "1", "--memory", "128M", *more]


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def request_bytes(path, body, more=""):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{more}"
            f"Content-Length: {len(data)}\r\n\r\n").encode() + data


def expected_of(tiny_model, texts, tmp_path):
    """Probabilities by the command."""
    rows, classes = tmp_path / "rows.jsonl", tmp_path / "classes.json"
    rows.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    classes.write_text(json.dumps(CLASSES))
    found = rows_of(run("classify", "-m", tiny_model, "--precision", "f32", "-c", f"@{classes}", rows))
    return [[row["probabilities"][name] for name in CLASSES] for row in found]


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    return int(head.split()[1]), json.loads(await reader.readexactly(size))


async def load(server, connections, requests, texts, expected):
    """Each connection sends requests one after another. Returns the number of right answers."""
    right = 0

    async def client(number):
        nonlocal right
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for i in range(requests):
            k = (number * 31 + i * 7) % len(texts)
            writer.write(request_bytes("/v1/classify", {"texts": [texts[k]], "classes": CLASSES}))
            status, answer = await read_answer(reader)
            assert status == 200, answer
            right += answer["results"][0]["probabilities"] == expected[k]
        writer.close()

    await asyncio.gather(*(client(i) for i in range(connections)))
    return right


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_thousand_connections(tmp_path, tiny_model):
    """10,000 requests: none is lost or mixed up."""
    texts = [f"{word} {i}" for i in range(20) for word in ("the way", "no", "where is it?")]
    expected = expected_of(tiny_model, texts, tmp_path)
    with serving(tmp_path, *options_of(tiny_model)) as server:
        assert asyncio.run(load(server, 1000, 10, texts, expected)) == 10000
        server.wait_until_released()
        assert server.metric("refused_total") == 0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_memory_is_flat(tmp_path, tiny_model):
    """100,000 requests back to back."""
    texts = [f"the way {i}" for i in range(100)]
    expected = expected_of(tiny_model, texts, tmp_path)

    def resident(server):
        with open(f"/proc/{server.process.pid}/status") as status:
            return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    with serving(tmp_path, *options_of(tiny_model)) as server:
        sizes = []
        for _ in range(5):
            assert asyncio.run(load(server, 20, 1000, texts, expected)) == 20000
            sizes.append(resident(server))
        assert sizes[-1] < sizes[0] * 1.02, sizes


@pytest.mark.long
@pytest.mark.timeout(900)
def test_throughput_and_waiting(tmp_path, smollm2):
    """32 clients get at least 85 % of the command's throughput, in processor time, on rows that no cache knows, when the server has
    learned how large waves must be. Beside long requests, a small one takes at most two waves. One thread each: on a machine that
    others use, threads that wait for each other cost processor time."""
    copa = [json.loads(line) for line in (Path(__file__).parent.parent / "examples" / "data" / "copa.jsonl").read_text().splitlines()]
    rows = [{"prompt": f"({i}) {row['prompt']}", "completions": row["completions"]} for i in range(20) for row in copa]
    warm, rows = rows[:len(rows) // 4], rows[len(rows) // 4:]

    def used(pid):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def by_command(rows):
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        before = os.times()
        assert run("classify", "-m", smollm2, "--threads", "1", "-q", tmp_path / "rows.jsonl").returncode == 0
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    with serving(tmp_path, "-m", smollm2, "--threads", "1") as server:

        def ask(rows):
            for row in rows:
                server.post("/v1/completions", prompt=row["prompt"], choice=row["completions"])

        def cost(rows):
            before = used(server.process.pid)
            threads = [threading.Thread(target=ask, args=(rows[k::32],)) for k in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return used(server.process.pid) - before

        cost(warm)
        mine = theirs = 0
        for part in range(4):  # in turn, because the machine may become faster or slower
            theirs += by_command(rows[part::8]) + by_command(rows[part + 4::8]) - 2 * by_command(rows[:1])
            mine += cost(rows[part::4])
        print(f"the server needs {mine:.2f} s, the command {theirs:.2f} s; wave of {server.metric('wave_tokens'):.0f} tokens")
        assert theirs > 0.85 * mine, (theirs, mine)
        with connect(server) as long:
            long.sendall(request_bytes("/v1/classify", {"texts": [row["prompt"] + " once more" for row in rows], "classes": CLASSES}))
            end = time.monotonic() + 60
            while server.metric("requests") < 1:
                assert time.monotonic() < end
            for i in range(5):
                waves = server.metric("waves_total")
                server.post("/v1/completions", prompt=f"{i} is a number", max_tokens=1)
                assert not select.select([long], [], [], 0)[0], "the long request has ended too early"
                assert server.metric("waves_total") - waves <= 3  # the one that runs, the next, and perhaps one before the question


def test_a_full_queue(tmp_path, tiny_model):
    with serving(tmp_path, *options_of(tiny_model, "--max-requests", "4")) as server:
        long = {"prompt": ["the"] * 8, "max_tokens": 100, "ignore_eos": True}
        sockets = []
        for _ in range(4):
            sockets.append(connect(server))
            sockets[-1].sendall(request_bytes("/v1/completions", {**long, "n": 64}))
        end = time.monotonic() + 30
        while server.metric("requests") < 4:
            assert time.monotonic() < end
        assert server.fails("/v1/completions", {"prompt": "a"}, 429, "try again")["Retry-After"] == "1"
        assert server.ask("/healthz")[0] == 200
        for each in sockets:
            each.close()  # they leave: their places are free again
        server.wait_until_released()
        for _ in range(50):  # and those that take their answer have not left
            assert server.post("/v1/completions", prompt="a")["choices"]
        assert server.metric("left_total") == 4 and server.metric("refused_total") == 1


def test_clients_that_misbehave(tmp_path, tiny_model, build_used):
    """Slow, half, too much, nothing, garbage. The server answers others meanwhile, and stays whole."""
    with serving(tmp_path, *options_of(tiny_model, "--read-timeout", "2", "--max-body", "4K"), build=build_used) as server:
        good = request_bytes("/tokenize", {"content": "the"})
        silent, half, drip = connect(server), connect(server), connect(server)
        half.sendall(good[:-3])
        for data in (b"\x00" * 100 + b"\r\n\r\n", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n", good[:30], b"\x16\x03\x01\x02",
                     b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 60000 + b"\r\n\r\n",
                     b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: -5\r\n\r\n",
                     b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                     request_bytes("/tokenize", b"{" + b" " * 5000 + b"}")):
            with connect(server) as each:
                try:
                    each.sendall(data)
                    each.shutdown(socket.SHUT_WR)
                    answer = each.recv(1000)
                    assert not answer or b" 200 " not in answer.split(b"\r\n")[0]
                except OSError:  # the server has closed the connection
                    pass
        with connect(server) as each:  # chunked is fine
            each.sendall(b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"con\r\na\r\ntent\":\"a\"}\r\n0\r\n\r\n")
            assert b" 200 " in each.recv(1000)
        with connect(server) as each:  # two requests at once
            each.sendall(good + good)
            each.settimeout(10)
            data = b""
            while data.count(b"HTTP/1.1 200") < 2:
                data += each.recv(4000)
        start = time.monotonic()
        for byte in request_bytes("/tokenize", b"{" + b" " * 4000):
            try:
                drip.send(bytes([byte]))
            except OSError:
                break
            time.sleep(0.02)
        assert time.monotonic() - start < 10  # the deadline is absolute
        for each in (silent, half):
            each.settimeout(10)
            try:
                assert b" 200 " not in each.recv(1000)
            except ConnectionResetError:
                pass
        assert server.post("/tokenize", content="the")["count"] > 0


def test_a_slow_header_and_a_slow_body(tmp_path, tiny_model):
    """The deadline counts from the beginning: each byte that arrives does not move it."""
    head = request_bytes("/tokenize", b"{" + b" " * 4000)
    for start in (b"", head[:-4001]):
        with serving(tmp_path, *options_of(tiny_model, "--read-timeout", "1")) as server:
            begin = time.monotonic()  # the server counts from a moment that is not earlier
            each = connect(server)
            each.sendall(start)
            with each, pytest.raises(OSError):
                for byte in head[len(start):]:
                    each.send(bytes([byte]))
                    time.sleep(0.02)
                each.settimeout(10)
                assert not each.recv(1000)
                raise ConnectionResetError
            assert 0.9 < time.monotonic() - begin < 4


def test_many_large_bodies_at_once(tmp_path, tiny_model):
    """What arrives is counted before it is held: 32 bodies of the largest size, and no more."""
    size = 200_000
    body = json.dumps({"prompt": "a " * (size // 2 - 50)}).encode()
    chunked = (b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
    with serving(tmp_path, *options_of(tiny_model, "--max-body", str(size), "--read-timeout", "30")) as server:
        with open(f"/proc/{server.process.pid}/status") as status:
            before = int(next(line for line in status if line.startswith("VmRSS")).split()[1])
        arriving = []
        for i in range(100):
            arriving.append(connect(server))
            arriving[-1].sendall((chunked if i % 2 else request_bytes("/tokenize", body))[:-1])
        end = time.monotonic() + 30
        while server.metric("held_bytes") < 0.9 * 32 * size:
            assert time.monotonic() < end
            time.sleep(0.05)
        assert server.metric("held_bytes") <= 32 * size
        with open(f"/proc/{server.process.pid}/status") as status:
            assert int(next(line for line in status if line.startswith("VmRSS")).split()[1]) < before + 2 * 32 * size / 1024
        assert server.fails("/tokenize", body, 429, "try again")["Retry-After"] == "1"
        assert server.ask("/healthz")[0] == 200
        statuses = []
        for i, each in enumerate(arriving):
            try:
                each.sendall(b"\n" if i % 2 else b"}")
                statuses.append(each.recv(1000).split()[1])
            except OSError:  # refused and closed before
                statuses.append(b"429")
            each.close()
        assert 0 < statuses.count(b"200") <= 32 and set(statuses[1::2]) == {b"200", b"429"}, statuses
        assert set(statuses) == {b"200", b"429"}
        while server.metric("held_bytes"):  # a request is released a little after its answer, and makes room for others then
            assert time.monotonic() < end + 30
        assert server.post("/tokenize", content="the")["count"] > 0


def test_nobody_waits_for_large_bodies(tmp_path, tiny_model):
    """They are read, and freed, beside the thread that speaks with clients and beside that for small requests."""
    body = json.dumps({"tokens": [5] * 2_000_000, "model": 3}, separators=(",", ":")).encode()
    with serving(tmp_path, *options_of(tiny_model)) as server:
        shares = []
        for _ in range(5):
            sender = threading.Thread(target=server.fails, args=("/detokenize", body, 400, "model"))
            begin = time.monotonic()
            sender.start()
            waits = []
            while sender.is_alive():
                before = time.monotonic()
                assert server.post("/tokenize", content="the")["count"]
                waits.append(time.monotonic() - before)
            shares.append(max(waits) / (time.monotonic() - begin))
            while server.metric("held_bytes"):
                time.sleep(0.02)
        assert min(shares) < 0.3, shares


def test_nobody_waits_for_a_model_that_opens(tmp_path, tiny_model, gemma3, build_used):
    """Requests for the other models are answered meanwhile; those for the new one, and a large one, when it is open."""
    with serving(tmp_path, *options_of(tiny_model, "-m", f"gemma={gemma3}"), build=build_used) as server:
        assert server.post("/tokenize", model="tiny", content="the")["count"]
        answers = []

        def ask(model, text):
            server.post("/tokenize", model=model, content=text)
            answers.append(model)

        large = "the way " * 20_000
        threads = [threading.Thread(target=ask, args=("gemma", text)) for text in ("the", "a", large)]
        for thread in threads:
            thread.start()
        while len(answers) < 20 and "gemma" not in answers:
            ask("tiny", "the")
        for thread in threads:
            thread.join()
        assert answers.index("gemma") > 3, answers
        assert answers.count("gemma") == 3


def test_a_second_signal_cancels_the_opening_of_a_model(tmp_path, tiny_model, gemma3):
    """While its tokenizer is read."""
    options = ["-m", f"tiny={tiny_model}", "-m", f"gemma={gemma3}", "--precision", "f32", "--weights-memory", "8G", "--threads", "1"]
    with serving(tmp_path, *options) as server:
        answers = []
        thread = threading.Thread(target=lambda: answers.append(server.ask("/tokenize", {"model": "gemma", "content": "the"})))
        thread.start()
        while not server.metric("requests"):
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        assert server.stop(signal.SIGINT) == 0
        thread.join()
        assert answers[0][0] == 503 and answers[0][2]["error"]["message"] == "cancelled", answers
        assert not any(line.get("event") == "opened" for line in server.lines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_opening_of_the_only_model(tmp_path, gemma3, build, number):
    command = [str(build / "capp"), "serve", "--port", "0", "-m", gemma3, "--precision", "f32", "--weights-memory", "8G", "--threads", "1"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    blocked = re.compile(r"^SigBlk:\s*(\w+)$", re.M)
    while not int(blocked.search(Path(f"/proc/{process.pid}/status").read_text())[1], 16) & 1 << number - 1:  # the server begins
        time.sleep(0.005)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode in (-number, 128 + number) and "listening" not in told, (process.returncode, told)


def test_json_counts_as_it_is_in_memory(tmp_path, tiny_model):
    """An array of small numbers takes much more memory than its text. One request alone may have it, two may not."""
    body = json.dumps({"tokens": [5] * 60_000}, separators=(",", ":")).encode()
    with serving(tmp_path, *options_of(tiny_model, "--max-body", "128K")) as server:
        assert server.ask("/detokenize", body)[0] == 200
        end = time.monotonic() + 30
        while server.metric("held_bytes"):  # a request is released a little after its answer
            assert time.monotonic() < end
        with connect(server) as other:
            other.sendall(request_bytes("/tokenize", b" " * 100_000)[:-1])
            while server.metric("held_bytes") < 99_000:  # the body arrives in parts
                assert time.monotonic() < end
            server.fails("/detokenize", body, 429, "try again")


def test_an_answer_that_is_too_large(tmp_path, tiny_model):
    """What the server holds for a request has a bound."""
    with serving(tmp_path, *options_of(tiny_model, "--max-body", "2K")) as server:
        body = {"prompt": "the", "max_tokens": 60, "ignore_eos": True, "logprobs": 100}
        end = time.monotonic() + 30
        for path, more in (("completions", {}), ("completions", {"logprobs": 1, "n": 20}), ("classify", None)):
            large = {**body, **more} if more is not None else {"texts": ["a"] * 100, "classes": ["b", "c"] * 40}
            server.fails(f"/v1/{path}", large, 429, "too large")
            while server.metric("held_bytes"):  # a request is released a little after its answer
                assert time.monotonic() < end
        assert server.post("/v1/completions", **{**body, "logprobs": 1})["choices"]


def test_a_stream_that_nobody_takes(tmp_path, tiny_model):
    """What waits for the client is counted, and has the same bound."""
    body = {"texts": ["a"] * 3000, "classes": ["b", "c"] * 40, "logprobs": True, "stream": True}
    with serving(tmp_path, *options_of(tiny_model, "--max-body", "32K")) as server, socket.socket() as each:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        each.connect(("127.0.0.1", server.port))
        each.sendall(request_bytes("/v1/classify", body, "Connection: close\r\n"))
        end = time.monotonic() + 50
        while not re.search(r"capp_rows_total.* [1-9]", server.ask("/metrics")[2]):
            assert time.monotonic() < end
        while server.metric("requests"):
            assert time.monotonic() < end and server.metric("held_bytes") < 3 * 32 * 32 * 1024
        taken = b"".join(iter(lambda: each.recv(100_000), b""))
        assert b"too large" in taken[-300:] and b'"index": 2999' not in taken


def test_a_stream_that_is_taken(tmp_path, smollm2):
    """The bound is of what waits, not of the whole answer. A real model makes it slowly, so that it waits only for a client
    that takes nothing for long."""
    body = {"texts": [str(i) for i in range(1000)], "classes": ["b", "c"] * 12, "logprobs": True, "stream": True}
    with serving(tmp_path, "-m", smollm2, "--threads", "1", "--max-body", "32K") as server:
        answer = server.ask("/v1/classify", body)[2]
        assert len(answer) > 32 * 32 * 1024 and len(answer.splitlines()) == 1000


def test_echoes_count_as_answers(tmp_path, tiny_model):
    with serving(tmp_path, *options_of(tiny_model, "--max-body", "4K")) as server:
        body = {"prompt": ["a " * 60] * 25, "echo": True, "max_tokens": 0}
        assert len(server.post("/v1/completions", **body)["choices"]) == 25
        server.fails("/v1/completions", {**body, "n": 128}, 429, "too large")


def test_a_client_that_does_not_take_its_answer(tmp_path, tiny_model):
    with serving(tmp_path, *options_of(tiny_model, "--timeout", "2")) as server, socket.socket() as each:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        each.connect(("127.0.0.1", server.port))
        each.sendall(request_bytes("/v1/completions", {"prompt": "the", "max_tokens": 80, "ignore_eos": True, "logprobs": 100, "n": 20}))
        end = time.monotonic() + 50  # libmicrohttpd alone would wait for 61 seconds
        while not any(line.get("path") == "/v1/completions" for line in server.lines()):  # the end of a request is logged
            assert time.monotonic() < end
            time.sleep(0.1)
        assert server.post("/v1/completions", prompt="a")["choices"]


def test_clients_that_leave_while_an_answer_streams(tmp_path, tiny_model, build_used):
    with serving(tmp_path, *options_of(tiny_model), build=build_used) as server:
        for _ in range(5):
            with connect(server) as each:
                each.sendall(request_bytes("/v1/completions", {"prompt": "the", "max_tokens": 120, "n": 20, "stream": True,
                                                               "ignore_eos": True}))
                assert b"HTTP/1.1 200" in each.recv(100)
        server.wait_until_released()
        assert server.post("/v1/completions", prompt="a")["choices"]


def test_the_time_of_an_answer_ends(tmp_path, tiny_model):
    with serving(tmp_path, *options_of(tiny_model, "--timeout", "1")) as server:
        body = {"prompt": ["the"] * 100, "n": 100, "max_tokens": 120, "ignore_eos": True}
        server.fails("/v1/completions", body, 504, "1 seconds")
        assert server.post("/v1/completions", prompt="a")["choices"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_under_load(tmp_path, tiny_model, build_used, number):
    """Requests that have arrived are answered in full."""
    with serving(tmp_path, *options_of(tiny_model, "--stop-timeout", "200"), build=build_used) as server, contextlib.ExitStack() as stack:
        answers = []

        def take(each):
            answer = http.client.HTTPResponse(each)
            answer.begin()
            answers.append(json.loads(answer.read()))

        sockets = [stack.enter_context(connect(server)) for _ in range(6)]
        server.process.send_signal(signal.SIGSTOP)  # so that all are there, with a question for their number, when it goes on
        for i, each in enumerate(sockets):
            each.settimeout(250)
            each.sendall(request_bytes("/v1/completions", {"prompt": f"the {i}", "n": 64, "max_tokens": 100, "ignore_eos": True}))
        with connect(server) as each:
            each.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            server.process.send_signal(signal.SIGCONT)
            told = b"".join(iter(lambda: each.recv(10_000), b"")).decode()
        threads = [threading.Thread(target=take, args=(each,)) for each in sockets]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 30
        while "\ncapp_requests 6\n" not in told:
            assert time.monotonic() < end
            told = server.ask("/metrics")[2]
        assert server.stop(number, 250) == 0
        for thread in threads:
            thread.join()
        assert len(answers) == 6 and all(len(answer["choices"]) == 64 for answer in answers)
        assert [line["event"] for line in server.lines() if "event" in line][-2:] == ["stopping", "stopped"]


def test_a_second_signal_ends_the_answers(tmp_path, tiny_model):
    with serving(tmp_path, *options_of(tiny_model)) as server:
        with connect(server) as each:
            each.sendall(request_bytes("/v1/completions", {"prompt": ["the"] * 100, "n": 128, "max_tokens": 120, "ignore_eos": True}))
            end = time.monotonic() + 30
            while server.metric("requests") < 1:
                assert time.monotonic() < end
            server.process.send_signal(signal.SIGTERM)
            while not any(line.get("event") == "stopping" for line in server.lines()):  # two that wait at once are one
                assert time.monotonic() < end
                time.sleep(0.01)
            start = time.monotonic()
            assert server.stop() == 0 and time.monotonic() - start < 25  # of 30 seconds that a first signal leaves
            assert b" 503 " in each.recv(1000).split(b"\r\n")[0]


def test_a_budget_that_is_too_small(tmp_path, tiny_model):
    with serving(tmp_path, "-m", f"tiny={tiny_model}", "--memory", "1M") as server:
        status, _, answer = server.ask("/v1/completions", {"prompt": "the", "max_tokens": 100})
        assert status in (200, 400) and (status == 200 or "budget" in answer["error"]["message"])
        server.fails("/v1/completions", {"prompt": "a " * 60, "choice": ["b", "c"]}, 400, "budget") if status == 400 else None


def test_a_model_that_cannot_be_opened(tmp_path, tiny_model):
    """The others work on."""
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + bytes(100))
    with serving(tmp_path, *options_of(tiny_model, "-m", f"bad={tmp_path / 'bad.gguf'}")) as server:
        for _ in range(2):
            server.fails("/v1/completions", {"model": "bad", "prompt": "a"}, 500, "the model 'bad' cannot be opened")
        assert "bad.gguf" in server.log.read_text()
        assert server.post("/v1/completions", model="tiny", prompt="a")["choices"]
        opened = next(line for line in server.log.read_text().splitlines() if '"opened"' in line)
        assert ", precision f32, " in opened, opened


BODIES = [("/v1/completions", {"model": "tiny", "prompt": "the", "echo": True, "logprobs": 2, "max_tokens": 3, "stop": ["a"], "n": 2, "seed": 1}),
          ("/v1/completions", {"prompt": [[5, 6]], "choice": ["a", "b"], "stream": False}),
          ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}], "logprobs": True, "top_logprobs": 2}),
          ("/v1/classify", {"texts": ["a", {"text": "b"}], "classes": ["c", "d"], "prior": [0.5, 0.5], "template": "{text}", "stream": True}),
          ("/v1/systemone", {"state": {"a": [1]}, "questions": {"q": {"type": "score", "criteria": ["x", "y"]}}}),
          ("/tokenize", {"content": "the", "add_special": True}), ("/detokenize", {"tokens": [5, 6]})]
ODD = [None, True, 0, -1, 1e308, 2**63 - 1, "", "\u0000", "é" * 50, [], {}, [[]], [None], {"a": {}}, ["a"] * 30, "a" * 300]


def mutated(random_, value):
    """The JSON value with one part replaced, removed or repeated."""
    if isinstance(value, dict) and value and random_.random() < 0.8:
        name = random_.choice(list(value))
        changed = dict(value)
        if random_.random() < 0.15:
            del changed[name]
        else:
            changed[name] = mutated(random_, value[name])
        return changed
    if isinstance(value, list) and value and random_.random() < 0.7:
        i = random_.randrange(len(value))
        return [*value[:i], mutated(random_, value[i]), *value[i + 1:]]
    return random_.choice(ODD)


def damaged(random_, data):
    """Bytes with some changed."""
    data = bytearray(data)
    for _ in range(random_.choice([0, 0, 0, 1, 3])):
        at = random_.randrange(len(data) + 1)
        data[at:at + random_.randrange(3)] = bytes(random_.randrange(256) for _ in range(random_.randrange(3)))
    return bytes(data)


def fuzz(server, count, seed):
    random_ = random.Random(seed)
    statuses = {}
    for _ in range(count):
        path, body = random_.choice(BODIES)
        for _ in range(random_.choice([0, 1, 1, 2])):
            body = mutated(random_, body)
            if not isinstance(body, dict):
                break
        status, _, answer = server.ask(path, damaged(random_, json.dumps(body).encode()) or b"{")
        statuses[status] = statuses.get(status, 0) + 1
        assert status in (200, 400, 404), (status, body, answer)
        if status != 200:
            assert answer["error"]["message"]
    return statuses


def test_fuzzed_requests(tmp_path, tiny_model, build_used):
    with serving(tmp_path, *options_of(tiny_model), build=build_used) as server:
        statuses = fuzz(server, 1000, 1)
        assert statuses[200] > 50 and statuses[400] > 300


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_fuzzed_requests(tmp_path, tiny_model, build_asan):
    with serving(tmp_path, *options_of(tiny_model), build=build_asan) as server:
        fuzz(server, 100_000, 2)
