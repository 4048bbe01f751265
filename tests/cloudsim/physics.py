"""What traffic does to a fleet: pure functions from load to CPU, latency and errors."""

import math
from dataclasses import dataclass

KNEE = 0.95  # utilisation where the 1/(1-u) curve ends and the queue only grows
ERRORS_FROM = 0.90  # utilisation where targets begin to fail requests


@dataclass
class Load:
    """Rates per second, for one fleet over one moment."""

    utilisation: float
    served: float  # requests that reached a target
    target_5xx: float  # of those, answered with 5xx
    elb_5xx: float  # refused by the load balancer: no target, or none with room
    latency: float  # mean, seconds


def load_of(rps, serving, group):
    """`serving`: healthy instances in service; `group`: the scenario's constants of the group."""
    if serving == 0:
        return Load(0.0, 0.0, 0.0, rps, 0.0)
    utilisation = rps / (serving * group["capacity_rps"])
    served = rps / max(1.0, utilisation)
    failing = group["error_share"] + max(0.0, min(utilisation, 1.0) - ERRORS_FROM) * 0.1
    return Load(utilisation, served, served * min(1.0, failing), rps - served,
                latency_of(utilisation, group) / 1000.0)


def latency_of(utilisation, group):
    """Mean latency in ms: one queue (M/M/1) up to the knee, then steeply up to the time-out."""
    if utilisation < KNEE:
        mean = group["service_ms"] / (1.0 - utilisation)
    else:
        mean = group["service_ms"] / (1.0 - KNEE) * (1.0 + (utilisation - KNEE) * 10.0)
    return min(mean, group["timeout_ms"])


def cpu_of(utilisation, group):
    return group["base_cpu"] + (100.0 - group["base_cpu"]) * min(1.0, utilisation)


def latency_quantile(mean, share):
    """Response times of such a queue are exponential: p99 is 4.6 times the mean."""
    return -mean * math.log(1.0 - min(share, 0.99999))


class Traffic:
    """Requests per second over time: steps and ramps, in seconds of the estate's clock."""

    def __init__(self, steps, origin):
        self._steps = sorted(
            ((origin + float(s.get("at", 0)), float(s["rps"]), float(s.get("ramp", 0)))
             for s in steps), key=lambda step: step[0])

    def rps(self, now):
        """Before the first step it already has that step's rate, unless that is a ramp."""
        if not self._steps:
            return 0.0
        value = self._steps[0][1] if self._steps[0][2] == 0 else 0.0
        following = [step[0] for step in self._steps[1:]] + [math.inf]
        for (begin, target, ramp), end in zip(self._steps, following):
            if now < begin:
                break
            share = 1.0 if ramp <= 0 else min(1.0, (min(now, end) - begin) / ramp)
            value += (target - value) * share
        return value

    def then(self, steps, now):
        """A script that starts now from the present value."""
        return Traffic([{"at": 0, "rps": self.rps(now)}] + list(steps), now)
