"""CloudWatch: statistics, periods, paging, metric math, refusals, and JSON 1.0."""

import json
import math
import time
import unittest

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import testing

ALB = {"LoadBalancer": "app/web/456789abcdef"}
BOTH = {**ALB, "TargetGroup": "targetgroup/web/0123456789abcdef"}
CPU = {"AutoScalingGroupName": "web"}
MINUTE = 60 * math.floor(time.time() / 60)


def dimensions(given):
    return [{"Name": n, "Value": v} for n, v in given.items()]


def query(name, dims, stat="Average", period=60, query_id="m1", namespace="AWS/ApplicationELB",
          **more):
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions(dims)}
    return {"Id": query_id, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat},
            **more}


def custom(name, query_id="m1", stat="Sum", period=60, **more):
    return query(name, {"Service": "x"}, stat, period, query_id, "Custom", **more)


class CloudWatch(testing.SimTest):
    def setUp(self):
        self.cw = self.sim.client("cloudwatch")

    def inject(self, name, points, dims=None, **more):
        """points: {minutes ago, counted from the last whole minute: value}"""
        self.sim.control("POST", "metrics", {
            "namespace": "Custom", "name": name, "dimensions": dims or {"Service": "x"},
            "points": [{"time": MINUTE - 60 * ago, "value": v} for ago, v in points.items()],
            **more})

    def data(self, *queries, start=MINUTE - 600, end=MINUTE + 60, **more):
        return self.cw.get_metric_data(MetricDataQueries=list(queries), StartTime=start,
                                       EndTime=end, **more)

    def values(self, *queries, **more):
        """{id: {minutes ago: value}}"""
        return {r["Id"]: {(MINUTE - t.timestamp()) / 60: v
                          for t, v in zip(r["Timestamps"], r["Values"])}
                for r in self.data(*queries, **more)["MetricDataResults"]}


class Data(CloudWatch):
    def test_the_estate_publishes(self):
        now = time.time()
        stats = self.cw.get_metric_statistics(
            Namespace="AWS/EC2", MetricName="CPUUtilization", Dimensions=dimensions(CPU),
            StartTime=now - 20, EndTime=now, Period=1, ExtendedStatistics=["p50", "p99.9"],
            Statistics=["Average", "Maximum", "Minimum", "Sum", "SampleCount"])
        self.assertGreaterEqual(len(stats["Datapoints"]), 17)
        for point in stats["Datapoints"]:
            self.assertEqual(point["SampleCount"], 3.0)
            self.assertAlmostEqual(point["Average"], 41.8, delta=2.0)
            self.assertAlmostEqual(point["Sum"], point["Average"] * 3, places=6)
            self.assertLessEqual(point["Minimum"], point["ExtendedStatistics"]["p50"])
            self.assertLessEqual(point["ExtendedStatistics"]["p99.9"], point["Maximum"] + 1e-9)
            self.assertEqual(point["Unit"], "Percent")

    def test_load_balancer_metrics(self):
        ids = {"r": ("RequestCount", "Sum", BOTH), "a": ("TargetResponseTime", "Average", BOTH),
               "p": ("TargetResponseTime", "p99", BOTH), "t": ("HTTPCode_Target_5XX_Count", "Sum",
                                                                BOTH)}
        now = time.time()
        result = self.data(*[query(n, d, s, 1, i) for i, (n, s, d) in ids.items()],
                           start=now - 20, end=now)["MetricDataResults"]
        values = {r["Id"]: r["Values"] for r in result}
        self.assertAlmostEqual(sum(values["r"]) / len(values["r"]), 120, delta=3)
        self.assertAlmostEqual(values["a"][0], 0.033, delta=0.003)
        self.assertAlmostEqual(values["p"][0] / values["a"][0], 4.605, delta=0.01)
        self.assertEqual(values["t"], [])  # exists only when non-zero

    def test_only_published_dimensions_have_data(self):
        now = time.time()
        for dims in ({}, {"TargetGroup": BOTH["TargetGroup"]}, {**BOTH, "AvailabilityZone": "a"}):
            result = self.data(query("RequestCount", dims, "Sum", 1), start=now - 20, end=now)
            self.assertEqual(result["MetricDataResults"][0]["Values"], [])

    def test_end_is_exclusive_and_start_rounds_down(self):
        self.inject("edge", {3: 1, 2: 2, 1: 4, 0: 8})
        got = self.values(custom("edge"), start=MINUTE - 170, end=MINUTE)
        self.assertEqual(got["m1"], {3: 1, 2: 2, 1: 4})
        got = self.values(custom("edge", period=120), start=MINUTE - 180, end=MINUTE + 60)
        self.assertEqual(got["m1"], {3: 3, 1: 12})

    def test_order_label_and_return_data(self):
        self.inject("order", {2: 1, 1: 2})
        newest = self.data(custom("order"))["MetricDataResults"][0]
        self.assertEqual((newest["Values"], newest["Label"], newest["StatusCode"]),
                         ([2, 1], "order", "Complete"))
        oldest = self.data(custom("order", Label="mine"), ScanBy="TimestampAscending")
        self.assertEqual(oldest["MetricDataResults"][0]["Values"], [1, 2])
        self.assertEqual(oldest["MetricDataResults"][0]["Label"], "mine")
        hidden = self.data(custom("order", ReturnData=False),
                           {"Id": "e1", "Expression": "m1 * 10"})["MetricDataResults"]
        self.assertEqual([(r["Id"], r["Values"]) for r in hidden], [("e1", [20, 10])])

    def test_late_points(self):
        self.sim.control("POST", "settings", {"metric_delay": 3})
        try:
            time.sleep(1.2)
            now = time.time()
            got = self.data(query("RequestCount", BOTH, "Sum", 1), start=now - 10, end=now + 1)
            newest = got["MetricDataResults"][0]["Timestamps"][0].timestamp()
            self.assertLess(newest, now - 1.5)
        finally:
            self.sim.control("POST", "settings", {"metric_delay": 0})

    def test_batch_of_500_and_pages(self):
        self.inject("many", {m: m for m in range(8)})
        queries = [custom("many", f"q{n}") for n in range(500)]
        whole = self.data(*queries)
        self.assertEqual(len(whole["MetricDataResults"]), 500)
        self.assertEqual({len(r["Values"]) for r in whole["MetricDataResults"]}, {8})
        self.assertNotIn("NextToken", whole)
        message, _ = self.refused("ValidationError", self.data, *queries, custom("many", "q500"))
        self.assertIn("must not have a size greater than 500", message)
        pages, token = [], {}
        while True:
            page = self.data(*queries[:3], MaxDatapoints=10, **token)
            pages.append([(r["Id"], len(r["Values"]), r["StatusCode"])
                          for r in page["MetricDataResults"]])
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        self.assertEqual(pages, [
            [("q0", 8, "Complete"), ("q1", 2, "PartialData"), ("q2", 0, "PartialData")],
            [("q1", 6, "Complete"), ("q2", 4, "PartialData")], [("q2", 4, "Complete")]])
        self.refused("InvalidNextToken", self.data, custom("many"), **token)

    def test_page_size_of_the_scenario(self):
        self.inject("paged", {m: m for m in range(8)})
        self.sim.control("POST", "settings", {"metric_data_points": 5})
        try:
            pages = self.cw.get_paginator("get_metric_data").paginate(
                MetricDataQueries=[custom("paged")], StartTime=MINUTE - 600, EndTime=MINUTE + 60)
            got = [r["Values"] for p in pages for r in p["MetricDataResults"]]
            self.assertEqual(got, [[0, 1, 2, 3, 4], [5, 6, 7]])
        finally:
            self.sim.control("POST", "settings", {"metric_data_points": 100800})


class Weird(CloudWatch):
    def test_overload_shows(self):
        self.sim.control("POST", "traffic", {"group": "web", "rps": 600})
        try:
            def seen():
                now = time.time()
                found = self.data(query("HTTPCode_ELB_5XX_Count", ALB, "Sum", 1, "e"),
                                  query("HTTPCode_ELB_5XX_Count", BOTH, "Sum", 1, "n"),
                                  query("HTTPCode_Target_5XX_Count", BOTH, "Sum", 1, "t"),
                                  start=now - 3, end=now)["MetricDataResults"]
                values = {r["Id"]: r["Values"] for r in found}
                return values if values["e"] and values["t"] else None

            values = self.sim.until(seen)
            self.assertTrue(values)
            self.assertEqual(values["n"], [])  # the load balancer's own have no TargetGroup
        finally:
            self.sim.control("POST", "traffic", {"group": "web", "rps": 120})

    def test_gaps_zeros_and_the_future(self):
        self.sim.control("POST", "metrics/override", {
            "namespace": "AWS/EC2", "name": "CPUUtilization", "dimensions": CPU, "value": 0})
        self.sim.control("POST", "metrics/override", {
            "namespace": "AWS/ApplicationELB", "name": "RequestCount", "value": None})
        time.sleep(3.5)
        now = time.time()
        got = self.data(query("CPUUtilization", CPU, "Maximum", 1, "c", "AWS/EC2"),
                        query("RequestCount", BOTH, "Sum", 1, "r"), start=now - 2, end=now)
        values = {r["Id"]: r["Values"] for r in got["MetricDataResults"]}
        self.assertEqual(set(values["c"]), {0.0})
        self.assertEqual(values["r"], [])
        self.sim.control("POST", "metrics", {
            "namespace": "Custom", "name": "late", "dimensions": {"Service": "x"},
            "points": [{"ago": 60, "value": 1}, {"ago": 120, "value": 2, "visible_in": 60}]})
        late = self.data(custom("late"))["MetricDataResults"][0]["Values"]
        self.assertEqual(late, [1])
        self.inject("future", {-10: 5})
        self.assertEqual(self.values(custom("future"), end=MINUTE + 3600)["m1"], {-10: 5})
        self.inject("hole", {3: 1, 2: 1, 1: 1})
        self.sim.control("POST", "metrics/drop", {"namespace": "Custom", "name": "hole",
                                                  "start": MINUTE - 120, "end": MINUTE - 60})
        self.assertEqual(self.values(custom("hole"))["m1"], {3: 1, 1: 1})


class Math(CloudWatch):
    def setUp(self):
        super().setUp()
        self.inject("t5", {3: 2, 1: 4})
        self.inject("e5", {3: 1, 2: 1, 1: 0})
        self.inject("rq", {3: 300, 2: 100, 1: 0, 0: 50})

    def evaluate(self, expression):
        return self.values(custom("t5", "m1", ReturnData=False),
                           custom("e5", "m2", ReturnData=False),
                           custom("rq", "m3", ReturnData=False),
                           {"Id": "e", "Expression": expression})["e"]

    def test_arithmetic(self):
        self.assertEqual(self.evaluate("(m1+m2)/m3*100"), {3: 1.0})  # missing and /0 give nothing
        self.assertEqual(self.evaluate("-m1 ^ 2 + 10"), {3: 6, 1: -6})
        self.assertEqual(self.evaluate("(FILL(m1, 0) + FILL(m2,0)) / m3 * 100"),
                         {3: 1.0, 2: 1.0, 0: 0.0})
        self.assertEqual(self.evaluate("FILL(m1,REPEAT)")[2], 2)
        self.assertEqual(self.evaluate("SUM([m1, m2])"), {3: 3, 2: 1, 1: 4})
        self.assertEqual(self.evaluate("m3 / MAX(m3)")[3], 1.0)

    def test_refusals(self):
        for bad in ("m1 +", "m9 * 2", "e + 1", "m1 $ 2", "[m1, m2]", "NOSUCH(m1)", "(m1", "m1 m2",
                    "1/0", "  "):
            self.refused("ValidationError", self.evaluate, bad)


class Refusals(CloudWatch):
    def statistics(self, **changes):
        params = {"Namespace": "Custom", "MetricName": "m", "StartTime": MINUTE - 600,
                  "EndTime": MINUTE, "Period": 60, "Statistics": ["Sum"], **changes}
        return self.cw.get_metric_statistics(**{k: v for k, v in params.items() if v is not None})

    def test_periods(self):
        for period in (1, 5, 10, 20, 30, 60, 120, 3600):
            self.data(custom("m", period=period))
            self.statistics(Period=period)
        for period in (2, 15, 59, 61, 90):
            self.refused("ValidationError", self.data, custom("m", period=period))
            self.refused("InvalidParameterValue", self.statistics, Period=period)

    def test_queries(self):
        for bad in ([custom("m"), custom("m")], [custom("m", "M1")], [custom("m", "1m")],
                    [custom("m", stat="Median")], [{"Id": "a"}],
                    [dict(custom("m"), Expression="1")], [custom("m", stat="p101")]):
            self.refused("ValidationError", self.data, *bad)

    def test_ranges(self):
        for start, end in ((MINUTE, MINUTE), (MINUTE, MINUTE - 60)):
            self.refused("ValidationError", self.data, custom("m"), start=start, end=end)
            self.refused("InvalidParameterValue", self.statistics, StartTime=start, EndTime=end)

    def test_statistics(self):
        message, _ = self.refused("InvalidParameterCombination", self.statistics,
                                  StartTime=MINUTE - 60 * 1441)
        self.assertIn("up to 1,441 datapoints, which exceeds the limit of 1,440", message)
        self.refused("InvalidParameterCombination", self.statistics, Statistics=None)
        self.refused("InvalidParameterValue", self.statistics, Statistics=None,
                     ExtendedStatistics=["q99"])
        self.refused("InvalidParameterValue", self.statistics, Statistics=["Mean"])

    def test_required_members(self):
        lenient = self.sim.client("cloudwatch", parameter_validation=False)
        self.refused("MissingParameter", lenient.get_metric_statistics, Namespace="x",
                     StartTime=1, EndTime=2, Period=60)
        message, _ = self.refused("ValidationError", lenient.get_metric_data, StartTime=1,
                                  EndTime=2, MetricDataQueries=[{"Expression": "1"}])
        self.assertIn("Value null at 'metricDataQueries.1.member.id'", message)

    def test_list_metrics(self):
        names = {m["MetricName"] for p in self.cw.get_paginator("list_metrics").paginate(
            Namespace="AWS/ApplicationELB", Dimensions=[{"Name": "TargetGroup"}])
            for m in p["Metrics"]}
        self.assertIn("TargetResponseTime", names)
        self.assertNotIn("HTTPCode_ELB_5XX_Count", names)
        found = self.cw.list_metrics(MetricName="CPUUtilization", Dimensions=dimensions(CPU))
        self.assertEqual(found["Metrics"], [{"Namespace": "AWS/EC2", "MetricName": "CPUUtilization",
                                             "Dimensions": dimensions(CPU)}])
        for n in range(600):
            self.inject("wide", {1: 1}, {"N": str(n)})
        pages = list(self.cw.get_paginator("list_metrics").paginate(MetricName="wide"))
        self.assertEqual([len(p["Metrics"]) for p in pages], [500, 100])


class Json(CloudWatch):
    """The JSON 1.0 protocol, which Debian's botocore does not speak for CloudWatch yet."""

    def post(self, action, params, **headers):
        request = AWSRequest("POST", self.sim.url + "/", data=json.dumps(params).encode(), headers={
            "X-Amz-Target": f"GraniteServiceVersion20100801.{action}",
            "Content-Type": "application/x-amz-json-1.0", **headers})
        SigV4Auth(Credentials(testing.KEY, testing.SECRET), "monitoring",
                  testing.REGION).add_auth(request)
        status, got, body = self.sim.http("POST", "/", request.data, dict(request.headers))
        return status, got, json.loads(body)

    def test_data(self):
        self.inject("j", {2: 1.5, 1: 2.5})
        status, headers, body = self.post("GetMetricData", {
            "MetricDataQueries": [custom("j")], "StartTime": MINUTE - 600, "EndTime": MINUTE})
        self.assertEqual((status, headers["Content-Type"]), (200, "application/x-amz-json-1.0"))
        result = body["MetricDataResults"][0]
        self.assertEqual((result["Values"], result["Timestamps"]),
                         ([2.5, 1.5], [MINUTE - 60, MINUTE - 120]))

    def test_refusals(self):
        status, headers, body = self.post("GetMetricStatistics", {
            "Namespace": "x", "MetricName": "y", "StartTime": 1, "EndTime": 2, "Period": 7,
            "Statistics": ["Sum"]})
        self.assertEqual((status, body["__type"].partition("#")[2]),
                         (400, "InvalidParameterValueException"))
        self.assertEqual(headers["x-amzn-query-error"], "InvalidParameterValue;Sender")
        self.assertEqual(self.post("NoSuch", {})[2]["__type"].partition("#")[2],
                         "UnknownOperationException")
        wrong = self.post("ListMetrics", {}, **{"Content-Type": "application/x-amz-json-1.1"})
        self.assertEqual(wrong[0], 400)
        self.assertEqual(self.post("ListMetrics", {"Nmaespace": "x"})[0], 400)


if __name__ == "__main__":
    unittest.main()
