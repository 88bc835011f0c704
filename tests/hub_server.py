"""A model hub on loopback that answers like Hugging Face's: it lists files, and a second server sends the downloads."""
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """repositories: {"owner/name": {file: bytes}}. requests records the requests it received: (server, path,
    headers)."""

    def __init__(self, tls=None):
        """tls: an ssl.SSLContext for https, or None."""
        self.tls, self.cdn_url = tls, None
        self.repositories, self.requests = {}, []
        self.token = None  # the token that it requires
        self.cuts = []  # number of bytes after which each of the next downloads breaks off
        self.answers = []  # status codes of the answers to the next requests for the list
        self.ranges = True  # whether it supports range requests
        self.large_from = 100  # a file of at least this many bytes has a SHA-256
        self.change = lambda answer: answer  # change of the list
        self.sent = lambda content: content
        self.hub, self.cdn = self._serve(self._hub_request), self._serve(self._cdn_request)
        scheme = "https" if tls else "http"
        self.url, self.cdn_url = (f"{scheme}://127.0.0.1:{server.server_port}" for server in (self.hub, self.cdn))

    def _serve(self, answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                answer(self)

            do_HEAD = do_GET

            def log_message(self, *_arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if self.tls:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def close(self):
        for server in (self.hub, self.cdn):
            server.shutdown()
            server.server_close()

    @staticmethod
    def _reply(request, code, body=b"", **headers):
        request.send_response(code)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    def is_large(self, content):
        return len(content) >= self.large_from

    def _entry(self, name, content):
        entry = {"rfilename": name, "size": len(content), "blobId": git_hash(content)}
        if self.is_large(content):
            entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        return entry

    def _hub_request(self, request):
        path = request.path.partition("?")[0]
        if path.startswith("http://"):  # the request came to us as a proxy
            path = "/" + path.split("/", 3)[3]
        self.requests.append(("hub", request.path, dict(request.headers)))
        found = re.fullmatch(r"(?:/api/models/(?P<listed>[^/]+/[^/]+)/revision/main)|"
                             r"(?:/(?P<owner>[^/]+/[^/]+)/resolve/(?P<commit>[0-9a-f]+)/(?P<file>.+))", path)
        if self.answers:
            return self._reply(request, self.answers.pop(0))
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            return self._reply(request, 401, b'{"error": "Invalid credentials"}')
        files = self.repositories.get(found and (found["listed"] or found["owner"]))
        if files is None or (found["file"] and found["file"].replace("%20", " ") not in files):
            return self._reply(request, 404, b"Repository not found")
        if found["listed"]:
            answer = {"id": found["listed"], "sha": COMMIT, "siblings": [self._entry(*item) for item in files.items()]}
            return self._reply(request, 200, json.dumps(self.change(answer)).encode())
        self._reply(request, 302, b"moved", Location=f"{self.cdn_url}/cdn/{found['owner']}/{found['file']}")

    def _cdn_request(self, request):
        self.requests.append(("cdn", request.path, dict(request.headers)))
        _, _, owner, name, file = request.path.split("/", 4)
        content = self.sent(self.repositories[f"{owner}/{name}"][file.replace("%20", " ")])
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        start = int(asked[1]) if asked and self.ranges else 0
        if start >= len(content) > 0:
            return self._reply(request, 416)
        request.send_response(206 if asked and self.ranges else 200)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        if self.cuts:
            request.wfile.write(content[start:start + self.cuts.pop(0)])
            request.wfile.flush()
            request.close_connection = True
            request.connection.shutdown(2)
        else:
            request.wfile.write(content[start:])
        return None
