"""Certificate Manager in cloudsim, by botocore and by Debian's aws command."""

import unittest
from datetime import datetime, timedelta, timezone

import testing
from test_aws_cli import AWS, AwsCommand

CERTIFICATES = [
    {"name": "portal.example.com", "days": 90, "in_use_by": ["arn:aws:elasticloadbalancing:x"]},
    {"name": "old.example.com", "days": -1},
    {"name": "new.example.com", "status": "PENDING_VALIDATION"},
    {"name": "bad.example.com", "status": "REVOKED", "reason": "KEY_COMPROMISE", "type": "IMPORTED"},
]


class Certificates(testing.SimTest, AwsCommand):
    content = testing.scenario(certificates=CERTIFICATES)

    def arn(self, name):
        return self.sim.control("GET", "state")["certificates"][name]["arn"]

    def describe(self, name, **settings):
        client = self.sim.client("acm", **settings)
        return client.describe_certificate(CertificateArn=self.arn(name))["Certificate"]

    def test_described(self):
        found = self.describe("portal.example.com")
        self.assertEqual((found["Status"], found["Type"], found["DomainName"]),
                         ("ISSUED", "AMAZON_ISSUED", "portal.example.com"))
        left = found["NotAfter"] - datetime.now(timezone.utc)
        self.assertAlmostEqual(left / timedelta(days=1), 90, delta=0.01)
        self.assertEqual(self.describe("old.example.com")["Status"], "EXPIRED")
        self.assertNotIn("NotAfter", self.describe("new.example.com"))
        revoked = self.describe("bad.example.com")
        self.assertEqual((revoked["Status"], revoked["RevocationReason"]), ("REVOKED", "KEY_COMPROMISE"))
        self.assertIn("ImportedAt", revoked)

    def test_listed_page_by_page(self):
        names = []
        pages = self.sim.client("acm").get_paginator("list_certificates").paginate(
            PaginationConfig={"PageSize": 3})
        for page in pages:
            names += [c["DomainName"] for c in page["CertificateSummaryList"]]
        self.assertEqual(names, [c["name"] for c in CERTIFICATES])
        found = self.sim.client("acm").list_certificates(CertificateStatuses=["EXPIRED"])
        self.assertEqual([c["DomainName"] for c in found["CertificateSummaryList"]], ["old.example.com"])
        self.refused("ValidationException", self.sim.client("acm").list_certificates, NextToken="x")

    def test_refused(self):
        client = self.sim.client("acm", parameter_validation=False)
        arn = self.arn("portal.example.com")
        for wrong in ("arn:aws:iam::123456789012:role/x-y", "portal.example.com.at.length", "short"):
            message, status = self.refused("ValidationException", client.describe_certificate,
                                           CertificateArn=wrong)
            self.assertIn("certificateArn", message)
            self.assertEqual(status, 400)
        self.refused("ResourceNotFoundException", client.describe_certificate, CertificateArn=arn[:-1])
        self.refused("ResourceNotFoundException", client.describe_certificate,
                     CertificateArn=arn.replace("us-east-1", "eu-west-1"))
        self.sim.control("POST", "faults", {"kind": "throttle", "service": "acm", "count": 1})
        self.refused("ThrottlingException", client.describe_certificate, CertificateArn=arn)
        self.sim.control("POST", "iam", {"policy": {"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "acm:DescribeCertificate", "Resource": arn}}})
        self.assertEqual(self.describe("portal.example.com")["Status"], "ISSUED")
        self.refused("AccessDeniedException", client.describe_certificate,
                     CertificateArn=self.arn("old.example.com"))

    def test_changed_from_outside(self):
        self.sim.control("POST", "certificate", {"certificate": "new.example.com", "status": "ISSUED",
                                                 "days": 3})
        left = self.describe("new.example.com")["NotAfter"] - datetime.now(timezone.utc)
        self.assertAlmostEqual(left / timedelta(days=1), 3, delta=0.01)
        self.sim.control("POST", "certificate", {"certificate": "new.example.com",
                                                 "status": "PENDING_VALIDATION"})

    @unittest.skipUnless(AWS, "needs Debian's awscli")
    def test_aws_command(self):
        arn = self.arn("portal.example.com")
        found = self.answer("acm", "describe-certificate", "--certificate-arn", arn)["Certificate"]
        self.assertEqual((found["CertificateArn"], found["Status"]), (arn, "ISSUED"))
        self.assertEqual(len(self.answer("acm", "list-certificates")["CertificateSummaryList"]), 4)
        code, _, errors = self.aws("acm", "describe-certificate", "--certificate-arn", arn + "0")
        self.assertEqual(code, 254)
        self.assertIn("(ResourceNotFoundException)", errors)


if __name__ == "__main__":
    unittest.main()
