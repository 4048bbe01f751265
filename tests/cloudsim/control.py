"""The control API under /_sim: how tests and demos look at the estate and steer it."""

import json
import math

import physics
from http_types import text
from iam import PolicyError
from identity import Identity
from metrics import Override, Point


class Refused(Exception):
    """A request that the control API does not understand."""


class Control:
    def __init__(self, app):
        self.app = app
        self.estate = app.estate
        self._routes = {
            ("GET", "state"): self.state,
            ("GET", "requests"): self.requests,
            ("GET", "counts"): self.counts,
            ("GET", "effects"): lambda body, query: app.journal.effects(),
            ("DELETE", "requests"): lambda body, query: app.journal.clear(),
            ("POST", "traffic"): self.traffic,
            ("POST", "group"): self.group,
            ("POST", "instance"): self.instance,
            ("POST", "database"): self.database,
            ("POST", "proxy"): self.proxy,
            ("POST", "cache"): self.cache,
            ("POST", "certificate"): self.certificate,
            ("POST", "metrics"): self.inject,
            ("POST", "metrics/override"): self.override,
            ("DELETE", "metrics/override"): lambda body, query: self._clear(
                self.estate.metrics.overrides),
            ("POST", "metrics/drop"): self.drop,
            ("GET", "faults"): lambda body, query: [vars(f) for f in app.faults.all()],
            ("POST", "faults"): self.fault,
            ("DELETE", "faults"): lambda body, query: app.faults.clear(
                int(query["id"]) if "id" in query else None),
            ("GET", "pager"): self.pager,
            ("DELETE", "pager"): lambda body, query: self._clear(app.pager.inbox),
            ("POST", "pager/answers"): self.pager_answers,
            ("GET", "credentials"): self.credentials,
            ("POST", "credentials"): self.add_credentials,
            ("DELETE", "credentials"): self.remove_credentials,
            ("POST", "credentials/expire"): self.expire,
            ("POST", "clock"): self.clock,
            ("POST", "iam"): self.iam,
            ("DELETE", "iam"): lambda body, query: app.iam.clear(),
            ("POST", "settings"): self.settings,
        }

    def serve(self, request):
        route = request.route.removeprefix("/_sim").strip("/")
        if not route:
            return _json(200, sorted(f"{m} /_sim/{p}" for m, p in self._routes))
        handler = self._routes.get((request.method, route))
        if handler is None:
            return _json(404, {"error": f"there is no {request.method} /_sim/{route}"})
        try:
            body = json.loads(request.body) if request.body else {}
            result = handler(body, request.query)
            return _json(200, {} if result is None else result)
        except KeyError as problem:
            return _json(400, {"error": f"the request needs {problem}"})
        except (Refused, PolicyError, ValueError, TypeError, AttributeError) as problem:
            return _json(400, {"error": str(problem)})

    @staticmethod
    def _clear(items):
        items.clear()

    def _group(self, name):
        if name is None and len(self.estate.groups) == 1:
            return next(iter(self.estate.groups.values()))
        if name not in self.estate.groups:
            raise Refused(f"there is no group '{name}'")
        return self.estate.groups[name]

    # --- looking ---------------------------------------------------------------------------------

    def state(self, body, query):
        groups = {}
        for group in self.estate.groups.values():
            load = self.estate.load(group)
            groups[group.name] = {
                "min": group.min, "max": group.max, "desired": group.desired, "arn": group.arn,
                "target_group_arn": group.arn_of("target_group"),
                "load_balancer_arn": group.arn_of("load_balancer"),
                "serving": len(group.serving()),
                "rps": self.estate.traffic[group.name].rps(self.estate.now),
                "cpu": physics.cpu_of(load.utilisation, group.spec),
                "p99_ms": physics.latency_quantile(load.latency, 0.99) * 1000.0,
                "target_5xx_rps": load.target_5xx, "elb_5xx_rps": load.elb_5xx,
                "launches": group.launches,
                "instances": [
                    {"id": i.id, "zone": i.zone, "state": i.state, "health": i.health,
                     "target": i.target, "age": self.estate.now - i.launched,
                     "protected": i.protected}
                    for i in group.instances
                ],
            }
        return {"now": self.app.clock.now(), "offset": self.app.clock.offset,
                "region": self.app.scenario["region"], "account": self.app.scenario["account"],
                "metric_period": self.estate.period, "metric_delay": self.estate.metric_delay,
                "groups": groups,
                "databases": {d.name: {
                    "status": d.status, "class": d.node_class, "storage_gib": d.storage_gib,
                    "pending": d.pending, "snapshots": {
                        s.name: {"status": s.status, "progress": s.progress}
                        for s in d.snapshots.values()},
                } for d in self.estate.databases.values()},
                "proxies": {p.name: {
                    "status": p.status, "target": p.target_state, "max_percent": p.max_percent,
                    "idle_percent": p.idle_percent, "borrow_timeout": p.borrow_timeout,
                    "allowed": p.allowed(), "opened": p.opened, "clients": p.spec["clients"],
                    "borrow_us": p.latency() * 1e6,
                } for p in self.estate.proxies.values()},
                "certificates": {c.name: {"arn": c.arn, "status": c.status,
                                          "not_after": c.not_after}
                                 for c in self.estate.certificates.values()},
                "caches": {c.name: self._cache(c) for c in self.estate.caches.values()}}

    @staticmethod
    def _cache(cache):
        return {"status": cache.status, "node_type": cache.node_type,
                "pending_type": cache.pending_type, "memory_percent": cache.memory_percent(),
                "members": [{"id": m.id, "primary": m.primary} for m in cache.members],
                "snapshots": {s.name: s.status for s in cache.snapshots.values()}}

    def requests(self, body, query):
        return self.app.journal.requests(int(query.get("since", 0)), query.get("service"),
                                         query.get("action"))

    def counts(self, body, query):
        return {"requests": self.app.journal.request_counts(),
                "effects": self.app.journal.effects()["counts"]}

    def pager(self, body, query):
        since = int(query.get("since", 0))
        return [e for e in self.app.pager.inbox if e["seq"] > since]

    def credentials(self, body, query):
        return [{"access_key": i.access_key, "arn": i.arn, "expires": i.expires,
                 "temporary": i.token is not None} for i in self.app.identities.all()]

    # --- steering the estate ---------------------------------------------------------------------

    def traffic(self, body, query):
        """{group, rps, ramp} or {group, steps: [{at, rps, ramp}]}, from now on."""
        group = self._group(body.get("group"))
        steps = body.get("steps")
        if steps is None:
            steps = [{"at": 0, "rps": body["rps"], "ramp": body.get("ramp", 0)}]
        old = self.estate.traffic[group.name]
        self.estate.traffic[group.name] = old.then(steps, self.estate.now)

    def group(self, body, query):
        """Changes a group from outside: sizes, as another controller would, or its constants."""
        group = self._group(body.pop("group", None))
        for key, value in body.items():
            if key in ("desired", "who"):
                continue
            if key in ("min", "max", "launches", "policies", "refreshes"):
                if key == "launches" and value not in ("ok", "fail", "hang"):
                    raise Refused("launches must be ok, fail or hang")
                setattr(group, key, value)
            elif key == "suspended":
                group.suspended = set(value)
            elif key in group.spec and key not in ("name", "traffic"):
                group.spec[key] = value
            else:
                raise Refused(f"a group has no '{key}'")
        if "desired" in body:
            if not group.min <= body["desired"] <= group.max:
                raise Refused(f"desired must be between {group.min} and {group.max}")
            group.set_desired(body["desired"], self.estate.now, self.app.clock.now(),
                              body.get("who", "a user request"))

    def instance(self, body, query):
        """{id, health, target, protected, gone}: an instance breaks, or is gone at once."""
        group, instance = self.estate.instance(body["id"])
        if instance is None:
            raise Refused(f"there is no instance '{body['id']}'")
        for key in ("health", "target", "protected"):
            if key in body:
                setattr(instance, key, body[key])
        if body.get("gone"):
            group.instances.remove(instance)

    def database(self, body, query):
        """{database, status, pending, parameters, ...}: an instance changes from outside; also any
        constant of the scenario."""
        self._change(self.estate.databases, "database", body, ("status", "pending", "parameters"))

    def proxy(self, body, query):
        """{proxy, clients, max_percent, idle_percent, status, group_status, target_state,
        target_reason, ...}: as clients or another operator would; also any constant."""
        self._change(self.estate.proxies, "proxy", body, (
            "max_percent", "idle_percent", "borrow_timeout", "status", "group_status",
            "target_state", "target_reason"))

    @staticmethod
    def _change(things, kind, body, own):
        name = body.pop(kind)
        if name not in things:
            raise Refused(f"there is no {kind} '{name}'")
        for key, value in body.items():
            if key in own:
                setattr(things[name], key, value)
            elif key in things[name].spec and key not in ("name", "database"):
                things[name].spec[key] = value
            else:
                raise Refused(f"a {kind} has no '{key}'")

    def cache(self, body, query):
        """{cache, status, node_type, pending_type, silent, fail_over, evictions, memory_percent, ...}:
        changes a replication group from outside, or any constant of the scenario; `evictions` (since
        the last call) with `memory_percent` (null: no more) replace the model's."""
        cache = self.estate.caches.get(body["cache"])
        if cache is None:
            raise Refused(f"there is no cache '{body['cache']}'")
        if "evictions" in body:
            cache.feed(float(body.pop("evictions")), body.pop("memory_percent"))
        if "silent" in body:  # members whose metrics do not come
            cache.silence(body.pop("silent"))
        if "fail_over" in body:  # number of a shard
            cache.fail_over(body.pop("fail_over"))
        self._change(self.estate.caches, "cache", body, ("status", "node_type", "pending_type"))

    def certificate(self, body, query):
        """{certificate, status, reason, days, ...}: `days` from now to NotAfter; also any constant
        of the scenario."""
        if "days" in body:
            body["not_after"] = self.app.clock.now() + float(body.pop("days")) * 86400.0
        self._change(self.estate.certificates, "certificate", body, ("status", "reason", "not_after"))

    # --- steering the metrics --------------------------------------------------------------------

    def inject(self, body, query):
        """{namespace, name, dimensions, unit, points}; a point has `time` or `ago` in seconds, and
        `value`, `values` or `count` with `sum`; with `visible_in` seconds it is a late one."""
        now = self.app.clock.now()
        points = []
        for given in body["points"]:
            time = float(given["time"]) if "time" in given else now - float(given["ago"])
            if "count" in given:
                point = Point(time, count=given["count"], total=given["sum"])
            else:
                values = given["values"] if "values" in given else [given["value"]]
                if not values or not all(math.isfinite(v) for v in values):
                    raise Refused("CloudWatch has no NaN, no infinity and no empty point")
                point = Point(time, values=[float(v) for v in values])
            point.visible_at = self.estate.now + given.get("visible_in", 0.0)
            points.append(point)
        self.estate.metrics.inject(body["namespace"], body["name"], body.get("dimensions", {}),
                                   body.get("unit", "None"), points, body.get("replace", True))

    def override(self, body, query):
        """{namespace, name, dimensions, value}: from now on this value, or with null a gap."""
        self.estate.metrics.overrides.append(Override(
            body.get("namespace"), body.get("name"), body.get("dimensions"), body["value"]))

    def drop(self, body, query):
        return {"dropped": self.estate.metrics.drop(
            body.get("namespace"), body.get("name"), body.get("dimensions"),
            float(body.get("start", -math.inf)), float(body.get("end", math.inf)))}

    # --- steering the answers --------------------------------------------------------------------

    def fault(self, body, query):
        for key in ("id", "fired"):
            if key in body:
                raise Refused(f"'{key}' is not yours to set")
        return {"id": self.app.faults.add(**body).id}

    def pager_answers(self, body, query):
        """[{status, headers, body, count} or any fault]: the next answers, in this order."""
        ids = []
        for answer in body:
            kind = {429: "throttle"}.get(answer.get("status"), "answer")
            options = {"kind": kind, "service": "pager", "count": 1, **answer}
            ids.append(self.app.faults.add(**options).id)
        return {"ids": ids}

    def add_credentials(self, body, query):
        """{access_key, secret_key, name | arn, token, expires}: `expires` in claimed seconds."""
        account = self.app.scenario["account"]
        arn = body.get("arn", f"arn:aws:iam::{account}:user/{body.get('name', 'someone')}")
        self.app.identities.add(Identity(body["access_key"], body["secret_key"], arn,
                                         body.get("user_id", "AIDACLOUDSIMEXAMPLE02"),
                                         body.get("token"), body.get("expires")))

    def remove_credentials(self, body, query):
        if not self.app.identities.remove(query["access_key"]):
            raise Refused(f"there is no key '{query['access_key']}'")

    def expire(self, body, query):
        """{access_key, at}: temporary credentials, one or all, expire now or at a claimed time."""
        return {"expired": self.app.identities.expire(body.get("access_key"), body.get("at"))}

    def clock(self, body, query):
        """{offset}: the server claims a time that is so many seconds ahead of the true one."""
        self.app.clock.offset = float(body["offset"])

    def iam(self, body, query):
        """{principal, policy}: enforced from now on; without a principal, for everyone."""
        self.app.iam.set(body.get("principal"), body["policy"])

    def settings(self, body, query):
        for key, value in body.items():
            if key == "metric_delay":
                self.estate.metric_delay = float(value)
            elif key in ("token_seconds", "metric_data_points"):
                self.app.scenario[key] = value
            elif key == "container_token":
                self.app.scenario["container"]["token"] = value
            else:
                raise Refused(f"there is no setting '{key}'")


def _json(status, value):
    return text(status, json.dumps(value, default=str) + "\n", "application/json")
