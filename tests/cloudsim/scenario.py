"""Reads a scenario file: the estate at the start and every constant of its physics.

The tables below are the reference of the format: each key with its default. A key that is not in
them is an error.
"""

import json

from caches import NODE_TYPES

GROUP = {
    "name": None,  # required
    "min": 1, "max": 10, "desired": 2,
    "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
    "instance_type": "c6i.large",
    "template": {"id": "lt-0c1oud51m00000001", "name": "portal", "version": "7"},
    "tags": {},
    "cooldown": 300,  # DefaultCooldown, seconds; matters where a caller honours it
    "health_check_type": "EC2",  # ELB: an unhealthy target is replaced
    "health_check_grace": 300,
    "group_metrics": True,  # AWS/AutoScaling metrics are collected
    "detailed_monitoring": True,  # False: AWS/EC2 points come each 5 metric periods
    "suspended": [],  # suspended processes: Launch, Terminate, ...
    "boot_seconds": 90, "health_seconds": 0, "drain_seconds": 30, "terminate_seconds": 10,
    "target_group": None,  # "targetgroup/NAME/ID"
    "load_balancer": None,  # "app/NAME/ID"
    "capacity_rps": 100.0,  # requests per second at which one instance is at 100 % CPU
    "base_cpu": 3.0,  # percent, idle
    "service_ms": 20.0,  # mean latency of an idle instance
    "timeout_ms": 10000.0,  # latency never exceeds it
    "error_share": 0.0,  # share of the served requests that targets answer with 5xx, always
    "noise": 0.02,  # relative difference between instances
    "traffic": [],  # steps: {"at": seconds after start, "rps": N, "ramp": seconds}
    "policies": [],  # scaling policies as DescribePolicies shows them
    "refreshes": [],  # instance refreshes as DescribeInstanceRefreshes shows them
}
DATABASE = {
    "name": None,  # required; lower case
    "class": "db.m6i.large", "engine_version": "15.4", "port": 5432,
    "storage_gib": 100, "storage_used_gib": 40.0, "memory_free_gib": 4.0, "cpu": 20.0,
    "max_connections": 100, "multi_az": False,
    "source": None,  # the instance that it is a replica of
    "replica_lag": 0.0,  # seconds, of a replica
    "parameters": [{"name": "default.postgres15", "status": "in-sync"}],
    "snapshot_seconds": 60, "modify_seconds": 300,
}
PROXY = {
    "name": None,  # required
    "database": "",  # required: a database of the scenario
    "target_group": "default",
    "max_percent": 50, "idle_percent": 25, "borrow_timeout": 120,
    "nodes": 2,  # machines behind it: each publishes its own share
    "clients": 0,  # connections of clients
    "busy": 0.5,  # the share of them that wants a database connection at a time
    "pinned": 0,  # sessions that keep their connection
    "direct": 0,  # connections that reach the database past the proxy
    "borrow_us": 400.0,  # what a borrow takes while there are enough, microseconds
    "hold_ms": 50.0,  # how long a client keeps a connection
}
CERTIFICATE = {
    "name": None,  # required: its domain name
    "id": "",  # of the ARN; made of the name when empty
    "status": "ISSUED", "type": "AMAZON_ISSUED", "in_use_by": [],
    "days": 365.0,  # from the start to NotAfter
    "reason": None,  # of one that is REVOKED or FAILED
}
SECRET = {"name": None, "value": "", "description": None}
CACHE = {
    "name": None,  # required
    "description": "cache", "tags": {},
    "node_type": "cache.t4g.small",
    "cluster_mode": False, "shards": 1, "replicas": 1,
    "zones": ["us-east-1a", "us-east-1b", "us-east-1c"],
    "port": 6379, "suffix": "abc123.use1.cache.amazonaws.com",  # of its endpoints
    "data_mib": 500.0,  # what it would hold if nothing were evicted
    "writes_rps": 20.0,  # new keys a second; what does not fit any more evicts as many
    "not_offered": [],  # node types that ListAllowedNodeTypeModifications leaves out
    "snapshots_supported": True,
    "modify_seconds": 600, "snapshot_seconds": 300,
}
ROLE = {
    "name": None,
    "trust": "*",  # or a list of ARNs that may assume it
    "external_id": None,
    "max_session_seconds": 3600,
    "web_identity_tokens": [],  # tokens that AssumeRoleWithWebIdentity accepts
}
USER = {"name": "runbookd", "access_key": None, "secret_key": None, "arn": None, "user_id": None}
TOP = {
    "region": "us-east-1",
    "account": "123456789012",
    "users": [{"access_key": "AKIACLOUDSIM00000001", "secret_key": "cloudsim/secret/key/0001"}],
    "roles": [{"name": "runbookd"}],
    "metric_period": 60,  # seconds; below 60 (1, 5, 10, 20, 30): high resolution, for demos
    "metric_delay": 0.0,  # seconds between the end of a period and its point being visible
    "history_seconds": 900,  # metrics exist for this long before the start
    "tick_seconds": 0.25,
    "token_seconds": None,  # temporary credentials live this long, whatever was asked for
    "metric_data_points": 100800,  # points on one page of GetMetricData
    "imds": {"role": "runbookd", "seconds": 21600, "instance_id": "i-0c1oud51m0000beef"},
    "container": {"role": "runbookd", "seconds": 21600, "path": "/v2/credentials/cloudsim",
                  "token": None},
    "pager": {"routing_keys": []},  # empty: any 32 characters
    "groups": [],
    "databases": [],  # RDS instances
    "proxies": [],  # RDS proxies
    "certificates": [],  # of Certificate Manager
    "secrets": [],  # of Secrets Manager
    "caches": [],  # ElastiCache replication groups
}


class ScenarioError(Exception):
    pass


def _filled(given, table, where):
    if not isinstance(given, dict):
        raise ScenarioError(f"{where} must be an object")
    for key in given:
        if key not in table:
            raise ScenarioError(f"{where} has no key '{key}'; it knows: {', '.join(table)}")
    filled = {key: given.get(key, default) for key, default in table.items()}
    for key in ("name", "access_key", "secret_key"):
        if key in table and table[key] is None and filled[key] is None:
            raise ScenarioError(f"{where} needs '{key}'")
    return filled


def from_dict(given):
    """The complete scenario; raises ScenarioError for what cannot be right."""
    top = _filled(given, TOP, "the scenario")
    for key in ("imds", "container", "pager"):
        top[key] = _filled(top[key], TOP[key], key)
    top["users"] = [
        {k: v for k, v in _filled(user, USER, f"users[{n}]").items() if v is not None}
        for n, user in enumerate(top["users"])
    ]
    top["roles"] = [_filled(role, ROLE, f"roles[{n}]") for n, role in enumerate(top["roles"])]
    top["groups"] = [_filled(g, GROUP, f"groups[{n}]") for n, g in enumerate(top["groups"])]
    for key, table in (
            ("databases", DATABASE), ("proxies", PROXY), ("secrets", SECRET), ("caches", CACHE),
            ("certificates", CERTIFICATE)):
        top[key] = [_filled(s, table, f"{key}[{n}]") for n, s in enumerate(top[key])]
    for proxy in top["proxies"]:
        if proxy["database"] not in [d["name"] for d in top["databases"]]:
            raise ScenarioError(f"proxy {proxy['name']}: there is no database "
                                f"'{proxy['database']}' in the scenario")
    if top["metric_period"] not in (1, 5, 10, 20, 30) and top["metric_period"] % 60:
        raise ScenarioError("metric_period must be 1, 5, 10, 20, 30 or a multiple of 60")
    for group in top["groups"]:
        if not 0 <= group["min"] <= group["desired"] <= group["max"]:
            raise ScenarioError(f"group {group['name']} needs min <= desired <= max")
        if group["capacity_rps"] <= 0:
            raise ScenarioError(f"group {group['name']} needs capacity_rps above 0")
    for cache in top["caches"]:
        if cache["node_type"] not in NODE_TYPES:
            raise ScenarioError(f"cache {cache['name']}: there is no node type "
                                f"'{cache['node_type']}'; known: {', '.join(NODE_TYPES)}")
        if cache["shards"] < 1 or (cache["shards"] > 1 and not cache["cluster_mode"]):
            raise ScenarioError(f"cache {cache['name']}: more than one shard needs cluster_mode")
    return top


def load(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return from_dict(json.load(stream))
    except (OSError, ValueError) as problem:
        raise ScenarioError(f"{path}: {problem}") from None
    except ScenarioError as problem:
        raise ScenarioError(f"{path}: {problem}") from None
