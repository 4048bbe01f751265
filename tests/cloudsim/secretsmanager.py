"""Secrets Manager: secrets with versions and stages, and requests that are the same by their token."""

import hashlib
import uuid

from errors import ApiError
from service import Service


class Secret:
    """Versions with stages; the same token with the same content is one request."""

    def __init__(self, name, description, tags, account, region, now):
        self.name, self.description, self.tags, self.created = name, description, tags, now
        suffix = hashlib.sha256(name.encode()).hexdigest()[:6]
        self.arn = f"arn:aws:secretsmanager:{region}:{account}:secret:{name}-{suffix}"
        self.versions = {}  # id: {"content": (string, blob), "created": time, "stages": set}
        self.changed = now

    def at_stage(self, stage):
        return next((i for i, v in self.versions.items() if stage in v["stages"]), None)

    def put(self, version, content, stages, now):
        """A new version; stages move to it, and what was current becomes previous."""
        before = self.at_stage("AWSCURRENT")
        for other in self.versions.values():
            other["stages"] -= set(stages)
        self.versions[version] = {"content": content, "created": now, "stages": set(stages)}
        if "AWSCURRENT" in stages and before is not None:
            for other in self.versions.values():
                other["stages"].discard("AWSPREVIOUS")
            self.versions[before]["stages"].add("AWSPREVIOUS")
        self.changed = now


def _content(params):
    """(string, blob) of a request; exactly one of them is given."""
    given = (params.get("SecretString"), params.get("SecretBinary"))
    if all(g is not None for g in given):
        raise ApiError("InvalidParameterException",
                       "You can't specify both a binary secret value and a string secret value "
                       "in the same secret.")
    return given


class SecretsManager(Service):
    model = "secretsmanager"
    mutating = frozenset({"CreateSecret", "PutSecretValue"})
    throttle_code = "ThrottlingException"

    def __init__(self, app):
        super().__init__(app)
        self.secrets = self.estate.secrets
        for spec in self.scenario["secrets"]:
            secret = self._make(spec["name"], spec["description"], [])
            secret.put(str(uuid.uuid4()), (spec["value"], None), {"AWSCURRENT"},
                       self.app.clock.now())

    def resources(self, operation, params):
        if "SecretId" not in params:
            return ["*"]
        found = self._look(params["SecretId"])
        return [found.arn if found else params["SecretId"]]

    def _make(self, name, description, tags):
        secret = Secret(name, description, tags, self.scenario["account"], self.scenario["region"],
                        self.app.clock.now())
        self.secrets[name] = secret
        return secret

    def _look(self, secret_id):
        for secret in self.secrets.values():
            # A name, an ARN, or an ARN without the six characters that AWS adds.
            if secret_id in (secret.name, secret.arn, secret.arn[:-7]):
                return secret
        return None

    def _find(self, call):
        secret = self._look(call.params["SecretId"])
        if secret is None:
            raise ApiError("ResourceNotFoundException",
                           "Secrets Manager can't find the specified secret.")
        return secret

    def CreateSecret(self, call):
        name, content = call.params["Name"], _content(call.params)
        token = call.params.get("ClientRequestToken") or str(uuid.uuid4())
        found = self.secrets.get(name)
        if found is not None:
            version = found.versions.get(token)
            if version is None or version["content"] != content:
                raise ApiError("ResourceExistsException",
                               f"The operation failed because the secret {name} already exists.")
            return {"ARN": found.arn, "Name": name, "VersionId": token}
        secret = self._make(name, call.params.get("Description"), call.params.get("Tags", []))
        if content == (None, None):
            return {"ARN": secret.arn, "Name": name}
        secret.put(token, content, {"AWSCURRENT"}, self.app.clock.now())
        call.changed["versions"] = [[], [token]]
        return {"ARN": secret.arn, "Name": name, "VersionId": token}

    def PutSecretValue(self, call):
        secret, content = self._find(call), _content(call.params)
        token = call.params.get("ClientRequestToken") or str(uuid.uuid4())
        stages = set(call.params.get("VersionStages", ["AWSCURRENT"]))
        if content == (None, None):
            raise ApiError("InvalidRequestException",
                           "You must provide either SecretString or SecretBinary.")
        there = secret.versions.get(token)
        if there is not None and there["content"] != content:
            raise ApiError("ResourceExistsException",
                           "You can't use ClientRequestToken " f"{token} because that value is "
                           "already in use for a version of secret " f"{secret.arn}.")
        if there is None:
            before = secret.at_stage("AWSCURRENT")
            secret.put(token, content, stages, self.app.clock.now())
            call.changed["current"] = [before, secret.at_stage("AWSCURRENT")]
        return {"ARN": secret.arn, "Name": secret.name, "VersionId": token,
                "VersionStages": sorted(secret.versions[token]["stages"])}

    def run(self, call):
        # A repeated request is answered like the first and changes nothing: it is no effect.
        result = getattr(self, call.operation.name)(call)
        if call.changed:
            self.app.journal.effect(self.signing_name, call.operation.name, self.app.clock.now(),
                                    params=call.params, changed=call.changed)
        return result

    def GetSecretValue(self, call):
        secret = self._find(call)
        version_id = call.params.get("VersionId")
        stage = call.params.get("VersionStage") or (None if version_id else "AWSCURRENT")
        found = version_id or secret.at_stage(stage)
        version = secret.versions.get(found)
        if version is None or (stage is not None and stage not in version["stages"]):
            raise ApiError("ResourceNotFoundException",
                           "Secrets Manager can't find the specified secret value for "
                           + (f"VersionId: {version_id}" if version_id
                              else f"staging label: {stage}"))
        string, blob = version["content"]
        return {"ARN": secret.arn, "Name": secret.name, "VersionId": found, "SecretString": string,
                "SecretBinary": blob, "VersionStages": sorted(version["stages"]),
                "CreatedDate": version["created"]}

    def DescribeSecret(self, call):
        secret = self._find(call)
        return {"ARN": secret.arn, "Name": secret.name, "Description": secret.description,
                "LastChangedDate": secret.changed, "CreatedDate": secret.created,
                "Tags": secret.tags,
                "VersionIdsToStages": {i: sorted(v["stages"]) for i, v in secret.versions.items()
                                       if v["stages"]}}
