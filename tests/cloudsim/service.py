"""What every AWS service here has in common: its model, its checks, its call.

A service is one file with one class. It names its botocore model and has a method for each
operation, called with a Call, that returns the result as a dict of the model's output members
(times as seconds in the claimed clock) or raises ApiError.
"""

from dataclasses import dataclass, field

import botocore.loaders
from botocore.model import ServiceModel

import validate
from errors import ApiError
from paging import BadToken, page

_loader = botocore.loaders.create_loader()


@dataclass
class Call:
    operation: object  # botocore's OperationModel
    params: dict
    identity: object  # None for the unsigned operations
    changed: dict = field(default_factory=dict)  # {what: [before, after]}, for the journal


class Service:
    model = None  # name of the folder under botocore/data
    iam_prefix = None  # where it differs from the signing name
    json_target = None  # X-Amz-Target prefix, for services that also or only speak JSON
    json_version = "1.1"
    mutating = frozenset()  # operations that change something: they are counted
    unsigned = frozenset()  # operations that anyone may call (the models do not tell)
    throttle_code = "Throttling"
    global_region = None  # also signed for this region, wherever the estate is

    def __init__(self, app):
        self.app = app
        self.estate = app.estate
        self.scenario = app.scenario
        self.service_model = ServiceModel(
            _loader.load_service_model(self.model, "service-2"), self.model)
        self.protocol = self.service_model.metadata["protocol"]
        self.signing_name = self.service_model.signing_name
        self.iam_prefix = self.iam_prefix or self.signing_name
        self.json_target = self.json_target or self.service_model.metadata.get("targetPrefix")

    def operation(self, name):
        """The model's operation; raises what AWS answers to a name that it does not have."""
        version = self.service_model.api_version
        if name not in self.service_model.operation_names:
            raise ApiError("InvalidAction",
                           f"Could not find operation {name} for version {version}",
                           json_code="UnknownOperationException")
        if not hasattr(self, name):
            raise ApiError("CloudsimUnknown", f"cloudsim has no {self.model} {name}", 501)
        return self.service_model.operation_model(name)

    def check(self, operation, params):
        """Refuses params that break the model's constraints."""
        validate.check(params, operation.input_shape)

    def resources(self, operation, params):
        """The ARNs that the call touches, for IAM: "*" for what has no resource-level rights."""
        return ["*"]

    def context(self, operation, params):
        """Condition keys of the call, for IAM."""
        return {"aws:RequestedRegion": self.scenario["region"]}

    def run(self, call):
        result = getattr(self, call.operation.name)(call) or {}
        if call.operation.name in self.mutating:
            self.app.journal.effect(self.signing_name, call.operation.name, self.app.clock.now(),
                                    params=call.params, changed=call.changed)
        return result

    def page(self, call, items, limit, most, size_key="MaxRecords", token_key="NextToken"):
        """A page of `items`, by the call's size and token; ValidationError above `most`."""
        params = dict(call.params)
        token = params.pop(token_key, None)
        size = params.pop(size_key, limit)
        if not 1 <= size <= most:
            raise ApiError("ValidationError", f"{size_key} must be between 1 and {most}: {size}",
                           json_code="ValidationException")
        try:
            return page(items, [call.operation.name, params], token, size)
        except BadToken:
            raise self.bad_token(token) from None

    def bad_token(self, token):
        return ApiError("InvalidNextToken", f"The token '{token}' is invalid.")
