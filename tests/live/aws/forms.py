#!/usr/bin/python3
"""A second stand-in for AWS, which shares no line with cloudsim: small, without signatures or state, it answers what the
collectors and actions ask in every form that is legal, and in some that are not. What is legal is judged by botocore's parsers.

usage: forms.py PROGRAM [ARGUMENT ...]    runs PROGRAM with its address in the environment.

POST /_sim/form {"form": NAME} chooses the form; GET /_sim/legal and /_sim/illegal list them.
"""
import gzip
import json
import os
import socketserver
import subprocess
import sys
import threading
from datetime import datetime, timezone
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape, quoteattr

import botocore.parsers
import botocore.session

REGION, ACCOUNT = "us-east-1", "123456789012"
TARGET_GROUP = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/web/0123456789abcdef"
CERTIFICATE = f"arn:aws:acm:{REGION}:{ACCOUNT}:certificate/0c10ad51-1"
VERSIONS = {"2011-01-01": "autoscaling", "2010-08-01": "cloudwatch", "2015-12-01": "elbv2", "2014-10-31": "rds",
            "2015-02-02": "elasticache"}
TOKEN = 'a+b/c==&<"é'
SESSION = botocore.session.get_session()


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


def instances(*states):
    return [{"InstanceId": f"i-{n}", "AvailabilityZone": "us-east-1a", "LifecycleState": s, "HealthStatus": "Healthy",
             "ProtectedFromScaleIn": False} for n, s in enumerate(states)]


MADE = at("2026-01-01T10:00:00")
CONTENT = {
    "DescribeAutoScalingGroups": {"AutoScalingGroups": [
        {"AutoScalingGroupName": "web", "MinSize": 1, "MaxSize": 6, "DesiredCapacity": 3, "DefaultCooldown": 300,
         "AvailabilityZones": ["us-east-1a"], "HealthCheckType": "EC2", "CreatedTime": MADE,
         "Instances": instances("InService", "InService", "Pending"), "TargetGroupARNs": [TARGET_GROUP], "SuspendedProcesses": [
             {"ProcessName": "AZRebalance", "SuspensionReason": "by <hand> & \"sure\""}], "LoadBalancerNames": [], "Tags": []},
        {"AutoScalingGroupName": "other", "MinSize": 0, "MaxSize": 9, "DesiredCapacity": 9, "DefaultCooldown": 1,
         "AvailabilityZones": [], "HealthCheckType": "EC2", "CreatedTime": MADE, "Instances": []}]},
    "DescribePolicies": {"ScalingPolicies": [
        {"PolicyName": "track <cpu> & more", "PolicyType": "TargetTrackingScaling", "Enabled": True, "Alarms": []}]},
    "DescribeInstanceRefreshes": {"InstanceRefreshes": []},
    "DescribeTargetGroups": {"TargetGroups": [{"TargetGroupArn": TARGET_GROUP, "TargetGroupName": "web", "LoadBalancerArns": []}]},
    "DescribeTargetHealth": {"TargetHealthDescriptions": [
        {"Target": {"Id": f"i-{n}", "Port": 80}, "TargetHealth": {"State": s}}
        for n, s in enumerate(("healthy", "unhealthy", "healthy", "draining"))]},
    "DescribeDBInstances": {"DBInstances": [
        {"DBInstanceIdentifier": "other", "DBInstanceStatus": "deleting", "PendingModifiedValues": {}},
        {"DBInstanceIdentifier": "db-1", "DBInstanceStatus": "available", "MultiAZ": True, "InstanceCreateTime": MADE,
         "PendingModifiedValues": {"DBInstanceClass": "db.r6g.large", "ProcessorFeatures": []},
         "DBParameterGroups": [{"DBParameterGroupName": "a", "ParameterApplyStatus": "pending-reboot"},
                               {"DBParameterGroupName": "b", "ParameterApplyStatus": "in-sync"}]}]},
    "DescribeDBSnapshots": {"DBSnapshots": [
        {"DBSnapshotIdentifier": "new", "DBInstanceIdentifier": "db-1", "Status": "creating", "PercentProgress": 40,
         "SnapshotCreateTime": at("2026-03-01T10:00:00.500")},
        {"DBSnapshotIdentifier": "old", "DBInstanceIdentifier": "db-1", "Status": "available", "PercentProgress": 100,
         "SnapshotCreateTime": at("2026-03-01T10:00:00.250")}]},
    "DescribeDBProxies": {"DBProxies": [{"DBProxyName": "px", "Status": "available", "Auth": []}]},
    "DescribeDBProxyTargetGroups": {"TargetGroups": [
        {"DBProxyName": "px", "TargetGroupName": "default", "Status": "available", "IsDefault": True, "ConnectionPoolConfig": {
            "MaxConnectionsPercent": 50, "MaxIdleConnectionsPercent": 25, "ConnectionBorrowTimeout": 120,
            "SessionPinningFilters": [], "InitQuery": "SET a = 'x < y && ü'"}}]},
    "DescribeDBProxyTargets": {"Targets": [
        {"RdsResourceId": "db-1", "Port": 5432, "Type": "RDS_INSTANCE", "TargetHealth": {"State": "AVAILABLE"}}]},
    "DescribeReplicationGroups": {"ReplicationGroups": [
        {"ReplicationGroupId": "other", "Status": "deleting", "CacheNodeType": "cache.t4g.micro"},
        {"ReplicationGroupId": "cache-1", "Status": "available", "CacheNodeType": "cache.t4g.small",
         "PendingModifiedValues": {"LogDeliveryConfigurations": []}, "MemberClusters": ["cache-1-001", "cache-1-002"],
         "NodeGroups": [{"NodeGroupId": "0001", "Status": "available", "NodeGroupMembers": []}]}]},
    "DescribeCacheClusters": {"CacheClusters": [
        {"CacheClusterId": f"cache-1-00{n}", "ReplicationGroupId": "cache-1", "CacheClusterStatus": "available",
         "PendingModifiedValues": {}} for n in (1, 2)]},
    "ListAllowedNodeTypeModifications": {"ScaleUpModifications": ["cache.t4g.medium"], "ScaleDownModifications": []},
    "DescribeSnapshots": {"Snapshots": [
        {"SnapshotName": "s", "ReplicationGroupId": "cache-1", "SnapshotStatus": "available", "SnapshotSource": "manual",
         "NodeSnapshots": [{"CacheClusterId": "cache-1-001", "SnapshotCreateTime": MADE}]}]},
    "DescribeCertificate": {"Certificate": {"CertificateArn": CERTIFICATE, "Status": "ISSUED", "NotAfter": at("2090-01-01T00:00:00"),
                                            "DomainName": "portal.example.com", "InUseBy": []}},
}
# Lists that come in pages: the parameter and the answer's member.
PAGES = {"DescribeAutoScalingGroups": ("NextToken", "NextToken"), "DescribePolicies": ("NextToken", "NextToken"),
         "DescribeInstanceRefreshes": ("NextToken", "NextToken"), "DescribeDBInstances": ("Marker", "Marker"),
         "DescribeDBSnapshots": ("Marker", "Marker"), "DescribeDBProxyTargetGroups": ("Marker", "Marker"),
         "DescribeDBProxyTargets": ("Marker", "Marker"), "DescribeReplicationGroups": ("Marker", "Marker"),
         "DescribeCacheClusters": ("Marker", "Marker"), "DescribeSnapshots": ("Marker", "Marker"),
         "GetMetricData": ("NextToken", "NextToken")}


def metric_data(params):
    """Every metric is 12.5, in each period that was asked for."""
    results = []
    for n in range(1, 1000):
        at_member = f"MetricDataQueries.member.{n}."
        if at_member + "Id" not in params:
            break
        if params.get(at_member + "ReturnData") == "false":
            continue
        times = range(*(int(datetime.fromisoformat(params[k].replace("Z", "+00:00")).timestamp()) // 60 * 60
                        for k in ("StartTime", "EndTime")), 60)
        results.append({"Id": params[at_member + "Id"], "Label": "a & b", "StatusCode": "Complete", "Messages": [],
                        "Timestamps": [datetime.fromtimestamp(t, timezone.utc) for t in times], "Values": [12.5] * len(times)})
    return {"MetricDataResults": results, "Messages": []}


class Form:
    """How answers look; every member has the plain form as its default."""

    def __init__(self, **how):
        self.prefix = self.namespace = ""
        self.comments = self.cdata = self.references = self.empty_tags = self.pretty = self.extra = self.backwards = False
        self.empty_token = self.pages = self.no_prolog = self.exponent = self.json_odd = False
        self.time = "%Y-%m-%dT%H:%M:%S.%fZ"
        self.transport = "length"
        self.header_case = str
        self.content_type = None
        self.change = self.answer = None  # of illegal forms
        self.probe = self.why = None
        self.__dict__.update(how)

    # --- XML ---

    def tag(self, name, inner, attributes=""):
        name = self.prefix + name
        if inner == "" and self.empty_tags:
            return f"<{name}{attributes}/>"
        note = "<!-- a > b -->" if self.comments else ""
        space = "\n  " if self.pretty else ""
        return f"{space}<{name}{attributes}>{note}{inner}{note}{space if inner.endswith('>') else ''}</{name}{space}>"

    def text(self, value):
        if self.cdata:
            half = len(value) // 2
            return f"<![CDATA[{value[:half]}]]>{escape(value[half:])}" if value else ""
        if self.references:
            return "".join(f"&#x{ord(c):X};" if n % 2 else f"&#{ord(c)};" for n, c in enumerate(value))
        if self.comments and len(value) > 1:
            return escape(value[:1]) + "<!-- here --><?go on?>" + escape(value[1:])
        return escape(value)

    def xml(self, shape, value, name):
        if shape.type_name == "structure":
            members = [self.xml(s, value[m], s.serialization.get("name", m)) for m, s in shape.members.items() if m in value]
            if self.extra and name != "PendingModifiedValues":  # what is new there is pending, too
                members.insert(0, self.tag("SomethingNew", self.tag("Status", "wrong") + self.tag("NextToken", "wrong")))
                members.append(self.tag("AnotherNew", "", ' because="of 2027"'))
            return self.tag(name, "".join(members[::-1] if self.backwards else members))
        if shape.type_name == "list":
            member = shape.member.serialization.get("name", "member")
            return self.tag(name, "".join(self.xml(shape.member, v, member) for v in value))
        return self.tag(name, self.text(self.scalar(shape, value)))

    def scalar(self, shape, value):
        if shape.type_name == "timestamp":
            return value.strftime(self.time)
        if shape.type_name == "boolean":
            return "true" if value else "false"
        if shape.type_name in ("double", "float") and self.exponent:
            return f"{value:E}"
        return str(value)

    def xml_body(self, model, operation, content):
        shape = operation.output_shape
        result = self.xml(shape, content, shape.serialization["resultWrapper"])
        meta = self.tag("ResponseMetadata", self.tag("RequestId", "0c10ad51-form"))
        uri = quoteattr(model.metadata.get("xmlNamespace", "urn:aws"))
        attributes = f" xmlns:{self.prefix[:-1]}={uri}" if self.prefix else f" xmlns={uri}" if self.namespace else ""
        body = self.tag(operation.name + "Response", (meta + result) if self.backwards else result + meta, attributes)
        prolog = "" if self.no_prolog else '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        return (prolog + body.lstrip() + ("\n<!-- end -->\n" if self.comments else "")).encode()

    # --- JSON ---

    def json_value(self, value):
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, dict):
            items = [(k, self.json_value(v)) for k, v in value.items()]
            if self.json_odd:
                items = [("SomethingNew", [{"Status": None}]), *items[::-1]]
            return dict(items)
        return [self.json_value(v) for v in value] if isinstance(value, list) else value

    def json_body(self, content):
        text = json.dumps(self.json_value(content), indent=3 if self.json_odd else None)
        if self.json_odd:
            text = text.replace(repr(at("2090-01-01T00:00:00").timestamp()), "3.786912E+9").replace("ISSUED", "I\\u0053SUED")
        return text.encode()


LEGAL = {
    "plain": Form(), "prefix": Form(prefix="aws:"), "namespace": Form(namespace=True), "comments": Form(comments=True),
    "cdata": Form(cdata=True), "references": Form(references=True), "empty tags": Form(empty_tags=True, empty_token=True),
    "pretty": Form(pretty=True), "backwards": Form(backwards=True), "more members": Form(extra=True), "no prolog": Form(no_prolog=True),
    "short times": Form(time="%Y-%m-%dT%H:%M:%S.%f+00:00"), "exponents": Form(exponent=True), "empty token": Form(empty_token=True),
    "pages": Form(pages=True), "pages backwards": Form(pages=True, backwards=True, prefix="q:", pretty=True),
    "odd JSON": Form(json_odd=True), "chunked": Form(transport="chunked"), "closed": Form(transport="close"),
    "HTTP/1.0": Form(transport="1.0"), "100 Continue": Form(transport="continue"), "103 and 100": Form(transport="hints"),
    "upper": Form(header_case=str.upper), "lower": Form(header_case=str.lower), "untyped": Form(content_type=""),
    "typed": Form(content_type="application/xml; charset=utf-8"),
    "all of it": Form(prefix="x:", comments=True, empty_tags=True, pretty=True, backwards=True, extra=True, exponent=True, pages=True,
                      json_odd=True, transport="chunked", header_case=str.lower, time="%Y-%m-%dT%H:%M:%S.%f+00:00"),
}


def each_result(change):
    def to(content):
        for result in content["MetricDataResults"]:
            change(result)
    return to


def error(status, body, **headers):
    return status, body.encode(), {k.replace("_", "-"): v for k, v in headers.items()}


def wrong(name, probe, why, **how):
    return name, Form(probe=probe, why=why, **how)


QUERY_ERROR = "<ErrorResponse{0}><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not {1}you</Message></Error>{2}</ErrorResponse>"
ILLEGAL = dict([
    wrong("more values", "asg_cpu", "another number of times than of values", change=each_result(lambda r: r["Values"].append(99.0))),
    wrong("more times", "asg_cpu", "another number of times than of values", change=each_result(lambda r: r["Values"].pop())),
    wrong("an id twice", "asg_cpu", "twice", change=lambda c: c["MetricDataResults"].append(dict(c["MetricDataResults"][0]))),
    wrong("two values at a time", "asg_cpu", "different values", change=each_result(lambda r: (
        r["Timestamps"].append(r["Timestamps"][-1]), r["Values"].append(99.0)))),
    wrong("another id", "asg_cpu", "was not asked for", change=each_result(lambda r: r.update(Id="q999"))),
    wrong("no number", "asg_cpu", "is \"twelve\"", change=each_result(lambda r: r.update(Values=["twelve"] * len(r["Values"])))),
    wrong("an empty number", "asg_cpu", "is \"\"", change=each_result(lambda r: r.update(Values=[""] * len(r["Values"])))),
    wrong("hexadecimal", "asg_cpu", "is \"0x10\"", change=each_result(lambda r: r.update(Values=["0x10"] * len(r["Values"])))),
    wrong("no time", "asg_cpu", "at \"yesterday\"", time="yesterday"),
    wrong("time without a zone", "asg_cpu", "a point of", time="%Y-%m-%dT%H:%M:%S"),
    wrong("no desired", "asg_desired", "no DesiredCapacity", change=lambda c: c["AutoScalingGroups"][0].pop("DesiredCapacity")),
    wrong("half desired", "asg_desired", "no DesiredCapacity", change=lambda c: c["AutoScalingGroups"][0].update(DesiredCapacity=3.5)),
    wrong("no list", "asg_desired", "no list of groups", change=lambda c: c.pop("AutoScalingGroups")),
    wrong("a group twice", "asg_desired", "twice", change=lambda c: c["AutoScalingGroups"].append(
        dict(c["AutoScalingGroups"][0], DesiredCapacity=5))),
    wrong("an instance twice", "rds_status", "twice", change=lambda c: c["DBInstances"].append(
        dict(c["DBInstances"][1], DBInstanceStatus="stopped"))),
    wrong("a cache twice", "cache_status", "twice", change=lambda c: c["ReplicationGroups"].append(c["ReplicationGroups"][1])),
    wrong("no state", "alb_healthy", "no state of a target", change=lambda c: c["TargetHealthDescriptions"][0].pop("TargetHealth")),
    wrong("endless pages", "rds_status", "pages that do not end", answer="endless"),
    wrong("redirect", "asg_desired", "HTTP 307", answer="redirect"),
    wrong("redirected JSON", "cert_days_left", "HTTP 307", answer="redirect"),
    wrong("no request id", "rds_status", "AccessDenied: not you", answer=error(400, QUERY_ERROR.format("", "", ""))),
    wrong("error with a namespace", "rds_status", "AccessDenied: not you",
          answer=error(403, QUERY_ERROR.format(' xmlns="urn:x"', "<!-- yet -->", "<RequestId/>"))),
    wrong("type with a hash", "cert_days_left", "NoSuchThing: it is", answer=error(400, '{"__type":"com.amazonaws.acm#NoSuchThing","message":"it is"}')),
    wrong("type without", "cert_days_left", "NoSuchThing: it is", answer=error(400, '{"Message":"it is","__type":"NoSuchThing"}')),
    wrong("type in a header", "cert_days_left", "NoSuchThing: it is",
          answer=error(400, '{"message":"it is"}', x_amzn_errortype="NoSuchThing:http://internal.amazon.com/coral/x/")),
    wrong("empty type", "cert_days_left", "NoSuchThing: it is",
          answer=error(400, '{"__type":"","message":"it is"}', X_AMZN_ERRORTYPE="NoSuchThing")),
    wrong("no JSON error", "cert_days_left", "no AWS error", answer=error(400, "<html>no</html>")),
    wrong("unasked gzip", "cert_days_left", "cannot be read", answer=(200, gzip.compress(b"{}"), {"Content-Encoding": "gzip"})),
])


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    form = "plain"
    trapped = []


class Handler(socketserver.StreamRequestHandler):
    """Requests of one connection, read and answered by hand: what is answered is not what a library would."""

    def handle(self):
        while True:
            line = self.rfile.readline()
            if not line.strip():
                return
            method, path, _ = line.decode().split()
            headers = {}
            while (line := self.rfile.readline().decode().strip()):
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = self.rfile.read(int(headers.get("content-length", 0)))
            try:
                if not self.route(method, path, headers, body):
                    return
            except AssertionError as problem:
                self.send("length", 418, str(problem).encode(), {})

    def route(self, method, path, headers, body):
        if path.startswith("/_sim/"):
            return self.control(method, path.removeprefix("/_sim/"), body)
        if path != "/":
            self.server.trapped.append(path)
        if self.server.form in LEGAL:
            form = LEGAL[self.server.form]
        else:
            form = ILLEGAL[self.server.form]
        assert "accept-encoding" not in headers, "gzip was asked for"
        if form.answer == "redirect":
            where = f"http://127.0.0.1:{self.server.server_address[1]}/trap"
            return self.send("length", 307, b"", {"Location": where})
        if isinstance(form.answer, tuple):
            return self.send("length", *form.answer)
        target = headers.get("x-amz-target", "")
        params = json.loads(body) if target else dict(parse_qsl(body.decode(), keep_blank_values=True))
        action = target.partition(".")[2] or params["Action"]
        model = SESSION.get_service_model("acm" if target else VERSIONS[params["Version"]])
        operation = model.operation_model(action)
        content = metric_data(params) if action == "GetMetricData" else json.loads(
            json.dumps(CONTENT[action], default=lambda t: {"$time": t.timestamp()}),
            object_hook=lambda o: datetime.fromtimestamp(o["$time"], timezone.utc) if "$time" in o else o)
        if action == "DescribeAutoScalingGroups":
            assert params["AutoScalingGroupNames.member.1"] == "web", params
        if form.change and all(k in content for k in self.changes(form)):
            form.change(content)
        if form.answer == "endless":
            content["Marker"] = "again"
        if action in PAGES:
            self.page(form, action, params, content)
        raw = form.json_body(content) if target else form.xml_body(model, operation, content)
        if form.why is None:
            self.judge(form, operation, content, raw)
        kind = "application/x-amz-json-1.1" if target else "text/xml"
        kind = kind if form.content_type is None or target else form.content_type
        more = {"Content-Type": kind} if kind else {}
        return self.send(form.transport, 200, raw, {form.header_case(k): v for k, v in {
            "Date": datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT"), "x-amzn-RequestId": "0c10ad51", **more}.items()})

    @staticmethod
    def changes(form):
        return {"asg_cpu": ["MetricDataResults"], "asg_desired": ["AutoScalingGroups"], "rds_status": ["DBInstances"],
                "cache_status": ["ReplicationGroups"], "alb_healthy": ["TargetHealthDescriptions"]}[form.probe]

    @staticmethod
    def page(form, action, params, content):
        """The second half of the list first, then the first; of metrics the same ids in both."""
        asks, member = PAGES[action]
        token = params.get(asks)
        if form.empty_token:
            content[member] = ""
        if not form.pages:
            assert token is None or form.answer == "endless", token
            return
        assert token in (None, TOKEN), f"the token came back as {token!r}"
        name = next(k for k, v in content.items() if isinstance(v, list))
        if action == "GetMetricData":
            for r in content[name]:
                half = len(r["Values"]) // 2
                part = slice(half, None) if token is None else slice(0, half)
                r.update(Values=r["Values"][part], Timestamps=r["Timestamps"][part],
                         StatusCode="PartialData" if token is None else "Complete")
        else:
            half = (len(content[name]) + 1) // 2
            content[name] = content[name][half:] if token is None else content[name][:half]
        if token is None:
            content[member] = TOKEN

    @staticmethod
    def judge(form, operation, content, raw):
        """botocore reads the same in it."""
        parser = botocore.parsers.create_parser(operation.service_model.metadata["protocol"])
        seen = parser.parse({"body": raw, "headers": {}, "status_code": 200}, operation.output_shape)
        seen.pop("ResponseMetadata", None)
        assert seen == content, f"{operation.name}: botocore reads {seen} in {raw.decode()}"

    def control(self, method, path, body):
        given = json.loads(body) if body else {}
        if method == "POST" and path == "form":
            self.server.form = given["form"]
            answer = {}
        else:
            answer = {"legal": list(LEGAL), "trapped": self.server.trapped,
                      "illegal": [{"form": n, "probe": f.probe, "why": f.why} for n, f in ILLEGAL.items()]}[path]
        return self.send("close", 200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def send(self, transport, status, body, headers):
        """True if the connection goes on."""
        head = b""
        if transport in ("continue", "hints"):
            head = (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" if transport == "hints" else b"") + b"HTTP/1.1 100 Continue\r\n\r\n"
        version = "1.0" if transport == "1.0" else "1.1"
        if transport == "chunked":
            headers = {**headers, "Transfer-Encoding": "chunked"}
            parts = [body[n:n + 700] for n in range(0, len(body), 700)]
            body = b"".join(b"%x;why=not\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\nX-Trailer: yes\r\n\r\n"
        elif transport == "close":
            headers = {**headers, "Connection": "close"}
        elif transport != "1.0":
            headers = {**headers, "Content-Length": str(len(body))}
        head += f"HTTP/{version} {status} Whatever\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in headers.items())
        self.wfile.write(head + b"\r\n" + body)
        return transport not in ("close", "1.0")


def main():
    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        environment = {**os.environ, "AWS_ENDPOINT_URL": url, "CLOUDSIM_URL": url, "AWS_REGION": REGION,
                       "AWS_ACCESS_KEY_ID": "AKIAFORMS00000000001", "AWS_SECRET_ACCESS_KEY": "forms/secret"}
        return subprocess.run(sys.argv[1:], env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
