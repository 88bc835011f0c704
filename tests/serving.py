"""Starts `capp serve` for tests, and speaks HTTP with it."""
import http.client
import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

BUILD = Path(os.environ.get("CAPP_BUILD", Path(__file__).resolve().parent.parent / "build"))


class Server:
    def __init__(self, process, log, port):
        self.process, self.log, self.port = process, log, port
        self.base = f"http://127.0.0.1:{port}"

    def ask(self, path, body=None, method=None, headers=None):
        """Returns status, headers and body; JSON is decoded. body: bytes, or what becomes JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            given = {"Content-Type": "application/json"} if data is not None else {}
            connection.request(method or ("GET" if data is None else "POST"), path, data, {**given, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            is_json = answer.headers["Content-Type"] == "application/json" and text
            return answer.status, answer.headers, json.loads(text) if is_json else text.decode()
        finally:
            connection.close()

    def post(self, path, **body):
        status, _, answer = self.ask(path, body)
        assert status == 200, answer
        return answer

    def fails(self, path, body, status, *parts, **how):
        found, headers, answer = self.ask(path, body, **how)
        assert found == status, answer
        for part in parts:
            assert part in answer["error"]["message"] or part == answer["error"]["param"], answer
        return headers

    def metric(self, name):
        text = self.ask("/metrics")[2]
        return float(re.search(rf"^capp_{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.M)[1])

    def wait_until_released(self, seconds=30):
        """A request is released, and its work is counted, a little after its answer."""
        end = time.monotonic() + seconds
        while self.metric("requests"):
            assert time.monotonic() < end

    def lines(self):
        """Those of the log that are complete: while the server runs, the end may be a part of a line."""
        text = self.log.read_text()
        if self.process.poll() is None:
            text = text[:text.rfind("\n") + 1]
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def stop(self, number=signal.SIGTERM, seconds=60):
        """Returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(seconds)


@contextmanager
def serving(folder, *arguments, build=BUILD, **environment):
    """A server with a log in the folder. At its end it must stop cleanly."""
    log = Path(folder) / "server.log"
    command = [str(build / "capp"), "serve", "--port", "0", *map(str, arguments)]
    with open(log, "w") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdin=subprocess.DEVNULL, env={**os.environ, **environment})
    try:
        end = time.monotonic() + 60
        while not (found := re.search(r'"http://[^"]*:(\d+)"', log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, "the server does not begin"
            time.sleep(0.02)
        server = Server(process, log, int(found[1]))
        yield server
        assert server.stop() == 0, log.read_text()[-3000:]
        reports = re.search("ERROR: |WARNING: ThreadSanitizer", log.read_text())
        assert not reports, log.read_text()[reports.start():][:5000]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
