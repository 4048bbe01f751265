"""Checks an AWS Signature Version 4 by computing it again with botocore's own signer."""

import calendar
import hashlib
import hmac
import re
import time
from http.client import HTTPMessage

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from errors import ApiError

MAX_SKEW_SECONDS = 5 * 60  # what the query services allow; S3 allows 15 minutes
_ALGORITHM = "AWS4-HMAC-SHA256"
_CHECK_YOUR_KEY = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)


class Authorization:
    """The parsed Authorization header: who signed, for which scope, and which headers."""

    def __init__(self, header):
        algorithm, _, rest = header.partition(" ")
        if algorithm != _ALGORITHM:
            raise incomplete(f"Unsupported AWS 'algorithm': '{algorithm}'.")
        fields = dict(
            field.strip().partition("=")[::2] for field in rest.split(",") if "=" in field
        )
        missing = [n for n in ("Credential", "Signature", "SignedHeaders") if n not in fields]
        if missing:
            raise incomplete(" ".join(
                f"Authorization header requires '{n}' parameter." for n in missing
            ) + f" Authorization={header}")
        scope = fields["Credential"].split("/")
        if len(scope) != 5 or scope[4] != "aws4_request":
            raise incomplete(f"Credential must have exactly 5 slash-delimited elements, e.g. "
                             f"keyid/date/region/service/term, got '{fields['Credential']}'")
        self.access_key, self.date, self.region, self.service, _ = scope
        self.signed_headers = fields["SignedHeaders"].split(";")
        self.signature = fields["Signature"]


def incomplete(message):
    return ApiError("IncompleteSignature", message, 403, "IncompleteSignatureException")


def mismatch(message):
    return ApiError("SignatureDoesNotMatch", message, 403, "InvalidSignatureException")


class _Resigner(SigV4Auth):
    """botocore's signer, told to sign exactly the headers that the client says it signed."""

    def __init__(self, authorization, secret):
        credentials = Credentials(authorization.access_key, secret)
        super().__init__(credentials, authorization.service, authorization.region)
        self._names = authorization.signed_headers

    def headers_to_sign(self, request):
        headers = HTTPMessage()
        for name in self._names:
            for value in request.headers.get_all(name) or []:
                headers[name] = value
        return headers


def verify(request, authorization, secret, regions, service, now):
    """Raises ApiError unless `request` (method, path, headers, body) is signed with `secret`.

    `now` is the time that the server claims. The identity behind the key is the caller's affair.
    """
    stamp = _stamp(request)
    _check_scope(authorization, stamp, regions, service)
    _check_signed_headers(request, authorization)
    _check_clock(stamp, now)
    _check_body_hash(request)
    signer = _Resigner(authorization, secret)
    again = AWSRequest(request.method, "http://" + request.headers.get("Host", "") + request.path,
                       headers=request.headers, data=request.body)
    again.context["timestamp"] = stamp
    canonical = signer.canonical_request(again)
    to_sign = signer.string_to_sign(again, canonical)
    if not hmac.compare_digest(signer.signature(to_sign, again), authorization.signature):
        raise mismatch(
            f"{_CHECK_YOUR_KEY}\n\nThe Canonical String for this request should have been\n"
            f"'{canonical}'\n\nThe String-to-Sign should have been\n'{to_sign}'\n"
        )


def _stamp(request):
    stamp = request.headers.get("X-Amz-Date")
    if stamp is None:
        raise incomplete("Authorization header requires existence of either a 'X-Amz-Date' or a "
                         "'Date' header.")
    if not re.fullmatch(r"\d{8}T\d{6}Z", stamp):
        raise incomplete(f"Date must be in ISO-8601 'basic format'. Got '{stamp}'. See "
                         "http://en.wikipedia.org/wiki/ISO_8601")
    return stamp


def _check_scope(authorization, stamp, regions, service):
    problems = []
    if authorization.service != service:
        problems.append(f"Credential should be scoped to correct service: '{service}'.")
    if authorization.region not in regions:
        problems.append(f"Credential should be scoped to a valid region, not "
                        f"'{authorization.region}'.")
    if authorization.date != stamp[:8]:
        problems.append(f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version "
                        f"of date from HTTP: '{authorization.date}' != '{stamp[:8]}', from "
                        f"'{stamp}'.")
    if problems:
        raise mismatch(" ".join(problems))


def _check_signed_headers(request, authorization):
    names = authorization.signed_headers
    if names != sorted(set(names)):
        raise mismatch("SignedHeaders must be in lower case, sorted and without duplicates: "
                       + ";".join(names))
    if "host" not in names:
        raise mismatch("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    for name in request.headers:
        if name.lower().startswith("x-amz-") and name.lower() not in names:
            raise mismatch(f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")


def _check_clock(stamp, now):
    claimed = calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))

    def show(epoch):
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(epoch))

    if claimed < now - MAX_SKEW_SECONDS:
        raise mismatch(f"Signature expired: {stamp} is now earlier than "
                       f"{show(now - MAX_SKEW_SECONDS)} ({show(now)} - 5 min.)")
    if claimed > now + MAX_SKEW_SECONDS:
        raise mismatch(f"Signature not yet current: {stamp} is still later than "
                       f"{show(now + MAX_SKEW_SECONDS)} ({show(now)} + 5 min.)")


def _check_body_hash(request):
    claimed = request.headers.get("X-Amz-Content-SHA256")
    if claimed not in (None, "UNSIGNED-PAYLOAD"):
        if claimed != hashlib.sha256(request.body).hexdigest():
            raise mismatch("The provided 'x-amz-content-sha256' header does not match what was "
                           "computed.")
