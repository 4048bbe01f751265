"""Certificate Manager: certificates as they are described and listed."""

import uuid

from errors import ApiError
from service import Service

# Why it is so, by the status that it explains.
_REASONS = {"REVOKED": "RevocationReason", "FAILED": "FailureReason"}
DAY = 86400.0


class Certificate:
    """One certificate; `not_after` in the claimed clock's seconds."""

    def __init__(self, spec, account, region, now):
        self.spec, self.name = spec, spec["name"]
        self.id = spec["id"] or str(uuid.uuid5(uuid.NAMESPACE_DNS, self.name))
        self.arn = f"arn:aws:acm:{region}:{account}:certificate/{self.id}"
        self.status, self.reason = spec["status"], spec["reason"]
        self.made = now
        self.not_after = now + spec["days"] * DAY

    def issued(self):
        return self.status not in ("PENDING_VALIDATION", "VALIDATION_TIMED_OUT", "FAILED")

    def state(self, now):
        """What time has made of an issued one."""
        return "EXPIRED" if self.status == "ISSUED" and self.not_after <= now else self.status


class Acm(Service):
    model = "acm"
    throttle_code = "ThrottlingException"

    def __init__(self, app):
        super().__init__(app)
        self.certificates = self.estate.certificates
        for spec in self.scenario["certificates"]:
            self.certificates[spec["name"]] = Certificate(
                spec, self.scenario["account"], self.scenario["region"], self.app.clock.now())

    def resources(self, operation, params):
        return [params.get("CertificateArn", "*")]

    def bad_token(self, token):
        return ApiError("ValidationException", f"The token '{token}' is invalid.")

    def _times(self, c):
        found = {"CreatedAt": c.made}
        if c.issued():
            found.update(NotBefore=c.made, NotAfter=c.not_after)
            found["ImportedAt" if c.spec["type"] == "IMPORTED" else "IssuedAt"] = c.made
        if c.status == "REVOKED":
            found["RevokedAt"] = c.made
        return found

    def _summary(self, c):
        return {"CertificateArn": c.arn, "DomainName": c.name, "Type": c.spec["type"],
                "Status": c.state(self.app.clock.now()), "KeyAlgorithm": "RSA-2048",
                "InUse": bool(c.spec["in_use_by"]),
                "RenewalEligibility": "INELIGIBLE" if c.spec["type"] == "IMPORTED" else "ELIGIBLE",
                **self._times(c)}

    def DescribeCertificate(self, call):
        arn = call.params["CertificateArn"]
        found = next((c for c in self.certificates.values() if c.arn == arn), None)
        if found is None:
            raise ApiError("ResourceNotFoundException", f"Could not find certificate {arn}.")
        detail = {k: v for k, v in self._summary(found).items() if k != "InUse"}
        detail.update(SubjectAlternativeNames=[found.name], Subject=f"CN={found.name}",
                      InUseBy=found.spec["in_use_by"], SignatureAlgorithm="SHA256WITHRSA")
        if found.status in _REASONS and found.reason:
            detail[_REASONS[found.status]] = found.reason
        return {"Certificate": detail}

    def ListCertificates(self, call):
        wanted = call.params.get("CertificateStatuses")
        items = [self._summary(c) for c in self.certificates.values()]
        items = [i for i in items if not wanted or i["Status"] in wanted]
        found, token = self.page(call, items, 1000, 1000, size_key="MaxItems")
        return {"CertificateSummaryList": found, "NextToken": token}
