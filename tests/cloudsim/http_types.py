"""What travels between the HTTP server and those who answer."""

from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import parse_qsl, urlsplit


@dataclass
class Request:
    method: str
    path: str  # as sent, with the query
    headers: object  # email.message.Message: case-blind, repeated headers kept
    body: bytes
    connection: int = 0  # which connection it came on, counted from 1
    reuse: int = 0  # how many requests that connection had carried before

    @property
    def route(self):
        return urlsplit(self.path).path

    @property
    def query(self):
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))


@dataclass
class Answer:
    status: int
    body: bytes = b""
    content_type: str = "text/xml"
    headers: dict = field(default_factory=dict)
    delivery: Optional[dict] = None  # how to mishandle it: see faults.py
    verdict: str = "ok"  # for the journal: "ok" or the error code


def text(status, body, content_type="text/plain", **more):
    return Answer(status, body.encode(), content_type, **more)
