"""The estate's physics, in a time that the tests move."""

import unittest

import metrics
import physics
import scenario
from clock import ManualClock
from model import ALB, ASG, EC2, Estate

GROUP = {"name": "web", "min": 0, "max": 20, "desired": 4, "boot_seconds": 90,
         "health_seconds": 20, "drain_seconds": 60, "terminate_seconds": 10, "noise": 0.0,
         "target_group": "targetgroup/web/1", "load_balancer": "app/web/2",
         "traffic": [{"at": 0, "rps": 200}]}
BOTH = {"LoadBalancer": "app/web/2", "TargetGroup": "targetgroup/web/1"}


class Model(unittest.TestCase):
    def start(self, top=None, **group):
        self.clock = ManualClock(1_700_000_040.0)  # a whole minute
        given = {"groups": [{**GROUP, **group}], "tick_seconds": 1.0, **(top or {})}
        self.estate = Estate(scenario.from_dict(given), self.clock)
        self.group = self.estate.groups["web"]

    def after(self, seconds):
        self.clock.time += seconds
        self.estate.advance()

    def last(self, namespace, name, dims, stat, periods=1):
        series = self.estate.metrics.series(namespace, name, dims)
        end = self.clock.now() // 60 * 60
        found = metrics.by_period(series, end - 60 * periods, end, 60 * periods, self.estate.now)
        return metrics.statistic(next(iter(found.values())), stat) if found else None

    def states(self):
        return [i.state for i in self.group.instances], [i.target for i in self.group.instances]

    def desire(self, count):
        self.group.set_desired(count, self.estate.now, self.clock.now())

    # --- physics ---------------------------------------------------------------------------------

    def test_load(self):
        spec = scenario.from_dict({"groups": [GROUP]})["groups"][0]
        half = physics.load_of(200, 4, spec)
        self.assertEqual((half.utilisation, half.served, half.target_5xx, half.elb_5xx),
                         (0.5, 200, 0, 0))
        self.assertEqual(half.latency, 0.040)
        over = physics.load_of(600, 4, spec)
        self.assertAlmostEqual(over.served, 400)
        self.assertAlmostEqual(over.elb_5xx, 200)
        self.assertAlmostEqual(over.target_5xx, 400 * 0.01)
        nobody = physics.load_of(600, 0, spec)
        self.assertEqual((nobody.served, nobody.elb_5xx), (0, 600))
        latencies = [physics.latency_of(u / 100, spec) for u in range(0, 400)]
        self.assertEqual(latencies, sorted(latencies))
        self.assertEqual(physics.latency_of(1000, spec), spec["timeout_ms"])
        self.assertAlmostEqual(physics.latency_of(physics.KNEE - 1e-9, spec),
                               physics.latency_of(physics.KNEE, spec), places=3)

    def test_traffic(self):
        traffic = physics.Traffic([{"at": 0, "rps": 100}, {"at": 10, "rps": 200, "ramp": 10},
                                   {"at": 30, "rps": 50}], 1000)
        self.assertEqual([traffic.rps(1000 + t) for t in (-5, 0, 10, 15, 20, 29, 30, 99)],
                         [100, 100, 100, 150, 200, 200, 50, 50])
        cut = physics.Traffic([{"at": 0, "rps": 100, "ramp": 10},
                               {"at": 5, "rps": 0, "ramp": 5}], 0)
        self.assertEqual([cut.rps(t) for t in (-1, 4, 5, 6, 10)], [0, 40, 50, 40, 0])
        later = traffic.then([{"at": 0, "rps": 0, "ramp": 10}], 1015)
        self.assertEqual([later.rps(1015 + t) for t in (0, 5, 10)], [150, 75, 0])

    def test_percentiles(self):
        point = metrics.Point(0, values=[10.0, 20.0, 30.0, 40.0])
        self.assertEqual([metrics.statistic([point], s) for s in
                          ("p0", "p50", "p100", "Average", "Sum", "SampleCount")],
                         [10, 25, 40, 25, 100, 4])
        wanted = metrics.statistic([metrics.Point(0, count=100, mean=0.1)], "p99")
        self.assertAlmostEqual(wanted, 0.4605, places=3)
        for bad in ("p", "p101", "p-1", "pp", "Median", "p1x", ""):
            self.assertFalse(metrics.known_statistic(bad), bad)

    # --- metrics ---------------------------------------------------------------------------------

    def test_history_exists_at_the_start(self):
        self.start()
        points = self.estate.metrics.series(EC2, "CPUUtilization", {"AutoScalingGroupName": "web"})
        self.assertEqual(len(points.points), 15)
        self.assertEqual(points.points[-1].time, self.clock.now() - 60)
        self.assertAlmostEqual(self.last(EC2, "CPUUtilization", {"AutoScalingGroupName": "web"},
                                         "Average"), 51.5)
        self.assertAlmostEqual(self.last(ALB, "RequestCount", BOTH, "Sum"), 12000, delta=10)
        self.assertEqual(self.last(ASG, "GroupInServiceInstances",
                                   {"AutoScalingGroupName": "web"}, "Average"), 4)

    def test_delay(self):
        self.start({"metric_delay": 90.0})
        cpu = (EC2, "CPUUtilization", {"AutoScalingGroupName": "web"}, "Average")
        self.assertIsNone(self.last(*cpu))
        self.after(29)
        self.assertIsNone(self.last(*cpu))
        self.after(120)
        self.assertIsNone(self.last(*cpu))  # always the newest one is missing
        self.assertIsNotNone(self.last(*cpu, periods=3))

    def test_basic_monitoring(self):
        self.start(detailed_monitoring=False)
        points = self.estate.metrics.series(EC2, "CPUUtilization", {"AutoScalingGroupName": "web"})
        times = [p.time for p in points.points]
        self.assertEqual({b - a for a, b in zip(times, times[1:])}, {300})
        self.assertEqual({t % 300 for t in times}, {0})

    def test_claimed_time_stamps(self):
        self.start()
        self.clock.offset = 3600
        self.after(120)
        series = self.estate.metrics.series(ALB, "RequestCount", BOTH)
        self.assertAlmostEqual(series.points[-1].time, self.clock.now() - 60, delta=60)

    def test_no_instances_no_cpu_only_refusals(self):
        self.start(desired=0)
        self.assertIsNone(self.estate.metrics.series(EC2, "CPUUtilization",
                                                     {"AutoScalingGroupName": "web"}))
        self.assertIsNone(self.estate.metrics.series(ALB, "RequestCount", BOTH))
        self.assertAlmostEqual(self.last(ALB, "HTTPCode_ELB_5XX_Count",
                                         {"LoadBalancer": "app/web/2"}, "Sum"), 12000, delta=10)

    def test_errors_exist_only_when_there_are_some(self):
        self.start()
        self.assertIsNone(self.estate.metrics.series(ALB, "HTTPCode_Target_5XX_Count", BOTH))
        self.group.spec["error_share"] = 0.01
        self.after(120)
        self.assertAlmostEqual(self.last(ALB, "HTTPCode_Target_5XX_Count", BOTH, "Sum"), 120,
                               delta=2)

    # --- instances -------------------------------------------------------------------------------

    def test_scaling_out_helps_once_instances_are_healthy(self):
        self.start(traffic=[{"at": 0, "rps": 380}])
        cpu = (EC2, "CPUUtilization", {"AutoScalingGroupName": "web"}, "Average")
        self.assertGreater(self.last(*cpu), 90)
        self.desire(8)
        self.after(89)
        self.assertEqual(self.states()[0].count("Pending"), 4)
        self.after(2)
        self.assertEqual(self.states()[1].count("initial"), 4)
        self.assertEqual(len(self.group.serving()), 4)
        self.after(20)
        self.assertEqual(len(self.group.serving()), 8)
        self.after(120)
        self.assertAlmostEqual(self.last(*cpu), 3 + 97 * 380 / 800, places=3)
        self.assertEqual([a.status for a in self.group.activities], ["Successful"] * 4)
        self.assertAlmostEqual(self.group.activities[0].end - self.group.activities[0].start, 90,
                               delta=1.5)

    def test_scaling_in_drains_then_ends(self):
        self.start()
        self.group.instances[0].protected = True
        protected = self.group.instances[0].id
        self.desire(1)
        self.assertEqual(self.states()[1].count("draining"), 3)
        self.assertEqual([i.id for i in self.group.live()], [protected])
        self.after(61)
        self.assertEqual(self.states()[1].count("unused"), 3)
        self.assertEqual(len(self.group.instances), 4)
        self.after(10)
        self.assertEqual(len(self.group.instances), 1)

    def test_zones_stay_even(self):
        self.start(desired=6)
        self.assertEqual(sorted(i.zone[-1] for i in self.group.instances), list("aabbcc"))
        self.desire(9)
        self.after(120)
        self.desire(5)
        zones = [i.zone for i in self.group.live()]
        self.assertLessEqual(max(map(zones.count, zones)) - min(map(zones.count, zones)), 1)

    def test_suspended_processes(self):
        self.start(suspended=["Launch", "Terminate"])
        for desired in (6, 2):
            self.desire(desired)
            self.after(10)
            self.assertEqual(self.states()[0], ["InService"] * 4)
        self.group.suspended.clear()
        self.after(1)
        self.assertEqual(len(self.group.live()), 2)

    def test_cooldown(self):
        self.start(cooldown=100)
        self.assertIsNone(self.group.in_cooldown(self.estate.now))
        self.desire(5)
        self.after(91)
        self.assertIsNotNone(self.group.in_cooldown(self.estate.now))
        self.after(101)
        self.assertIsNone(self.group.in_cooldown(self.estate.now))


class Scenarios(unittest.TestCase):
    def test_mistakes(self):
        for bad, words in (
            ({"gruops": []}, "has no key 'gruops'"), ({"groups": [{}]}, "needs 'name'"),
            ({"groups": [{"name": "x", "min": 3, "max": 2}]}, "min <= desired <= max"),
            ({"metric_period": 7}, "metric_period must be"), ({"users": [{}]}, "needs"),
            ({"imds": {"rolle": 1}}, "imds has no key 'rolle'"), ([], "must be an object"),
        ):
            with self.assertRaisesRegex(scenario.ScenarioError, words):
                scenario.from_dict(bad)

    def test_the_shipped_scenario_loads(self):
        import os

        path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "scenarios", "portal.json")
        self.assertEqual(scenario.load(path)["groups"][0]["desired"], 3)


if __name__ == "__main__":
    unittest.main()
