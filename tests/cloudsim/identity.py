"""Who may sign: long-term keys, roles, and the temporary credentials that STS and IMDS hand out."""

import secrets

from errors import ApiError


class Identity:
    """One set of credentials. `expires` is in the server's claimed time; None: never."""

    def __init__(self, access_key, secret, arn, user_id, token=None, expires=None):
        self.access_key = access_key
        self.secret = secret
        self.arn = arn
        self.user_id = user_id
        self.token = token
        self.expires = expires

    def role_arn(self):
        """The role behind an assumed-role session, or the user's own ARN."""
        parts = self.arn.split(":")
        if parts[2] != "sts":
            return self.arn
        return f"arn:aws:iam::{parts[4]}:role/{parts[5].split('/')[1]}"


def _invalid():
    message = "The security token included in the request is invalid."
    return ApiError("InvalidClientTokenId", message, 403, "UnrecognizedClientException")


class Identities:
    def __init__(self, account, users, clock):
        self.account = account
        self._clock = clock
        self._keys = {}
        self.revoked = set()
        for user in users:
            arn = user.get("arn", f"arn:aws:iam::{account}:user/{user.get('name', 'runbookd')}")
            self.add(Identity(user["access_key"], user["secret_key"], arn,
                              user.get("user_id", "AIDACLOUDSIMEXAMPLE01")))

    def add(self, identity):
        self._keys[identity.access_key] = identity
        return identity

    def all(self):
        return list(self._keys.values())

    def remove(self, access_key):
        return self._keys.pop(access_key, None) is not None

    def expire(self, access_key=None, at=None):
        """Temporary credentials (one, or all) expire `at` a claimed time, or now. Says how many."""
        count = 0
        for identity in self._keys.values():
            if identity.expires is not None and access_key in (None, identity.access_key):
                identity.expires = self._clock.now() if at is None else at
                count += 1
        return count

    def issue(self, role_arn, session, seconds):
        """New temporary credentials for a session of a role."""
        name = role_arn.rsplit("/", 1)[-1]
        account = role_arn.split(":")[4]
        return self.add(Identity(
            "ASIA" + secrets.token_hex(8).upper(), secrets.token_urlsafe(30),
            f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
            f"AROACLOUDSIM{sum(map(ord, name)):08d}:{session}",
            token="FwoGZXIvYXdzE" + secrets.token_urlsafe(120),
            expires=self._clock.now() + seconds,
        ))

    def find(self, access_key, token):
        """The identity of a key and the session token sent with it; raises what AWS answers."""
        identity = self._keys.get(access_key)
        if identity is None or identity.token != token:
            raise _invalid()
        if identity.expires is not None and self._clock.now() >= identity.expires:
            raise ApiError("ExpiredToken", "The security token included in the request is expired",
                           403, "ExpiredTokenException")
        return identity
