"""Compares our signing, serialising and reading of profiles with botocore's, over generated cases.

usage: aws_oracle.py PROGRAM [SEED]     (one botocore process, one run of PROGRAM)
"""
import base64
import datetime
import json
import os
import random
import subprocess
import sys
import tempfile
from unittest import mock
from urllib.parse import parse_qsl, quote

import botocore.auth
import botocore.configloader
import botocore.credentials
import botocore.exceptions
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.serialize import create_serializer

SERVICES = ["cloudwatch", "autoscaling", "elbv2", "rds", "elasticache", "sts", "ec2",
            "secretsmanager", "acm", "logs", "sqs"]  # in the order of enum aws_service
REGIONS = ["us-east-1", "eu-west-3", "ap-southeast-2", "cn-north-1", "us-gov-west-1",
           "us-iso-east-1", "us-isob-east-1"]
ODD = ["", " ", "a", "Zz9", "-_.~", "*'()!", "+", "%", "/", "?&=#", "é", "日本", "𝒳", "a b", "\"\\",
       "a\tb", ":;,@$", "[x]", "^`{|}", "\u007f"]
rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 20261122)
cases = []  # (case, expected or a function that checks the answer)


def odd(lo=0, hi=5):
    return "".join(rng.choice(ODD) for _ in range(rng.randint(lo, hi)))


def keys():
    return {"access": "AKIA" + "".join(rng.choices("ABCDEFGH234567", k=16)),
            "secret": "".join(rng.choices("abcXYZ019+/", k=40)),
            "token": rng.choice([None, "".join(rng.choices("abcXYZ019+/=", k=rng.randint(1, 400)))])}


def credentials(k):
    return botocore.credentials.Credentials(k["access"], k["secret"], k["token"])


class Clock(datetime.datetime):
    at = 0

    @classmethod
    def utcnow(cls):
        return datetime.datetime.utcfromtimestamp(cls.at)


def at(wall_ms):
    Clock.at = wall_ms // 1000
    return mock.patch.object(botocore.auth.datetime, "datetime", Clock)


def wall():
    return rng.randint(946684800, 4102444800) * 1000 + rng.randint(0, 999)


def sign_case(presign):
    k, ms = keys(), wall()
    host = rng.choice(["autoscaling.us-east-1.amazonaws.com", "127.0.0.1:8000", "Example.COM",
                       "localhost:65535", "[::1]:4566"])
    segments = ["", ".", "..", "a", "b c", "é", "日本", "%20", "%2F", "a%25b", "x=y", "~", "*", "a+b",
                "a:b@c", "$&,;", "'()!"]
    path = rng.choice(["", "/", "/" + "/".join(rng.choice(segments) for _ in range(rng.randint(1, 6)))])
    if presign:
        path = quote(path) or "/"
    names = [odd(1, 2) or "k" for _ in range(rng.randint(0, 5))]  # botocore presigns each name once
    if presign:
        names = sorted(set(n for n in names if n), key=names.index)
    if names and not presign and rng.random() < 0.5:  # the same name again, and none at all
        names += rng.choices(names + [""], k=rng.randint(1, 4))
    pairs = [(n, odd()) for n in names]
    use_params = not presign and pairs and rng.random() < 0.5
    flags = not presign and not use_params and rng.random() < 0.5  # "a&b" is "a=&b="
    wire = "&".join(quote(n, safe="-_.~") + ("" if flags and n and not v else "=" + quote(v, safe="-_.~"))
                    for n, v in pairs)
    body = odd(0, 20).encode() if rng.random() < 0.7 else rng.randbytes(rng.randint(0, 5000))
    if presign:
        body = b""
    headers = []
    for _ in range(rng.randint(0, 6)):
        name = rng.choice(["Content-Type", "X-Amz-Target", "x-custom", "X-CUSTOM", "My-Header1",
                           "User-Agent", "Expect", "X-Amzn-Trace-Id", "Accept", "X-Z-" + "q" * 40])
        value = rng.choice(["", " ", "a", "a  b   c", "  lead and trail  ", "tab\t\tbed", "\"quo  ted\"",
                            "a,b", "a , b", " \t a\t b ", "é日本", "=,;:", "application/x-amz-json-1.1", "v1;v2=3"])
        headers.append((name, value))
    service = rng.choice(["autoscaling", "monitoring", "sts", "rds-db", "s-" + "x" * 20])
    region = rng.choice(REGIONS)
    request = AWSRequest(method=rng.choice(["GET", "POST", "PUT", "post"]) if not presign else "GET",
                         url=f"https://{host}{path}" + (f"?{wire}" if pairs and not use_params else ""),
                         data=body)
    if use_params:
        request.params = pairs
    for name, value in headers:
        request.headers.add_header(name, value)
    with at(ms):
        if presign:
            expires = rng.randint(1, 604800)
            auth = botocore.auth.SigV4QueryAuth(credentials(k), service, region, expires)
            auth.add_auth(request)
            want = {"result": request.url[len("https://"):]}
        else:
            expires = 0
            botocore.auth.SigV4Auth(credentials(k), service, region).add_auth(request)
            want = {"result": request.headers["Authorization"], "date": request.headers["X-Amz-Date"]}
    case = {"kind": "sign", "presign": presign, "expires": expires, "method": request.method,
            "host": host, "path": path, "query": wire if pairs else None, "headers": headers,
            "body": base64.b64encode(body).decode(), "service": service, "region": region,
            "wall_ms": ms, **k}
    cases.append((case, want))


session = botocore.session.Session()
session.set_credentials("x", "y")
rds_client = session.create_client("rds", region_name="us-east-1")


def rds_case():
    k, ms = keys(), wall()
    host = rng.choice(["db.cluster-1.us-east-1.rds.amazonaws.com", "Proxy.proxy-2.EU-west-1.rds.amazonaws.com",
                       "10.0.0.1"])
    port, user, region = rng.choice([5432, 3306, 1, 65535, 443]), odd(1, 4) + "u", rng.choice(REGIONS)
    rds_client._request_signer._credentials = credentials(k)
    with at(ms):
        want = rds_client.generate_db_auth_token(host, port, user, region)

    def check(answer):  # byte for byte
        return None if answer["result"] == want else f"got  {answer['result']}\nwant {want}"

    cases.append(({"kind": "rds", "host": host, "port": port, "user": user, "region": region,
                   "wall_ms": ms, **k}, check))


OPERATIONS = {
    "cloudwatch": ["GetMetricData", "ListMetrics", "DescribeAlarms", "GetMetricStatistics"],
    "autoscaling": ["DescribeAutoScalingGroups", "SetDesiredCapacity", "DescribePolicies",
                    "DescribeInstanceRefreshes", "StartInstanceRefresh", "CancelInstanceRefresh",
                    "UpdateAutoScalingGroup", "TerminateInstanceInAutoScalingGroup",
                    "DetachInstances", "DescribeScalingActivities"],
    "elbv2": ["DescribeTargetHealth", "DescribeLoadBalancers", "DescribeTargetGroups",
              "DescribeListeners", "DescribeRules"],
    "rds": ["DescribeDBInstances", "ModifyDBParameterGroup", "ModifyDBProxyTargetGroup",
            "DescribeDBProxyTargetGroups", "RebootDBInstance", "CreateDBSnapshot"],
    "elasticache": ["DescribeReplicationGroups", "DescribeCacheClusters", "IncreaseReplicaCount",
                    "CreateSnapshot", "ListAllowedNodeTypeModifications"],
    "sts": ["AssumeRole", "GetCallerIdentity"],
    "ec2": ["DescribeInstances", "DescribeLaunchTemplateVersions"],
    "sqs": ["GetQueueAttributes"],
}
# Members whose lists have names of their own that nothing here sends.
SKIP = {"PolicyArns", "TransitiveTagKeys", "ReplicaConfiguration", "NodeGroupsToRemove",
        "MixedInstancesPolicy", "ProvidedContexts"}


def argument(shape, depth=0):
    """A random value of a shape: (what botocore takes, what our program is told)."""
    kind = shape.type_name
    if kind == "structure":
        theirs, ours = {}, {}
        for name, member in shape.members.items():
            required = name in shape.required_members
            if name in SKIP or (not required and (depth > 4 or rng.random() < 0.4)):
                continue
            theirs[name], ours[shape.members[name].serialization.get("name", name)
                               if kind == "never" else name] = argument(member, depth + 1)
        return theirs, ours
    if kind == "list":
        values = [argument(shape.member, depth + 1) for _ in range(rng.randint(1, 3))]
        return [v[0] for v in values], [v[1] for v in values]
    if kind == "boolean":
        v = rng.random() < 0.5
        return v, v
    if kind in ("integer", "long"):
        v = rng.randint(0, 100000)
        return v, v
    if kind in ("double", "float"):
        v = rng.choice([0.1, 99.5, 1e-07, 1 / 3])
        return v, v
    if kind == "timestamp":
        ms = wall() // 1000 * 1000
        t = datetime.datetime.fromtimestamp(ms // 1000, datetime.timezone.utc)
        return t, t.strftime("%Y-%m-%dT%H:%M:%SZ")
    v = rng.choice(shape.enum) if shape.enum else odd(1, 4) + "s"
    return v, v


def body_case(service, operation):
    model = session.get_service_model(service).operation_model(operation)
    theirs, ours = argument(model.input_shape) if model.input_shape else ({}, {})
    serializer = create_serializer(session.get_service_model(service).protocol, False)
    want = [(n, str(v)) for n, v in serializer.serialize_to_request(theirs, model)["body"].items()]

    def check(answer):
        got = parse_qsl(answer["result"], keep_blank_values=True, strict_parsing=True)
        return None if got == want else f"got  {got}\nwant {want}"

    cases.append(({"kind": "body", "service": SERVICES.index(service), "action": operation,
                   "args": ours}, check))


def service_case(service, region):
    client = session.create_client(service, region_name=region)
    meta = session.get_service_model(service).metadata
    url = client.meta.endpoint_url
    if service == "sts" and url == "https://sts.amazonaws.com":
        url = f"https://sts.{region}.amazonaws.com"  # this version still asks the global one
    want = {"url": url, "version": meta["apiVersion"], "protocol": meta["protocol"],
            "signing": meta.get("signingName", meta["endpointPrefix"]),
            "target": meta.get("targetPrefix"),
            "env": meta["serviceId"].upper().replace(" ", "_"),
            "type": f"application/x-amz-json-{meta['jsonVersion']}" if "jsonVersion" in meta else None}
    cases.append(({"kind": "service", "service": SERVICES.index(service), "region": region}, want))


NAMES = ["default", "a", "b", "c", "two words"]


def profile_section():
    s = {}
    if rng.random() < 0.5:
        s["aws_access_key_id"] = "AK" + str(rng.randint(0, 99))
        if rng.random() < 0.9:
            s["aws_secret_access_key"] = "SK" + str(rng.randint(0, 99))
        if rng.random() < 0.3:
            s["aws_session_token"] = "T" + str(rng.randint(0, 99))
    if rng.random() < 0.5:
        s["role_arn"] = "arn:aws:iam::123456789012:role/r" + str(rng.randint(0, 9))
        if rng.random() < 0.85:
            if rng.random() < 0.8:
                s["source_profile"] = rng.choice(NAMES + ["missing"])
            else:
                s["credential_source"] = rng.choice(["Environment", "EcsContainer",
                                                     "Ec2InstanceMetadata", "Nowhere"])
        if rng.random() < 0.4:
            s["external_id"] = "x=" + str(rng.randint(0, 9))
        if rng.random() < 0.4:
            s["role_session_name"] = "s" + str(rng.randint(0, 9))
        if rng.random() < 0.3:
            s["duration_seconds"] = str(rng.randint(900, 43200))
    if rng.random() < 0.1:
        s["web_identity_token_file"] = TOKEN_FILE
    if rng.random() < 0.2:
        s["credential_process"] = "/bin/echo 'a b' \"c\""
    if rng.random() < 0.5:
        s["region"] = "eu-west-1"
    return s


def ini(sections, prefix):
    out = []
    for name, values in sections.items():
        header = name if name == "default" or not prefix else f'profile "{name}"'
        out.append(f"[{header}]")
        out += [f"{k}{rng.choice([' = ', '=', ' : ', ' ='])}{v}" for k, v in values.items()]
        out.append(rng.choice(["", "# a comment", "; one more"]))
    return "\n".join(out) + "\n"


class FakeSts:
    """Plays STS: notes who assumes what, and gives keys that say so."""
    def __init__(self, notes, **kwargs):
        self.notes, self.kwargs = notes, kwargs

    def __call__(self, service, **kwargs):
        return FakeSts(self.notes, **kwargs)

    def _answer(self, **note):
        self.notes.append(note)
        return {"Credentials": {"AccessKeyId": f"ASSUMED{len(self.notes)}", "SecretAccessKey": "s",
                                "SessionToken": "t", "Expiration":
                                datetime.datetime.now(datetime.timezone.utc)
                                + datetime.timedelta(hours=1)},
                "AssumedRoleUser": {"AssumedRoleId": "x", "Arn": "y"}}

    def assume_role(self, RoleArn, RoleSessionName, ExternalId=None, DurationSeconds=0):
        return self._answer(by=self.kwargs["aws_access_key_id"], arn=RoleArn, session=RoleSessionName,
                            external_id=ExternalId, duration=DurationSeconds)

    def assume_role_with_web_identity(self, RoleArn, RoleSessionName, WebIdentityToken):
        return self._answer(by="web:" + WebIdentityToken, arn=RoleArn, session=RoleSessionName,
                            external_id=None, duration=0)


def marker(name):
    return lambda self: botocore.credentials.Credentials(name, "s", None)


def if_in_container(self):
    asked = [n for n in os.environ if n.startswith("AWS_CONTAINER_CREDENTIALS_")]
    return botocore.credentials.Credentials("container", "s", None) if asked else None


def botocore_plan(profile, directory, notes, env=None):
    """Without env the profile alone decides, and every source outside is there."""
    fake = FakeSts(notes)
    c = botocore.credentials
    from_env, in_container = (c.EnvProvider.load, if_in_container) if env else (marker("env"), marker("container"))
    env = env or {"AWS_CONFIG_FILE": os.path.join(directory, "config"),
                  "AWS_SHARED_CREDENTIALS_FILE": os.path.join(directory, "credentials")}
    with mock.patch.dict(os.environ, env, clear=True), \
            mock.patch.object(c, "_get_client_creator", lambda s, r: fake), \
            mock.patch.object(c.ProfileProviderBuilder, "_create_web_identity_provider",
                              lambda self, name, off: c.AssumeRoleWithWebIdentityProvider(
                                  load_config=lambda: self._session.full_config,
                                  client_creator=fake, cache={}, profile_name=name,
                                  disable_env_vars=off)), \
            mock.patch.object(c.EnvProvider, "load", from_env), \
            mock.patch.object(c.ContainerProvider, "load", in_container), \
            mock.patch.object(c.InstanceMetadataProvider, "load", marker("instance")), \
            mock.patch.object(c.ProcessProvider, "_retrieve_credentials_using",
                              lambda self, line: {"access_key": "process:" + line,
                                                  "secret_key": "s", "token": None}):
        s = botocore.session.Session(profile=profile)
        resolver = c.create_credential_resolver(s, cache={})
        found = resolver.load_credentials()
        frozen = found.get_frozen_credentials()
        # The chain ends in the container here: nothing before it had credentials.
        return frozen.access_key, frozen.secret_key, frozen.token


def profile_case(directory):
    config = {n: profile_section() for n in NAMES if rng.random() < 0.7}
    creds = {n: {k: v for k, v in profile_section().items() if rng.random() < 0.8}
             for n in NAMES if rng.random() < 0.4}
    texts = {"config": ini(config, True), "credentials": ini(creds, False)}
    for name, text in texts.items():
        with open(os.path.join(directory, name), "w", encoding="utf-8") as f:
            f.write(text)
    profile, notes, error, got = rng.choice(NAMES), [], None, None
    try:
        got = botocore_plan(profile, directory, notes)
    except Exception as e:  # whatever botocore refuses, we must
        error = e

    def check(answer):
        where = f"profile {profile}\n{texts['config']}--\n{texts['credentials']}"
        if error or "error" in answer:
            ok = bool(error) == ("error" in answer)
            return None if ok else f"{where}botocore: {error!r} {got}\nours: {answer}"
        base = {"none": "container", "env": "env", "container": "container", "instance": "instance",
                "keys": answer["access"], "process": f"process:{answer['process']}",
                "web": "web:the token"}[answer["base"]]
        if answer["base"] in ("none", "keys", "process") and not answer["roles"]:
            same = got[0] == base and (answer["base"] != "keys" or got[1:] ==
                                       (answer["secret"], answer["token"]))
            return None if same and not notes else f"{where}botocore: {got} {notes}\nours: {answer}"
        for i, role in enumerate(answer["roles"]):
            note = dict(notes[i]) if i < len(notes) else {}
            by = base if i == 0 else f"ASSUMED{i}"
            if not role["session"] and str(note.get("session", "")).startswith("botocore-session-"):
                note["session"] = None
            if note != {"by": by, **role}:
                return f"{where}botocore: {notes}\nours: {answer}"
        return None if len(notes) == len(answer["roles"]) else f"{where}{notes}\n{answer}"

    cases.append(({"kind": "profile", "profile": profile, **texts}, check))


def find_case(directory):
    """Which source is taken, by the environment and the profiles together."""
    config = {n: profile_section() for n in NAMES if rng.random() < 0.5}
    text = ini(config, True)
    path = os.path.join(directory, f"config-{len(cases)}")  # our program reads it later
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    env = {"AWS_CONFIG_FILE": path, "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}

    def maybe(share, **variables):
        if rng.random() < share:
            env.update(variables)

    maybe(0.3, AWS_ACCESS_KEY_ID=rng.choice(["AKENV", ""]))
    maybe(0.3, AWS_SECRET_ACCESS_KEY=rng.choice(["SKENV", ""]))
    maybe(0.2, AWS_SESSION_TOKEN="TENV")
    maybe(0.5, AWS_PROFILE=rng.choice(NAMES + ["missing"]))
    maybe(0.3, AWS_WEB_IDENTITY_TOKEN_FILE=TOKEN_FILE)
    if "AWS_WEB_IDENTITY_TOKEN_FILE" in env:
        maybe(0.9, AWS_ROLE_ARN="arn:aws:iam::123456789012:role/pod")
        maybe(0.5, AWS_ROLE_SESSION_NAME="pod-1")
    maybe(0.3, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="/v2/x")
    maybe(0.2, AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1/x")
    profile = rng.choice([None, None, *NAMES, "missing"])
    notes, error, got = [], None, None
    try:
        got = botocore_plan(profile, directory, notes, env)
    except Exception as e:  # whatever botocore refuses, we must
        error = e
    # Keys in the environment count before any profile: botocore looks whether AWS_PROFILE exists all the same.
    # Where both are there, botocore takes a token in the environment before a profile's own keys; here the
    # profile is first, and one that was named by hand and has no keys is not passed over.
    web = "AWS_WEB_IDENTITY_TOKEN_FILE" in env and not profile
    case = {"kind": "find", "env": env, "profile": profile}

    def check(answer):
        where = f"{env}\nprofile {profile}\n{text}botocore: {got} {notes} {error!r}\nours: {answer}"
        roles = answer.get("roles", [])
        own = answer["base"] in ("keys", "process") and not roles if "base" in answer else True
        if web and (own or (answer["base"] == "web" and roles[0]["arn"] != env.get("AWS_ROLE_ARN"))):
            return None
        if profile and "says nothing of credentials" in answer.get("error", ""):
            return None
        if isinstance(error, botocore.exceptions.ProfileNotFound) and answer.get("base") == "env" and not profile:
            return None
        if error or "error" in answer:
            return None if bool(error) == ("error" in answer) else where
        base = {"env": "env", "keys": answer.get("access"), "process": f"process:{answer.get('process')}", "web": "web:the token"
                }.get(answer["base"], answer["base"])
        if base == "env":
            base = env.get("AWS_ACCESS_KEY_ID")
        first = notes[0]["by"] if notes else got[0]
        if first != base or len(notes) != len(answer["roles"]):
            return where
        sessions = [(n["session"], r["session"]) for n, r in zip(notes, answer["roles"])]
        return None if all(ours in (None, theirs) for theirs, ours in sessions) else where

    cases.append((case, check))


def ini_case(directory):
    lines, asked = [], []
    for _ in range(rng.randint(1, 25)):
        lines.append(rng.choice([
            "[default]", "[profile a]", "[profile 'b c']", "[profile b\\ d]", "[profile]", "[a]",
            "[profilea]", "[sso-session x]", "[profile a b]", "  [profile e]", "[profile f] trailing",
            "key = value", "KEY2=  spaced  ", "key3 : colon = both", "key4 =", "  nested = 1",
            "\tdeep : 2", "key5 = a # not a comment", "# comment", "   ; indented comment", "",
            f"k{rng.randint(10, 99)} = v", f"k{rng.randint(10, 99)} = é 日本", "no equals sign",
            "=empty", "key6 = [x]", "arn = arn:aws:iam::1:role/x", "dotted.key-name = 1"]))
    text = "\n".join(lines) + rng.choice(["", "\n", "\r\n"])
    path = os.path.join(directory, "config")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    error, profiles = None, {}
    try:
        profiles = botocore.configloader.load_config(path)["profiles"]
    except Exception as e:
        error = e
    ours_differ = False
    want = []
    for name, values in profiles.items():
        for k, v in values.items():
            if isinstance(v, dict) or v.startswith("\n"):
                continue  # nested settings, which we keep as text
            asked.append([name, k])
            want.append(v)

    def check(answer):
        if error:
            # configparser looks into sections that are no profiles, too, and its nested settings
            # need '='; we do not mind those.
            lenient = "Duplicate" in str(error) or "already exists" in str(error) \
                or "Unable to parse" in str(error)
            return None if "error" in answer or lenient else f"{text}\nbotocore: {error!r}"
        if "error" in answer:
            return f"{text}\nours: {answer['error']}"
        return None if answer["values"] == want else \
            f"{text}\nasked {asked}\ngot  {answer['values']}\nwant {want}"

    cases.append(({"kind": "ini", "config": text, "credentials": None, "ask": asked}, check))


def main():
    global TOKEN_FILE
    with tempfile.TemporaryDirectory() as directory:
        TOKEN_FILE = os.path.join(directory, "token")
        with open(TOKEN_FILE, "w", encoding="ascii") as f:
            f.write("the token")
        for _ in range(500):
            sign_case(False)
        for _ in range(150):
            sign_case(True)
        for _ in range(100):
            rds_case()
        for service, operations in OPERATIONS.items():
            for operation in operations:
                for _ in range(10):
                    body_case(service, operation)
        for service in SERVICES:
            for region in REGIONS:
                service_case(service, region)
        for _ in range(400):
            profile_case(directory)
        for _ in range(300):
            find_case(directory)
        for _ in range(300):
            ini_case(directory)
        lines = "".join(json.dumps(c) + "\n" for c, _ in cases)
        run = subprocess.run([sys.argv[1]], input=lines.encode(), stdout=subprocess.PIPE, check=False)
    answers = run.stdout.decode().splitlines()
    if run.returncode != 0 or len(answers) != len(cases):
        sys.exit(f"{sys.argv[1]} ended with {run.returncode} after {len(answers)} of {len(cases)} cases")
    failed, count = 0, {}
    for (case, want), line in zip(cases, answers):
        answer = json.loads(line)
        if callable(want):
            problem = want(answer)
        else:
            bad = {k: (answer.get(k), v) for k, v in want.items() if answer.get(k) != v}
            problem = f"got and want: {bad}" if bad else None
        count[case["kind"]] = count.get(case["kind"], 0) + 1
        if problem:
            failed += 1
            if failed <= 5:
                print(f"case {json.dumps(case)}\n{problem}\n")
    print(f"{len(cases)} cases ({', '.join(f'{n} {k}' for k, n in count.items())}), {failed} differ")
    sys.exit(1 if failed else 0)


main()
