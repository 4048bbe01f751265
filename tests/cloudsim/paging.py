"""Pages of a list behind opaque tokens that are good only for the question that they came from."""

import base64
import hashlib
import json


class BadToken(Exception):
    pass


def _digest(question):
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:16]


def make_token(question, position):
    raw = json.dumps([_digest(question), position]).encode()
    return base64.b64encode(raw).decode()


def read_token(question, token):
    """The position in `token`; raises BadToken when it was not made for `question`."""
    try:
        digest, position = json.loads(base64.b64decode(token, validate=True))
    except (ValueError, TypeError):
        raise BadToken() from None
    if digest != _digest(question) or not isinstance(position, int):
        raise BadToken()
    return position


def page(items, question, token, limit):
    """(items of this page, token of the next or None)."""
    begin = read_token(question, token) if token else 0
    end = begin + limit
    return items[begin:end], make_token(question, end) if end < len(items) else None
