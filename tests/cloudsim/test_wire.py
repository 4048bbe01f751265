"""Our reading and writing of the wire against botocore's, over random values of whole models.

botocore serialises a request and we parse it; we serialise an answer and botocore parses it. The
models include services that cloudsim does not have yet, so that one more needs no new wire code.
"""

import datetime
import random
import unittest
from urllib.parse import urlencode

import botocore.loaders
import botocore.parsers
import botocore.serialize
from botocore.model import ServiceModel

import validate
import wire
from errors import ApiError

MODELS = ("autoscaling", "cloudwatch", "elbv2", "sts", "rds", "elasticache", "ec2",
          "secretsmanager", "acm", "logs")
OPERATIONS_EACH = 60
ALPHABET = "abcXYZ 0189-_.:/<>&\"'%+=\u00e9\u20ac\U0001f600"
_loader = botocore.loaders.create_loader()


def load(name):
    return ServiceModel(_loader.load_service_model(name, "service-2"), name)


class Values:
    """Random values of a shape."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def of(self, shape, depth=0):
        kind = shape.type_name
        pick = self.random
        if kind == "structure":
            names = [n for n in shape.members if depth < 5 or n in shape.required_members]
            return {n: self.of(shape.members[n], depth + 1) for n in names
                    if pick.random() < (0.9 if depth == 0 else 0.6)
                    and n not in ("DryRun",)}
        if kind == "list":
            return [self.of(shape.member, depth + 1) for _ in range(pick.randint(1, 3))] \
                if depth < 6 else []
        if kind == "map":
            keys = {"k" + str(n) for n in range(pick.randint(1, 3))}
            return {k: self.of(shape.value, depth + 1) for k in sorted(keys)}
        if kind == "boolean":
            return pick.random() < 0.5
        if kind in ("integer", "long"):
            return pick.randint(0, 1000)
        if kind in ("float", "double"):
            return pick.choice([0.1, 1e-9, 12345.678901, -3.5, 1 / 3])
        if kind == "timestamp":
            return float(pick.randint(0, 2_000_000_000))
        if kind == "blob":
            return bytes(pick.randrange(256) for _ in range(pick.randint(1, 9)))
        if shape.metadata.get("enum"):
            return pick.choice(shape.metadata["enum"])
        return "".join(pick.choices(ALPHABET, k=pick.randint(1, 12))).strip() or "x"


def plain(value, shape):
    """A value as both sides would agree on: no empty containers, times as seconds."""
    kind = shape.type_name
    if kind == "structure":
        made = {n: plain(v, shape.members[n]) for n, v in value.items()
                if n in shape.members and v is not None}
        return {n: v for n, v in made.items() if v not in ({}, [])}
    if kind == "list":
        return [v for v in (plain(item, shape.member) for item in value) if v not in ({}, [])]
    if kind == "map":
        return {k: plain(v, shape.value) for k, v in value.items()}
    if isinstance(value, datetime.datetime):
        return value.timestamp()
    return value


def operations(model, seed):
    names = sorted(model.operation_names)
    random.Random(seed).shuffle(names)
    return [model.operation_model(n) for n in names[:OPERATIONS_EACH]]


class AgainstBotocore(unittest.TestCase):
    def test_requests(self):
        checked = 0
        for name in MODELS:
            model = load(name)
            protocol = model.metadata["protocol"]
            serializer = botocore.serialize.create_serializer(protocol, False)
            for operation in operations(model, 1):
                if operation.input_shape is None or name == "ec2" and _idempotent(operation):
                    continue
                value = plain(Values(name + operation.name).of(operation.input_shape),
                              operation.input_shape)
                sent = serializer.serialize_to_request(_dates(value, operation.input_shape),
                                                       operation)
                with self.subTest(service=name, operation=operation.name):
                    if protocol == "json":
                        got = wire.parse_json(sent["body"], operation.input_shape)
                    else:
                        fields = [(k, str(v)) for k, v in _flat(sent["body"])]
                        got = wire.parse_query(fields, operation.input_shape, protocol)
                    self.assertEqual(plain(got, operation.input_shape), value)
                    checked += 1
        self.assertGreater(checked, 300)

    def test_answers(self):
        checked = 0
        for name in MODELS:
            model = load(name)
            protocol = model.metadata["protocol"]
            parser = botocore.parsers.create_parser(protocol)
            for operation in operations(model, 2):
                shape = operation.output_shape
                if shape is None or operation.has_streaming_output:
                    continue
                value = plain(Values(name + operation.name).of(shape), shape)
                if protocol == "json":
                    body = wire.json_result(operation, value)
                else:
                    body = wire.xml_result(operation, value, "id-1", protocol)
                with self.subTest(service=name, operation=operation.name):
                    got = parser.parse({"status_code": 200, "headers": {}, "body": body.encode()},
                                       shape)
                    got.pop("ResponseMetadata", None)
                    self.assertEqual(plain(got, shape), value)
                    checked += 1
        self.assertGreater(checked, 300)

    def test_names_in_lists(self):
        """botocore's reader takes a list's items under any name; other readers do not."""
        for service, name, result, wanted in (
            ("autoscaling", "DescribeAutoScalingGroups",
             {"AutoScalingGroups": [{"AutoScalingGroupName": "a", "AvailabilityZones": ["z"]}]},
             "<DescribeAutoScalingGroupsResult><AutoScalingGroups><member><AutoScalingGroupName>a"
             "</AutoScalingGroupName><AvailabilityZones><member>z</member></AvailabilityZones>"
             "</member></AutoScalingGroups></DescribeAutoScalingGroupsResult>"),
            ("rds", "DescribeDBInstances",
             {"DBInstances": [{"ReadReplicaDBInstanceIdentifiers": ["r"]}]},
             "<DBInstances><DBInstance><ReadReplicaDBInstanceIdentifiers>"
             "<ReadReplicaDBInstanceIdentifier>r</ReadReplicaDBInstanceIdentifier>"
             "</ReadReplicaDBInstanceIdentifiers></DBInstance></DBInstances>"),
            ("ec2", "DescribeInstances", {"Reservations": [{"Instances": [{"InstanceId": "i"}]}]},
             "<requestId>id-1</requestId><reservationSet><item><instancesSet><item><instanceId>i"
             "</instanceId></item></instancesSet></item></reservationSet>"),
        ):
            model = load(service)
            body = wire.xml_result(model.operation_model(name), result, "id-1",
                                   model.metadata["protocol"])
            self.assertIn(wanted, body)

    def test_errors(self):
        error = ApiError("Throttling", "Rate <exceeded> & more", 400)
        for protocol, body in (
            ("query", wire.xml_error(error, "id-1", "http://x/")),
            ("ec2", wire.xml_error(error, "id-1", "", "ec2")),
            ("json", wire.json_error(error, "com.amazonaws.x")),
        ):
            got = botocore.parsers.create_parser(protocol).parse(
                {"status_code": 400, "headers": {}, "body": body.encode()}, None)
            self.assertEqual((got["Error"]["Code"], got["Error"]["Message"]),
                             ("Throttling", "Rate <exceeded> & more"))

    def test_what_the_model_forbids_is_found(self):
        shape = load("cloudwatch").operation_model("GetMetricStatistics").input_shape
        broken = {"Namespace": "", "MetricName": "m" * 256, "StartTime": 0.0, "Period": 0,
                  "Statistics": ["Mean"], "Dimensions": [{"Name": "n"}]}
        with self.assertRaises(ApiError) as caught:
            validate.check(broken, shape)
        message = caught.exception.message
        self.assertTrue(message.startswith("7 validation errors detected: "), message)
        for part in ("Value '' at 'namespace'", "at 'metricName' failed to satisfy constraint: "
                     "Member must have length less than or equal to 255",
                     "Value null at 'dimensions.1.member.value'", "Value null at 'endTime'",
                     "Value '0' at 'period' failed to satisfy constraint: Member must have value "
                     "greater than or equal to 1",
                     "Value 'Mean' at 'statistics.1.member' failed to satisfy constraint: Member "
                     "must satisfy enum value set: [SampleCount, Average, Sum, Minimum, Maximum]"):
            self.assertIn(part, message)


def _idempotent(operation):
    """botocore adds a random token to these requests."""
    return any(m.metadata.get("idempotencyToken") for m in operation.input_shape.members.values())


def _dates(value, shape):
    kind = shape.type_name
    if kind == "structure":
        return {n: _dates(v, shape.members[n]) for n, v in value.items()}
    if kind == "list":
        return [_dates(v, shape.member) for v in value]
    if kind == "map":
        return {k: _dates(v, shape.value) for k, v in value.items()}
    if kind == "timestamp":
        return datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
    return value


def _flat(body):
    from urllib.parse import parse_qsl

    return parse_qsl(urlencode(body), keep_blank_values=True)


if __name__ == "__main__":
    unittest.main()
