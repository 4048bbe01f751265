"""Puts the parts together and takes each request through them, under one lock."""

import threading
import time

import imds
import pager
from aws import AwsFront
from clock import Clock
from control import Control
from errors import ApiError
from faults import Faults
from http_types import text
from iam import Enforcer
from identity import Identities
from journal import Journal
from model import Estate


class App:
    def __init__(self, scenario, clock=None):
        self.scenario = scenario
        self.clock = clock or Clock()
        self.lock = threading.RLock()
        self.estate = Estate(scenario, self.clock)
        self.identities = Identities(scenario["account"], scenario["users"], self.clock)
        self.iam = Enforcer()
        self.faults = Faults()
        self.journal = Journal()
        self.pager = pager.Pager(self)
        self.imds = imds.Imds(self)
        self.container = imds.Container(self)
        self.aws = AwsFront(self)
        self.control = Control(self)

    def tick(self):
        """Moves the estate; the server calls it a few times a second."""
        with self.lock:
            self.estate.advance()

    def _front(self, request):
        route = request.route
        if route in (pager.ALERTS, pager.CHANGES):
            return self.pager
        if route == self.scenario["container"]["path"]:
            return self.container
        if route.startswith("/latest/"):
            return self.imds
        return self.aws if route == "/" else None

    def handle(self, request):
        """The answer to a request. A delay "before" is slept here, outside the lock."""
        if request.route.startswith("/_sim"):
            with self.lock:
                self.estate.advance()
                return self.control.serve(request)
        front = self._front(request)
        if front is None:
            return text(404, "there is nothing here\n", verdict="404")
        service, action = front.identify(request)
        with self.lock:
            fault = self.faults.take(service, action)
        if fault and fault.kind == "delay" and fault.when == "before":
            time.sleep(fault.seconds)
        with self.lock:
            self.estate.advance()
            notes = {}
            if fault is None or fault.carries_out():
                answer = front.serve(request, notes)
            else:
                answer = front.error(request, ApiError("InternalFailure", "a fault, as asked for",
                                                       500))
            verdict = answer.verdict
            if fault is not None:
                answer = fault.mangle(answer, front, request)
                if not fault.carries_out():
                    verdict = fault.kind if answer.delivery else answer.verdict
                if fault.kind == "delay" and fault.when == "before":
                    answer.delivery = None
            self.journal.request(
                time=self.clock.now(), service=service, action=action, method=request.method,
                path=request.path, params=notes.get("params"),
                access_key=notes.get("access_key"), signer=notes.get("arn"),
                verdict=verdict, status=answer.status, fault=fault.kind if fault else None,
                when=fault.when if fault else None, connection=request.connection,
                reuse=request.reuse)
        return answer
