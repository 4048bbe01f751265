"""The door of the AWS services: finds the service, checks the signature, runs the call, answers."""

import uuid
from email.utils import formatdate
from urllib.parse import parse_qsl, urlsplit

import sign
import wire
from acm import Acm
from autoscaling import AutoScaling
from cloudwatch import CloudWatch
from elasticache import ElastiCache
from elbv2 import Elbv2
from errors import ApiError
from http_types import Answer
from rds import Rds
from secretsmanager import SecretsManager
from service import Call
from sts import Sts

# A new service is one file and one name here.
SERVICES = (Acm, AutoScaling, CloudWatch, ElastiCache, Elbv2, Rds, SecretsManager, Sts)


class AwsFront:
    def __init__(self, app):
        self.app = app
        self.services = {}
        for kind in SERVICES:
            service = kind(app)
            self.services[service.signing_name] = service

    # --- what the fault machinery and the journal need ------------------------------------------

    def identify(self, request):
        """(service, action) as far as they can be told without trusting the request."""
        service = self._service_of(request)
        name = service.signing_name if service else "unknown"
        return name, self._action_of(request) or "?"

    def throttle_code(self, request):
        service = self._service_of(request)
        if self._json(request):
            return "ThrottlingException"
        return service.throttle_code if service else "Throttling"

    # --- the call --------------------------------------------------------------------------------

    def serve(self, request, notes):
        """Answers a request; `notes` gets what the journal wants to know."""
        try:
            return self._serve(request, notes)
        except ApiError as error:
            return self.error(request, error)

    def _serve(self, request, notes):
        service = self._service_of(request)
        if service is None:
            if "Authorization" not in request.headers:
                raise _no_token()
            raise sign.mismatch("Credential should be scoped to correct service: "
                                f"one of {', '.join(sorted(self.services))}.")
        action = self._action_of(request)
        identity = None
        if action not in service.unsigned:
            identity = self._authenticate(request, service, notes)
        operation = self._operation(request, service, action)
        params = self._params(request, service, operation)
        notes["params"] = params
        service.check(operation, params)
        if identity is not None and action != "GetCallerIdentity":
            self.app.iam.check(identity, f"{service.iam_prefix}:{action}",
                               service.resources(operation, params),
                               service.context(operation, params))
        result = service.run(Call(operation, params, identity))
        return self._result(request, service, operation, result)

    def _service_of(self, request):
        header = request.headers.get("Authorization")
        target = request.headers.get("X-Amz-Target", "")
        if header is not None:
            try:
                return self.services.get(sign.Authorization(header).service)
            except ApiError:
                pass
        for service in self.services.values():
            if target and service.json_target == target.partition(".")[0]:
                return service
            if service.service_model.api_version == dict(self._fields(request)).get("Version"):
                return service
        return None

    def _action_of(self, request):
        if self._json(request):
            return request.headers["X-Amz-Target"].partition(".")[2]
        return dict(self._fields(request)).get("Action")

    @staticmethod
    def _json(request):
        return "X-Amz-Target" in request.headers

    @staticmethod
    def _fields(request):
        if request.method == "GET":
            return parse_qsl(urlsplit(request.path).query, keep_blank_values=True)
        try:
            return parse_qsl(request.body.decode("utf-8"), keep_blank_values=True)
        except ValueError:
            return []

    def _authenticate(self, request, service, notes):
        header = request.headers.get("Authorization")
        if header is None:
            raise _no_token()
        authorization = sign.Authorization(header)
        notes["access_key"] = authorization.access_key
        identity = self.app.identities.find(authorization.access_key,
                                            request.headers.get("X-Amz-Security-Token"))
        notes["arn"] = identity.arn
        regions = (self.app.scenario["region"], service.global_region)
        sign.verify(request, authorization, identity.secret, regions, service.signing_name,
                    self.app.clock.now())
        return identity

    def _operation(self, request, service, action):
        if self._json(request):
            wanted = f"application/x-amz-json-{service.json_version}"
            target = request.headers["X-Amz-Target"]
            if service.json_target is None or target.partition(".")[0] != service.json_target:
                raise ApiError("UnknownOperationException", f"there is no target {target}")
            if request.headers.get_content_type() != wanted:
                raise ApiError("SerializationException", f"the Content-Type must be {wanted}")
            return service.operation(action)
        if service.protocol not in ("query", "ec2"):
            raise ApiError("UnknownOperationException", "this service speaks JSON")
        fields = dict(self._fields(request))
        version = service.service_model.api_version
        if request.method not in ("POST", "GET"):
            raise ApiError("UnsupportedOperation", "use POST", 405)
        if request.method == "POST":
            if request.headers.get_content_type() != "application/x-www-form-urlencoded":
                raise wire.malformed("the Content-Type must be application/x-www-form-urlencoded")
        if not action:
            raise ApiError("MissingAction", "The request must contain the parameter Action")
        if fields.get("Version") != version:
            raise ApiError("InvalidAction", f"Could not find operation {action} for version "
                           f"{fields.get('Version', 'NO_VERSION_SPECIFIED')}")
        return service.operation(action)

    def _params(self, request, service, operation):
        if self._json(request):
            return wire.parse_json(request.body, operation.input_shape)
        if request.method == "POST":
            try:
                request.body.decode("utf-8")
            except UnicodeDecodeError:
                raise wire.malformed("the body is not UTF-8") from None
        return wire.parse_query(self._fields(request), operation.input_shape, service.protocol)

    # --- answers ---------------------------------------------------------------------------------

    def _headers(self, request_id):
        return {"x-amzn-RequestId": request_id,
                "Date": formatdate(self.app.clock.now(), usegmt=True)}

    def _result(self, request, service, operation, result):
        request_id = str(uuid.uuid4())
        if self._json(request):
            body = wire.json_result(operation, result)
            content_type = f"application/x-amz-json-{service.json_version}"
        else:
            body = wire.xml_result(operation, result, request_id, service.protocol)
            content_type = "text/xml"
        return Answer(200, body.encode("utf-8"), content_type, self._headers(request_id))

    def error(self, request, error):
        request_id = str(uuid.uuid4())
        service = self._service_of(request)
        headers = self._headers(request_id)
        if self._json(request):
            version = service.json_version if service else "1.1"
            name = self._shape_of(service, error)
            headers["x-amzn-ErrorType"] = name + ":"
            if service and service.protocol == "query":
                side = "Sender" if error.status < 500 else "Receiver"
                headers["x-amzn-query-error"] = f"{error.code};{side}"
            namespace = f"com.amazonaws.{service.model if service else 'coral.service'}"
            body = wire.json_error(ApiError(error.code, error.message, error.status, name),
                                   namespace)
            content_type = f"application/x-amz-json-{version}"
        else:
            namespace = service.service_model.metadata.get("xmlNamespace", "") if service else ""
            body = wire.xml_error(error, request_id, namespace,
                                  service.protocol if service else "query")
            content_type = "text/xml"
        return Answer(error.status, body.encode("utf-8"), content_type, headers,
                      verdict=error.code)

    @staticmethod
    def _shape_of(service, error):
        """JSON names the error's shape where query has its code."""
        if service is not None:
            for name in service.service_model.shape_names:
                shape = service.service_model.shape_for(name)
                if shape.metadata.get("exception") and shape.metadata.get("error", {}).get(
                        "code") == error.code:
                    return name
        return error.json_code


def _no_token():
    return ApiError("MissingAuthenticationToken", "Request is missing Authentication Token", 403,
                    "MissingAuthenticationTokenException")
