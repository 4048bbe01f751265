"""Two clocks: the estate's, which only runs forward, and the one that the server claims."""

import time


class Clock:
    def __init__(self):
        self._start = time.time() - time.monotonic()
        self.offset = 0.0  # claimed minus true, seconds

    def estate(self):
        """Seconds since 1970 by which the estate lives; not moved by steps of the host's clock."""
        return self._start + time.monotonic()

    def now(self):
        """What the server says the time is: Date headers, signatures, expiry, time stamps."""
        return time.time() + self.offset


class ManualClock(Clock):
    """For unit tests: time passes when told to."""

    def __init__(self, start=1_700_000_000.0):
        super().__init__()
        self.time = start

    def estate(self):
        return self.time

    def now(self):
        return self.time + self.offset
