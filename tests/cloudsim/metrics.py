"""The metric store: published points, what is visible of them, and statistics over periods."""

import bisect
import math

import physics

KEEP_POINTS = 20000


class Point:
    """A statistic set of one metric over one published period.

    `values` (one per instance) or `mean` of an exponential distribution answer percentiles.
    `visible_at` is in the estate's time, `time` in the claimed one.
    """

    __slots__ = ("time", "count", "sum", "low", "high", "values", "mean", "visible_at")

    def __init__(self, time, values=None, count=None, mean=None, total=None, visible_at=0.0):
        self.time = time
        self.visible_at = visible_at
        self.values = values
        self.mean = mean
        if values is not None:
            self.count, self.sum = float(len(values)), float(sum(values))
            self.low, self.high = min(values), max(values)
        elif mean is not None:
            self.count, self.sum = float(count), mean * count
            self.low = 0.0
            self.high = physics.latency_quantile(mean, 1.0 - 1.0 / max(count, 2.0))
        else:
            self.count, self.sum = float(count), float(total)
            self.low = self.high = self.sum / self.count

    def quantile(self, share):
        if self.mean is not None:
            return physics.latency_quantile(self.mean, share)
        if self.values is None:
            return self.low
        ordered = sorted(self.values)
        position = share * (len(ordered) - 1)
        below = math.floor(position)
        above = min(below + 1, len(ordered) - 1)
        return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def statistic(points, name):
    """The value of a statistic over the points of one period; None for an unknown statistic."""
    count = sum(p.count for p in points)
    if name == "SampleCount":
        return count
    if name == "Sum":
        return math.fsum(p.sum for p in points)
    if name == "Average":
        return math.fsum(p.sum for p in points) / count
    if name == "Minimum":
        return min(p.low for p in points)
    if name == "Maximum":
        return max(p.high for p in points)
    share = percentile_share(name)
    if share is None:
        return None
    return math.fsum(p.quantile(share) * p.count for p in points) / count


def percentile_share(name):
    """0.99 for "p99"; None for what is not a percentile."""
    try:
        percent = float(name[1:]) if name[:1] == "p" and name[1:2].isdigit() else -1.0
    except ValueError:
        return None
    return percent / 100.0 if 0.0 <= percent <= 100.0 else None


def known_statistic(name):
    return (name in ("SampleCount", "Sum", "Average", "Minimum", "Maximum")
            or percentile_share(name) is not None)


class Series:
    def __init__(self, unit):
        self.unit = unit
        self.points = []

    def put(self, point, replace=False):
        times = [p.time for p in self.points[-3:]]
        if not times or point.time > times[-1]:
            self.points.append(point)
        else:
            if replace:
                self.points = [p for p in self.points if p.time != point.time]
            bisect.insort(self.points, point, key=lambda p: p.time)
        if len(self.points) > KEEP_POINTS:
            del self.points[: KEEP_POINTS // 10]


class Override:
    """While it stands, points of matching metrics are not published, or published as `value`."""

    def __init__(self, namespace, name, dimensions, value):
        self.namespace, self.name = namespace, name
        self.dimensions = set((dimensions or {}).items())
        self.value = value

    def matches(self, namespace, name, dimensions):
        return (self.namespace in (None, namespace) and self.name in (None, name)
                and self.dimensions <= set(dimensions))


class MetricStore:
    def __init__(self):
        self._series = {}
        self.overrides = []

    def publish(self, namespace, name, dimensions, unit, point):
        """A point as the estate publishes it; overrides (gaps, forced values) apply."""
        key = (namespace, name, tuple(sorted(dimensions.items())))
        for override in self.overrides:
            if override.matches(*key):
                if override.value is None:
                    return
                point = Point(point.time, count=point.count, total=override.value * point.count,
                              visible_at=point.visible_at)
        self._series.setdefault(key, Series(unit)).put(point)

    def inject(self, namespace, name, dimensions, unit, points, replace=True):
        """Points from the control API, exactly as given, visible at once."""
        key = (namespace, name, tuple(sorted(dimensions.items())))
        series = self._series.setdefault(key, Series(unit))
        for point in points:
            series.put(point, replace)

    def drop(self, namespace, name, dimensions, start, end):
        """Removes the points of [start, end): a gap. Says how many."""
        removed = 0
        for key, series in self._series.items():
            if Override(namespace, name, dimensions, None).matches(*key):
                kept = [p for p in series.points if not start <= p.time < end]
                removed += len(series.points) - len(kept)
                series.points = kept
        return removed

    def series(self, namespace, name, dimensions):
        return self._series.get((namespace, name, tuple(sorted(dimensions.items()))))

    def keys(self):
        return self._series.items()


def by_period(series, start, end, period, now):
    """{time of period: its visible points} over [start, end); periods count from `start`."""
    if series is None:
        return {}
    periods = {}
    first = bisect.bisect_left(series.points, start, key=lambda p: p.time)
    for point in series.points[first:]:
        if point.time >= end:
            break
        if point.visible_at <= now:
            slot = start + math.floor((point.time - start) / period) * period
            periods.setdefault(slot, []).append(point)
    return periods
