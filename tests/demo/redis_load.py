"""A real Redis under an application that writes more than it holds, standing for the simulated replication group: it has the
memory of the group's node type (scaled down), and what it evicts is what the group's CloudWatch metrics show."""
import json
import socket
import threading
import time
import urllib.request

MEMORY = {"cache.t4g.micro": "4mb", "cache.t4g.small": "16mb", "cache.t4g.medium": "32mb"}  # scaled down
KEYS, VALUE = 6000, b"x" * 1000  # 6 MB and more


class Redis:
    """A connection that sends commands and reads plain answers."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(path)
        self.file = self.socket.makefile("rb")

    def send(self, *commands):
        out = []
        for command in commands:
            parts = [p if isinstance(p, bytes) else str(p).encode() for p in command]
            out.append(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        self.socket.sendall(b"".join(out))
        return [self._answer() for _ in commands]

    def _answer(self):
        line = self.file.readline().rstrip(b"\r\n")
        if line.startswith(b"-"):
            raise OSError(line.decode())
        if line.startswith(b"$"):
            return self.file.read(int(line[1:]) + 2)[:-2]
        return line[1:]

    def info(self):
        lines = self.send(("INFO",))[0].decode().split("\r\n")
        return dict(line.split(":", 1) for line in lines if ":" in line)


class Load:
    """Writes, feeds cloudsim, and follows the node type; on threads that end with it."""

    def __init__(self, path, url, name):
        self.path, self.url, self.name = path, url, name
        self.writes = False
        self._end = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._write, self._follow)]
        for thread in self._threads:
            thread.start()

    def stop(self):
        self._end.set()
        for thread in self._threads:
            thread.join(5)

    def evicted(self):
        return int(Redis(self.path).info()["evicted_keys"])

    def _http(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data), timeout=5) as answer:
            return json.load(answer)

    def _write(self):
        redis, key = Redis(self.path), 0
        while not self._end.wait(0.05):
            if self.writes:
                redis.send(*(("SET", f"key:{(key + n) % KEYS}", VALUE) for n in range(100)))
                key += 100

    def _follow(self):
        redis, evicted, node_type = Redis(self.path), 0, None
        while not self._end.wait(0.5):
            try:
                group = self._http("/_sim/state")["caches"][self.name]
                if group["node_type"] != node_type:
                    node_type = group["node_type"]
                    redis.send(("CONFIG", "SET", "maxmemory", MEMORY[node_type]))
                info = redis.info()
                new, evicted = int(info["evicted_keys"]) - evicted, int(info["evicted_keys"])
                percent = min(100.0, 100.0 * int(info["used_memory"]) / int(info["maxmemory"]))
                self._http("/_sim/cache", {"cache": self.name, "evictions": new, "memory_percent": percent})
            except OSError:
                time.sleep(0.2)  # the servers are being stopped
