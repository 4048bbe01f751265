"""What happened: every request with its verdict, and every effect with what it changed."""

from collections import Counter, deque

KEEP = 50000


class Journal:
    def __init__(self):
        self._requests = deque(maxlen=KEEP)
        self._effects = deque(maxlen=KEEP)
        self._counts = Counter()
        self._seq = 0

    def request(self, **entry):
        self._seq += 1
        self._requests.append({"seq": self._seq, **entry})

    def effect(self, service, action, time, **detail):
        """A call that changed the estate (or a pager event that was taken) was carried out."""
        self._counts[f"{service}:{action}"] += 1
        self._effects.append({"service": service, "action": action, "time": time, **detail})

    def requests(self, since=0, service=None, action=None):
        return [r for r in self._requests if r["seq"] > since
                and service in (None, r["service"]) and action in (None, r["action"])]

    def request_counts(self):
        """{"service:Action": {verdict: how many}}"""
        counts = {}
        for entry in self._requests:
            verdicts = counts.setdefault(f"{entry['service']}:{entry['action']}", Counter())
            verdicts[entry["verdict"]] += 1
        return counts

    def effects(self):
        return {"counts": dict(self._counts), "list": list(self._effects)}

    def clear(self):
        self._requests.clear()
        self._effects.clear()
        self._counts.clear()
