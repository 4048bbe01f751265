"""Evaluates IAM policy documents, so that a printed policy can be proved to suffice."""

import fnmatch
import re

from errors import ApiError

_OPERATORS = {
    "StringEquals": lambda have, want: have == want,
    "StringNotEquals": lambda have, want: have != want,
    "StringLike": lambda have, want: _match(want, have),
    "StringNotLike": lambda have, want: not _match(want, have),
    "ArnEquals": lambda have, want: _match(want, have),
    "ArnLike": lambda have, want: _match(want, have),
}


class PolicyError(ValueError):
    pass


def _list(value):
    return value if isinstance(value, list) else [value]


def _match(pattern, text):
    """IAM's wildcards: * and ?; nothing else is special."""
    return re.fullmatch(fnmatch.translate(pattern.replace("[", "[[]")), text) is not None


class Policy:
    """One policy document; raises PolicyError for what it does not understand."""

    def __init__(self, document):
        if not isinstance(document, dict) or "Statement" not in document:
            raise PolicyError("a policy needs a Statement")
        self._statements = [self._checked(s) for s in _list(document["Statement"])]

    @staticmethod
    def _checked(statement):
        known = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
        unknown = set(statement) - known
        if unknown:
            raise PolicyError(f"a statement has no element {sorted(unknown)[0]}")
        if statement.get("Effect") not in ("Allow", "Deny"):
            raise PolicyError("Effect must be Allow or Deny")
        for one, other in (("Action", "NotAction"), ("Resource", "NotResource")):
            if (one in statement) == (other in statement):
                raise PolicyError(f"a statement needs {one} or {other}")
        for operator in statement.get("Condition", {}):
            if operator.removesuffix("IfExists") not in _OPERATORS:
                raise PolicyError(f"the condition operator {operator} is not known here")
        return statement

    def verdict(self, action, resource, context):
        """"Allow", "Deny" or None for one action on one resource."""
        verdict = None
        for statement in self._statements:
            if self._applies(statement, action, resource, context):
                if statement["Effect"] == "Deny":
                    return "Deny"
                verdict = "Allow"
        return verdict

    @staticmethod
    def _applies(statement, action, resource, context):
        def some(patterns, text):
            return any(_match(p, text) for p in _list(patterns))

        if "Action" in statement:
            named = some([a.lower() for a in _list(statement["Action"])], action.lower())
        else:
            named = not some([a.lower() for a in _list(statement["NotAction"])], action.lower())
        if "Resource" in statement:
            covered = some(statement["Resource"], resource)
        else:
            covered = not some(statement["NotResource"], resource)
        return named and covered and Policy._conditions(statement.get("Condition", {}), context)

    @staticmethod
    def _conditions(conditions, context):
        for operator, keys in conditions.items():
            test = _OPERATORS[operator.removesuffix("IfExists")]
            for key, wanted in keys.items():
                have = context.get(key)
                if have is None:
                    if operator.endswith("IfExists"):
                        continue
                    return False
                some = all if "Not" in operator else any
                if not some(test(have, w) for w in _list(wanted)):
                    return False
        return True


class Enforcer:
    """Policies by the ARN of a role or user; a principal without one may do anything."""

    def __init__(self):
        self._policies = {}

    def set(self, principal, document):
        self._policies[principal or "*"] = Policy(document)

    def clear(self):
        self._policies.clear()

    def check(self, identity, action, resources, context):
        policy = self._policies.get(identity.role_arn(), self._policies.get("*"))
        if policy is None:
            return
        for resource in resources:
            verdict = policy.verdict(action, resource, context)
            if verdict == "Allow":
                continue
            reason = ("with an explicit deny in an identity-based policy" if verdict == "Deny"
                      else f"because no identity-based policy allows the {action} action")
            raise ApiError("AccessDenied", f"User: {identity.arn} is not authorized to perform: "
                           f"{action} on resource: {resource} {reason}", 403,
                           "AccessDeniedException")
