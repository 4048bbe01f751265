"""STS: who am I, and temporary credentials for a role."""

from errors import ApiError, validation
from service import Service


class Sts(Service):
    model = "sts"
    global_region = "us-east-1"
    unsigned = frozenset({"AssumeRoleWithWebIdentity", "AssumeRoleWithSAML"})

    def resources(self, operation, params):
        return [params["RoleArn"]] if "RoleArn" in params else ["*"]

    def GetCallerIdentity(self, call):
        return {"UserId": call.identity.user_id, "Account": self.scenario["account"],
                "Arn": call.identity.arn}

    def AssumeRole(self, call):
        params = call.params
        role = self._role(params["RoleArn"])
        trusted = role is not None and (
            role["trust"] == "*" or call.identity.role_arn() in role["trust"]
        ) and role["external_id"] in (None, params.get("ExternalId"))
        if not trusted:
            raise ApiError("AccessDenied", f"User: {call.identity.arn} is not authorized to "
                           f"perform: sts:AssumeRole on resource: {params['RoleArn']}", 403,
                           "AccessDeniedException")
        return self._session(params, role)

    def AssumeRoleWithWebIdentity(self, call):
        params = call.params
        role = self._role(params["RoleArn"])
        if role is None:
            raise ApiError("AccessDenied", "Not authorized to perform "
                           "sts:AssumeRoleWithWebIdentity", 403)
        if params["WebIdentityToken"] not in role["web_identity_tokens"]:
            raise ApiError("InvalidIdentityToken", "No OpenIDConnect provider found in your "
                           "account for this token", 400)
        result = self._session(params, role)
        result["SubjectFromWebIdentityToken"] = "system:serviceaccount:ops:runbookd"
        result["Provider"] = "https://oidc.example.com"
        return result

    def _role(self, arn):
        prefix = f"arn:aws:iam::{self.scenario['account']}:role/"
        if not arn.startswith(prefix):
            return None
        name = arn.rsplit("/", 1)[-1]
        return next((r for r in self.scenario["roles"] if r["name"] == name), None)

    def _session(self, params, role):
        seconds = params.get("DurationSeconds", 3600)
        if seconds > role["max_session_seconds"]:
            raise validation("The requested DurationSeconds exceeds the MaxSessionDuration set "
                             "for this role.")
        seconds = self.scenario["token_seconds"] or seconds
        identity = self.app.identities.issue(params["RoleArn"], params["RoleSessionName"], seconds)
        return {
            "Credentials": {"AccessKeyId": identity.access_key, "SecretAccessKey": identity.secret,
                            "SessionToken": identity.token, "Expiration": identity.expires},
            "AssumedRoleUser": {"AssumedRoleId": identity.user_id, "Arn": identity.arn},
            "PackedPolicySize": 6,
        }
