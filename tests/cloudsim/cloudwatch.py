"""CloudWatch: GetMetricData, GetMetricStatistics, ListMetrics, in query XML and in JSON 1.0."""

import math
import re

import metric_math
import metrics
import validate
from errors import ApiError
from paging import BadToken, make_token, read_token
from service import Service

SHORT_PERIODS = (1, 5, 10, 20, 30)
MAX_QUERIES = 500
MAX_STATISTICS_POINTS = 1440
_ID = re.compile(r"[a-z][a-zA-Z0-9_]*\Z")


class CloudWatch(Service):
    model = "cloudwatch"
    iam_prefix = "cloudwatch"
    json_target = "GraniteServiceVersion20100801"  # since December 2025
    json_version = "1.0"

    def check(self, operation, params):
        """GetMetricStatistics and ListMetrics have codes of their own for what is amiss."""
        if operation.name == "GetMetricData":
            return super().check(operation, params)
        for violation in validate.violations(params, operation.input_shape):
            name = violation.path[0].upper() + violation.path[1:]
            if violation.missing:
                raise ApiError("MissingParameter", f"The parameter {name} is required.")
            raise ApiError("InvalidParameterValue",
                           f"The value {violation.value} for parameter {name} is not supported: "
                           f"{violation.rule}.")
        return None

    # --- GetMetricData ---------------------------------------------------------------------------

    def GetMetricData(self, call):
        params = call.params
        queries = params["MetricDataQueries"]
        self._check_queries(queries)
        start, end = _check_range(params, "ValidationError")
        evaluation = _Evaluation(self, queries, start, end)
        newest_first = params.get("ScanBy", "TimestampDescending") == "TimestampDescending"
        results = [
            (query["Id"], evaluation.label(query),
             sorted(evaluation.series(query["Id"]).items(), reverse=newest_first))
            for query in queries if query.get("ReturnData", True)
        ]
        return self._results_page(params, results)

    def _results_page(self, params, results):
        """As many points as fit on the page; a series that goes on later is PartialData."""
        question = {k: v for k, v in params.items() if k not in ("NextToken", "MaxDatapoints")}
        limit = min(params.get("MaxDatapoints", math.inf), self.scenario["metric_data_points"])
        if limit < 1:
            raise ApiError("ValidationError", "MaxDatapoints must be at least 1")
        try:
            skip = read_token(question, params["NextToken"]) if "NextToken" in params else 0
        except BadToken:
            raise self.bad_token(params["NextToken"]) from None
        page, position, room = [], 0, limit
        for query_id, label, points in results:
            begin = min(max(0, skip - position), len(points))
            shown = points[begin:begin + room]
            room -= len(shown)
            position += len(points)
            whole = begin + len(shown) == len(points)
            if skip == 0 or shown:  # the first page names every series
                page.append({
                    "Id": query_id, "Label": label,
                    "Timestamps": [t for t, _ in shown], "Values": [v for _, v in shown],
                    "StatusCode": "Complete" if whole else "PartialData",
                })
        more = position > skip + limit
        token = make_token(question, skip + limit) if more else None
        return {"MetricDataResults": page, "NextToken": token, "Messages": []}

    @staticmethod
    def _check_queries(queries):
        def refuse(message):
            raise ApiError("ValidationError", message, json_code="ValidationException")

        if len(queries) > MAX_QUERIES:
            refuse("The collection MetricDataQueries must not have a size greater than "
                   f"{MAX_QUERIES}.")
        if not queries:
            refuse("The parameter MetricDataQueries is required.")
        seen = set()
        for number, query in enumerate(queries, 1):
            where = f"MetricDataQueries.member.{number}"
            if not _ID.match(query["Id"]):
                refuse(f"The value {query['Id']} for parameter {where}.Id is invalid: it must "
                       "start with a lower case letter and have letters, digits and _ only.")
            if query["Id"] in seen:
                refuse(f"The values for parameter Id in MetricDataQueries must be unique: "
                       f"{query['Id']}.")
            seen.add(query["Id"])
            if ("MetricStat" in query) == ("Expression" in query):
                refuse(f"The parameters {where}.Expression and {where}.MetricStat are mutually "
                       "exclusive and one of them is required.")
            if "Period" in query:
                _check_period(query["Period"], f"{where}.Period", "ValidationError")
            stat = query.get("MetricStat")
            if stat is None:
                continue
            for name in ("Namespace", "MetricName"):
                if name not in stat["Metric"]:
                    refuse(f"The parameter {where}.MetricStat.Metric.{name} is required.")
            _check_period(stat["Period"], f"{where}.MetricStat.Period", "ValidationError")
            if not metrics.known_statistic(stat["Stat"]):
                refuse(f"The value {stat['Stat']} for parameter {where}.MetricStat.Stat is not "
                       "supported.")

    # --- GetMetricStatistics ---------------------------------------------------------------------

    def GetMetricStatistics(self, call):
        params = call.params
        plain, extended = params.get("Statistics", []), params.get("ExtendedStatistics", [])
        if not plain and not extended:
            raise ApiError("InvalidParameterCombination", "At least one of the parameters "
                           "Statistics and ExtendedStatistics must be specified.")
        for name in extended:
            if metrics.percentile_share(name) is None:
                raise ApiError("InvalidParameterValue", f"The value {name} for parameter "
                               "ExtendedStatistics is not supported.")
        start, end = _check_range(params, "InvalidParameterValue")
        period = params["Period"]
        _check_period(period, "Period", "InvalidParameterValue")
        points = math.ceil((end - start) / period)
        if points > MAX_STATISTICS_POINTS:
            raise ApiError("InvalidParameterCombination",
                           f"You have requested up to {points:,} datapoints, which exceeds the "
                           f"limit of {MAX_STATISTICS_POINTS:,}. You may reduce the datapoints "
                           "requested by increasing Period, or decreasing the time range.")
        series = self.estate.metrics.series(params["Namespace"], params["MetricName"],
                                            _dimensions(params.get("Dimensions", [])))
        datapoints = []
        if series is not None and params.get("Unit") in (None, series.unit):
            periods = metrics.by_period(series, _round_down(start, period), end, period,
                                        self.estate.now)
            for time, found in periods.items():
                point = {"Timestamp": time, "Unit": series.unit}
                point.update({name: metrics.statistic(found, name) for name in plain})
                if extended:
                    point["ExtendedStatistics"] = {
                        name: metrics.statistic(found, name) for name in extended}
                datapoints.append(point)
        return {"Label": params["MetricName"], "Datapoints": datapoints}

    # --- ListMetrics -----------------------------------------------------------------------------

    def ListMetrics(self, call):
        params = call.params
        filters = [(f["Name"], f.get("Value")) for f in params.get("Dimensions", [])]
        recent = self.app.clock.now() - 3 * 3600 if "RecentlyActive" in params else -math.inf
        found = []
        for (namespace, name, dimensions), series in sorted(self.estate.metrics.keys(),
                                                            key=lambda item: item[0]):
            if params.get("Namespace", namespace) != namespace:
                continue
            if params.get("MetricName", name) != name:
                continue
            have = dict(dimensions)
            if not all(n in have and v in (None, have[n]) for n, v in filters):
                continue
            if not series.points or series.points[-1].time < recent:
                continue
            found.append({"Namespace": namespace, "MetricName": name, "Dimensions": [
                {"Name": n, "Value": v} for n, v in dimensions]})
        shown, token = self.page(call, found, 500, 500, size_key="-")
        return {"Metrics": shown, "NextToken": token}


class _Evaluation:
    """The queries of one call, evaluated as they need each other."""

    def __init__(self, cloudwatch, queries, start, end):
        self._cloudwatch = cloudwatch
        self._queries = {query["Id"]: query for query in queries}
        self._start, self._end = start, end
        self._done = {}
        self._underway = []

    @staticmethod
    def label(query):
        if "Label" in query:
            return query["Label"]
        return query["MetricStat"]["Metric"]["MetricName"] if "MetricStat" in query else query["Id"]

    def series(self, query_id):
        if query_id not in self._done:
            query = self._queries[query_id]
            read = self._metric if "MetricStat" in query else self._expression
            self._done[query_id] = read(query)
        return self._done[query_id]

    def _metric(self, query):
        stat = query["MetricStat"]
        metric = stat["Metric"]
        store = self._cloudwatch.estate.metrics
        series = store.series(metric["Namespace"], metric["MetricName"],
                              _dimensions(metric.get("Dimensions", [])))
        if series is None or stat.get("Unit") not in (None, series.unit):
            return {}
        periods = metrics.by_period(series, _round_down(self._start, stat["Period"]), self._end,
                                    stat["Period"], self._cloudwatch.estate.now)
        return {time: metrics.statistic(found, stat["Stat"]) for time, found in periods.items()}

    def _period_of(self, query):
        if "MetricStat" in query:
            return query["MetricStat"]["Period"]
        named = [self._queries[name] for name in metric_math.references(query["Expression"])
                 if name in self._queries and name not in self._underway]
        return query.get("Period") or max([self._period_of(q) for q in named], default=60)

    def _expression(self, query):
        def refuse(message):
            raise ApiError("ValidationError", f"Error in expression '{query['Id']}': {message}",
                           json_code="ValidationException")

        def lookup(name):
            if name not in self._queries:
                refuse(f"Unable to parse the expression: there is no query '{name}'")
            if name in self._underway:
                refuse("Circular dependency between expressions")
            return self.series(name)

        self._underway.append(query["Id"])
        try:
            period = self._period_of(query)
            first = _round_down(self._start, period)
            count = max(0, math.ceil((self._end - first) / period))
            slots = [first + n * period for n in range(count)]
            return metric_math.evaluate(query["Expression"], lookup, slots)
        except metric_math.MathError as problem:
            return refuse(str(problem))
        finally:
            self._underway.pop()


def _dimensions(given):
    return {d["Name"]: d["Value"] for d in given}


def _check_range(params, code):
    start, end = params["StartTime"], params["EndTime"]
    if start == end:
        raise ApiError(code, "The parameter StartTime must not equal parameter EndTime.")
    if start > end:
        raise ApiError(code, "The parameter StartTime must be less than the parameter EndTime.")
    return start, end


def _check_period(period, where, code):
    if period not in SHORT_PERIODS and (period < 60 or period % 60):
        raise ApiError(code, f"The value {period} for parameter {where} is invalid: it must be "
                       f"{', '.join(map(str, SHORT_PERIODS))} or a multiple of 60.")


def _round_down(start, period):
    """Start times are rounded down to the minute, or to the period below a minute."""
    unit = period if period < 60 else 60
    return math.floor(start / unit) * unit
