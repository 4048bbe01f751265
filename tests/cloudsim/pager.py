"""The pager's inbox: PagerDuty's Events API v2, which keeps all that it accepts."""

import json
import uuid

from errors import ApiError
from http_types import text

ALERTS, CHANGES = "/v2/enqueue", "/v2/change/enqueue"
MAX_EVENT_BYTES = 512 * 1024
MAX_SUMMARY = 1024
MAX_DEDUP_KEY = 255
ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")


class Pager:
    def __init__(self, app):
        self.app = app
        self.inbox = []
        self._seq = 0

    def identify(self, request):
        return "pager", "ChangeEnqueue" if request.route == CHANGES else "Enqueue"

    def throttle_code(self, request):
        return "TooManyRequests"

    def error(self, request, error):
        if error.status == 429:
            return text(429, json.dumps({"status": "throttle exceeded", "message": "Requests for "
                        "this service are arriving too quickly. Please retry later."}),
                        "application/json", verdict="TooManyRequests")
        return text(error.status, json.dumps({"status": "error", "message": error.message}),
                    "application/json", verdict=error.code)

    def serve(self, request, notes):
        change = request.route == CHANGES
        if request.method != "POST":
            return self.error(request, ApiError("MethodNotAllowed", "use POST", 405))
        try:
            event = json.loads(request.body.decode("utf-8"))
        except (ValueError, RecursionError):
            return _invalid(["the body is not JSON in UTF-8"])
        notes["params"] = event
        errors = self._errors(event, change)
        if len(request.body) > MAX_EVENT_BYTES:
            errors.append(f"the event is larger than {MAX_EVENT_BYTES} bytes")
        if errors:
            return _invalid(errors)
        if change:
            self._keep(event, "change", None, request)
            return _accepted("Change event processed", {})
        key = event.get("dedup_key") or uuid.uuid4().hex
        self._keep(event, event["event_action"], key, request)
        return _accepted("Event processed", {"dedup_key": key})

    def _keep(self, event, action, key, request):
        self._seq += 1
        now = self.app.clock.now()
        self.inbox.append({"seq": self._seq, "time": now, "action": action, "dedup_key": key,
                           "event": event})
        self.app.journal.effect("pager", self.identify(request)[1], now, dedup_key=key,
                                event_action=action)

    def _errors(self, event, change):
        if not isinstance(event, dict):
            return ["the event is not an object"]
        errors = []
        key = event.get("routing_key")
        known = self.app.scenario["pager"]["routing_keys"]
        if not isinstance(key, str) or not key:
            errors.append("'routing_key' is missing or blank")
        elif len(key) != 32:
            errors.append("Length of 'routing_key' is incorrect (should be 32 characters)")
        elif known and key not in known:
            errors.append("'routing_key' is invalid")
        payload = event.get("payload")
        if change:
            return errors + _payload_errors(payload, ("summary",))
        action = event.get("event_action")
        if action is None:
            errors.append("'event_action' is missing or blank")
        elif action not in ACTIONS:
            errors.append(f"'event_action' must be one of {', '.join(ACTIONS)}")
        dedup_key = event.get("dedup_key")
        if dedup_key is not None and not isinstance(dedup_key, str):
            errors.append("'dedup_key' is not a string")
        elif dedup_key and len(dedup_key) > MAX_DEDUP_KEY:
            errors.append(f"'dedup_key' is longer than {MAX_DEDUP_KEY} characters")
        if action in ("acknowledge", "resolve") and not dedup_key:
            errors.append(f"'dedup_key' is missing or blank: it is required to {action}")
        if action == "trigger" or payload is not None:
            errors += _payload_errors(payload, ("summary", "source", "severity"))
        return errors


def _payload_errors(payload, required):
    if not isinstance(payload, dict):
        return ["'payload' is missing or blank"]
    errors = [f"'payload.{name}' is missing or blank" for name in required if not payload.get(name)]
    summary = payload.get("summary")
    if summary and not isinstance(summary, str):
        errors.append("'payload.summary' is not a string")
    elif summary and len(summary) > MAX_SUMMARY:
        errors.append(f"'payload.summary' is longer than {MAX_SUMMARY} characters")
    severity = payload.get("severity")
    if severity and severity not in SEVERITIES:
        errors.append(f"'payload.severity' is invalid (must be one of {', '.join(SEVERITIES)})")
    details = payload.get("custom_details")
    if details is not None and not isinstance(details, (dict, str)):
        errors.append("'payload.custom_details' is not an object")
    return errors


def _invalid(errors):
    return text(400, json.dumps({"status": "invalid event", "message": "Event object is invalid",
                                 "errors": errors}), "application/json", verdict="invalid event")


def _accepted(message, more):
    return text(202, json.dumps({"status": "success", "message": message, **more}),
                "application/json")
