"""Faults on demand: which requests they hit, and what becomes of the answer.

A fault stands for a service and an action ("*" for any), fires for the next `count` matches after
`skip` of them, or with `probability`. With when = "before" the call is not carried out, and the
answer that gets mangled is a 500; with "after" it is carried out and its own answer is mangled.
"""

import itertools
import random
from dataclasses import dataclass, field
from typing import Optional

from errors import ApiError
from http_types import Answer


def _throttle(fault, answer, front, request):
    code = fault.code or front.throttle_code(request)
    status = fault.status or (429 if code == "TooManyRequests" else 400)
    return front.error(request, ApiError(code, fault.message or "Rate exceeded", status))


def _error(fault, answer, front, request):
    code = fault.code or "InternalFailure"
    return front.error(request, ApiError(code, fault.message or f"{code}, as asked for.",
                                         fault.status or 400))


def _internal_error(fault, answer, front, request):
    message = "The request processing has failed because of an unknown error, exception or failure."
    return front.error(request, ApiError(fault.code or "InternalFailure", message, 500))


def _unavailable(fault, answer, front, request):
    message = "The request has failed due to a temporary failure of the server."
    return front.error(request, ApiError(fault.code or "ServiceUnavailable", message, 503))


def _html(fault, answer, front, request):
    body = b"<html><head><title>Sorry</title></head><body><h1>Bad Gateway</h1><br></body></html>"
    return Answer(fault.status or 500, body, "text/html", verdict="html")


def _answer(fault, answer, front, request):
    return Answer(fault.status or 200, fault.body.encode("utf-8", "surrogateescape"),
                  fault.value or answer.content_type, verdict="answer")


def _truncated(fault, answer, front, request):
    """The Content-Length is that of the shortened body: only a parser can tell."""
    answer.body = answer.body[: fault.size if fault.size is not None else len(answer.body) // 2]
    return answer


def _cut_off(fault, answer, front, request):
    """The connection ends in the middle of the announced body."""
    answer.delivery = {"kind": "cut_off"}
    return answer


def _oversized(fault, answer, front, request):
    size = fault.size if fault.size is not None else 64 * 1024 * 1024
    answer.delivery = {"kind": "oversized", "size": size}
    return answer


def _content_type(fault, answer, front, request):
    answer.content_type = fault.value or "application/octet-stream"
    return answer


def _invalid_utf8(fault, answer, front, request):
    """Bytes that are no UTF-8, in the text of the first element or string that has any."""
    for mark in (b"Id>", b": \""):
        if mark in answer.body:
            answer.body = answer.body.replace(mark, mark + b"\xc3\x28\xff\xfe", 1)
            return answer
    answer.body += b"\xc3\x28\xff\xfe"
    return answer


def _deep(fault, answer, front, request):
    depth = fault.size if fault.size is not None else 100000
    if "json" in answer.content_type:
        answer.body = b"[" * depth + b"]" * depth
    else:
        answer.body = b"<a>" * depth + b"</a>" * depth
    return answer


def _dtd(fault, answer, front, request):
    head = b'<?xml version="1.0"?><!DOCTYPE r SYSTEM "file:///etc/passwd">'
    answer.body = head + answer.body
    return answer


def _entity_bomb(fault, answer, front, request):
    levels = b"".join(
        b'<!ENTITY e%d "%s">' % (n, b"&e%d;" % (n - 1) * 10) for n in range(1, 10)
    )
    answer.body = (b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY e0 "ha">' + levels
                   + b"]><r>&e9;</r>")
    return answer


def _deliver(fault, answer, front, request):
    answer.delivery = {"kind": fault.kind, "seconds": fault.seconds}
    return answer


# kind: (what it does, the default of "when")
KINDS = {
    "throttle": (_throttle, "before"),
    "error": (_error, "before"),
    "internal_error": (_internal_error, "before"),
    "unavailable": (_unavailable, "before"),
    "html": (_html, "before"),
    "answer": (_answer, "before"),
    "truncated": (_truncated, "after"),
    "cut_off": (_cut_off, "after"),
    "oversized": (_oversized, "after"),
    "content_type": (_content_type, "after"),
    "invalid_utf8": (_invalid_utf8, "after"),
    "deep": (_deep, "after"),
    "dtd": (_dtd, "after"),
    "entity_bomb": (_entity_bomb, "after"),
    "reset": (_deliver, "before"),  # TCP RST instead of an answer
    "drop": (_deliver, "after"),  # closed without an answer
    "hang": (_deliver, "before"),  # nothing for `seconds`, then closed
    "delay": (_deliver, "before"),  # the call itself, `seconds` later (or only its answer: after)
    "drip": (_deliver, "after"),  # the answer byte by byte, over `seconds`
}


@dataclass
class Fault:
    kind: str
    service: str = "*"
    action: str = "*"
    when: Optional[str] = None
    count: Optional[int] = None
    skip: int = 0
    probability: float = 1.0
    code: Optional[str] = None
    message: Optional[str] = None
    status: Optional[int] = None
    headers: dict = field(default_factory=dict)
    body: str = ""
    value: Optional[str] = None
    size: Optional[int] = None
    seconds: float = 30.0
    id: int = 0
    fired: int = 0

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault '{self.kind}'; there are: {', '.join(KINDS)}")
        if self.when is None:
            self.when = KINDS[self.kind][1]
        if self.when not in ("before", "after"):
            raise ValueError("when must be before or after")

    def carries_out(self):
        """Whether the call happens. A delayed call happens, late."""
        return self.when == "after" or self.kind == "delay"

    def mangle(self, answer, front, request):
        mangled = KINDS[self.kind][0](self, answer, front, request)
        mangled.headers.update(self.headers)
        return mangled


class Faults:
    def __init__(self, seed=1):
        self._standing = []
        self._ids = itertools.count(1)
        self._random = random.Random(seed)

    def add(self, **options):
        fault = Fault(**options)
        fault.id = next(self._ids)
        self._standing.append(fault)
        return fault

    def clear(self, fault_id=None):
        self._standing = [f for f in self._standing if fault_id not in (None, f.id)]

    def all(self):
        return list(self._standing)

    def take(self, service, action):
        """The fault that this request meets, or None. It counts as fired."""
        for fault in self._standing:
            if fault.service not in ("*", service) or fault.action not in ("*", action):
                continue
            if fault.count is not None and fault.count <= 0:
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            if self._random.random() >= fault.probability:
                continue
            if fault.count is not None:
                fault.count -= 1
            fault.fired += 1
            return fault
        return None
