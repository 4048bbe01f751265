"""Where an instance or a container gets its credentials: IMDSv2 and the container endpoint."""

import json
import secrets
import time

from http_types import Answer, text

TOKEN_PATH = "/latest/api/token"
ROLES_PATH = "/latest/meta-data/iam/security-credentials/"
MAX_TTL = 21600


class _Plain:
    """The faces that faults need, for a service whose answers are plain text or JSON."""

    def throttle_code(self, request):
        return "TooManyRequests"

    def error(self, request, error):
        return text(error.status, error.message, verdict=error.code)


def _iso(epoch):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))


def _credentials(app, settings, session):
    role = f"arn:aws:iam::{app.scenario['account']}:role/{settings['role']}"
    seconds = app.scenario["token_seconds"] or settings["seconds"]
    return role, app.identities.issue(role, session, seconds)


class Imds(_Plain):
    def __init__(self, app):
        self.app = app
        self.settings = app.scenario["imds"]
        self._tokens = {}

    def identify(self, request):
        if request.route == TOKEN_PATH:
            return "imds", "Token"
        if request.route == ROLES_PATH:
            return "imds", "Role"
        if request.route.startswith(ROLES_PATH):
            return "imds", "Credentials"
        return "imds", "MetaData"

    def serve(self, request, notes):
        now = self.app.clock.estate()
        if request.route == TOKEN_PATH:
            return self._token(request, now)
        if request.method != "GET":
            return text(405, "", verdict="405")
        if self._tokens.get(request.headers.get("X-aws-ec2-metadata-token"), 0) <= now:
            return text(401, "", verdict="401")
        region, zone = self.app.scenario["region"], self.app.scenario["region"] + "a"
        role = self.settings["role"]
        values = {
            ROLES_PATH: role,
            ROLES_PATH.rstrip("/"): role,
            "/latest/meta-data/instance-id": self.settings["instance_id"],
            "/latest/meta-data/placement/region": region,
            "/latest/meta-data/placement/availability-zone": zone,
            "/latest/dynamic/instance-identity/document": json.dumps({
                "region": region, "availabilityZone": zone,
                "accountId": self.app.scenario["account"],
                "instanceId": self.settings["instance_id"]}),
        }
        if role and request.route == ROLES_PATH + role:
            return self._role_credentials()
        if not values.get(request.route):
            return text(404, "", verdict="404")
        return text(200, values[request.route])

    def _token(self, request, now):
        if request.method != "PUT":
            return text(405, "", verdict="405")
        if "X-Forwarded-For" in request.headers:
            return text(403, "", verdict="403")
        given = request.headers.get("X-aws-ec2-metadata-token-ttl-seconds", "")
        if not given.isdigit() or not 1 <= int(given) <= MAX_TTL:
            return text(400, "", verdict="400")
        token = secrets.token_urlsafe(40) + "=="
        self._tokens[token] = now + int(given)
        return Answer(200, token.encode(), "text/plain",
                      {"X-Aws-Ec2-Metadata-Token-Ttl-Seconds": given})

    def _role_credentials(self):
        _, identity = _credentials(self.app, self.settings, self.settings["instance_id"])
        return text(200, json.dumps({
            "Code": "Success", "LastUpdated": _iso(self.app.clock.now()), "Type": "AWS-HMAC",
            "AccessKeyId": identity.access_key, "SecretAccessKey": identity.secret,
            "Token": identity.token, "Expiration": _iso(identity.expires)}, indent=1))


class Container(_Plain):
    def __init__(self, app):
        self.app = app
        self.settings = app.scenario["container"]

    def identify(self, request):
        return "container", "Credentials"

    def serve(self, request, notes):
        if request.method != "GET":
            return text(405, "", verdict="405")
        wanted = self.settings["token"]
        if wanted is not None and request.headers.get("Authorization") != wanted:
            return text(401, '{"message":"the authorization token is wrong"}', "application/json",
                        verdict="401")
        role, identity = _credentials(self.app, self.settings, "container")
        return text(200, json.dumps({
            "RoleArn": role, "AccessKeyId": identity.access_key,
            "SecretAccessKey": identity.secret, "Token": identity.token,
            "Expiration": _iso(identity.expires)}), "application/json")
