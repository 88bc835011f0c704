"""The memory of a process while it runs. The system keeps no peak of the two kinds of memory, so they are sampled."""
import re
import threading


class Watch:
    """A context manager around a running process. Afterwards `facts` has its peaks: its own memory, and pages of
    files."""

    def __init__(self, pid):
        self.status, self.done = f"/proc/{pid}/status", threading.Event()
        self.facts = {"anonymous_bytes": 0, "file_bytes": 0}
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.wait(0.02):
            try:
                with open(self.status, encoding="utf-8") as file:
                    text = file.read()
            except OSError:
                return
            for fact, name in (("anonymous_bytes", "RssAnon"), ("file_bytes", "RssFile")):
                found = re.search(rf"^{name}:\s+(\d+) kB", text, re.M)
                self.facts[fact] = max(self.facts[fact], 1024 * int(found[1]) if found else 0)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
