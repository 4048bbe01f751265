"""Says whether botocore would make the token on stdin, byte for byte, at the time that it names.

usage: rds_token.py HOST PORT USER REGION   (keys from the environment); exit 0: the same
"""
import datetime
import re
import sys
from unittest import mock

import botocore.auth
import botocore.session

host, port, user, region = sys.argv[1:]
token = sys.stdin.read()
told = datetime.datetime.strptime(re.search(r"X-Amz-Date=(\w+)", token).group(1), "%Y%m%dT%H%M%SZ")


class Clock(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return told


client = botocore.session.Session().create_client("rds", region_name=region)
with mock.patch.object(botocore.auth.datetime, "datetime", Clock):
    want = client.generate_db_auth_token(host, int(port), user, region)
age = abs((datetime.datetime.utcnow() - told).total_seconds())
sys.exit(0 if token == want and age < 900 else 1)
