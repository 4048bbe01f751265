"""The pager's inbox: what PagerDuty accepts, what it rejects, and scripted answers."""

import http.client
import json
import unittest

import testing

KEY = "0123456789abcdef0123456789abcdef"


def trigger(**changes):
    event = {"routing_key": KEY, "event_action": "trigger", "dedup_key": "episode-1",
             "payload": {"summary": "CPU 71 % on web", "source": "runbookd", "severity": "error"}}
    event.update(changes)
    return event


def payload(**changes):
    full = {**trigger()["payload"], **changes}
    return trigger(payload={k: v for k, v in full.items() if v is not None})


class Pager(testing.SimTest):
    def post(self, event, path="/v2/enqueue"):
        body = event if isinstance(event, (str, bytes)) else json.dumps(event)
        status, headers, answer = self.sim.http("POST", path, body,
                                                {"Content-Type": "application/json"})
        return status, json.loads(answer) if answer else None, headers

    def inbox(self):
        return [(e["action"], e["dedup_key"]) for e in self.sim.control("GET", "pager")]

    def test_a_life(self):
        self.assertEqual(self.post(trigger())[:2], (202, {
            "status": "success", "message": "Event processed", "dedup_key": "episode-1"}))
        for action in ("acknowledge", "resolve"):
            event = {"routing_key": KEY, "event_action": action, "dedup_key": "episode-1"}
            self.assertEqual(self.post(event)[0], 202)
        change = {"routing_key": KEY, "payload": {"summary": "scaled 3 -> 5"}}
        self.assertEqual(self.post(change, "/v2/change/enqueue")[0], 202)
        self.assertEqual(self.inbox(), [("trigger", "episode-1"), ("acknowledge", "episode-1"),
                                        ("resolve", "episode-1"), ("change", None)])
        first = self.sim.control("GET", "pager")[0]
        self.assertEqual(first["event"], trigger())
        self.assertEqual(len(self.sim.control("GET", f"pager?since={first['seq']}")), 3)

    def test_a_key_is_made_when_none_is_given(self):
        event = trigger()
        del event["dedup_key"]
        key = self.post(event)[1]["dedup_key"]
        self.assertEqual(len(key), 32)
        self.assertEqual(self.inbox(), [("trigger", key)])

    def test_rejections(self):
        long_key = "k" * 256
        for event, words in (
            (trigger(routing_key=None), "'routing_key' is missing"),
            (trigger(routing_key="short"), "Length of 'routing_key' is incorrect"),
            (trigger(event_action=None), "'event_action' is missing"),
            (trigger(event_action="fix"), "'event_action' must be one of"),
            (trigger(payload=None), "'payload' is missing"),
            (payload(summary=None), "'payload.summary' is missing"),
            (payload(source=None), "'payload.source' is missing"),
            (payload(severity=None), "'payload.severity' is missing"),
            (payload(severity="fatal"), "'payload.severity' is invalid"),
            (payload(summary="s" * 1025), "longer than 1024"),
            (trigger(dedup_key=long_key), "longer than 255"),
            ({"routing_key": KEY, "event_action": "resolve"}, "'dedup_key' is missing"),
            (payload(custom_details={"x": "y" * 512 * 1024}), "larger than 524288 bytes"),
            ("{", "not JSON"), (b'{"a": "\xff"}', "not JSON"), ("[]", "not an object"),
            ("[" * 100000, "not JSON"),
        ):
            status, answer, _ = self.post(event)
            self.assertEqual((status, answer["status"]), (400, "invalid event"), words)
            self.assertIn(words, " ".join(answer["errors"]))
        self.assertEqual(self.post({"routing_key": KEY}, "/v2/change/enqueue")[0], 400)
        self.assertEqual(self.inbox(), [])
        self.assertEqual(self.post(payload(summary="s" * 1024))[0], 202)

    def test_scripted_answers(self):
        self.sim.control("POST", "pager/answers", [
            {"status": 429, "headers": {"Retry-After": 7}, "count": 2}, {"status": 503},
            {"kind": "drop"}, {"kind": "reset"}])
        for _ in range(2):
            status, _, headers = self.post(trigger())
            self.assertEqual((status, headers["Retry-After"]), (429, "7"))
        self.assertEqual(self.post(trigger())[0], 503)
        self.assertEqual(self.inbox(), [])
        with self.assertRaises((http.client.RemoteDisconnected, ConnectionError)):
            self.post(trigger())
        self.assertEqual(self.inbox(), [("trigger", "episode-1")])  # taken, answer lost
        with self.assertRaises(ConnectionError):
            self.post(trigger())
        self.assertEqual(len(self.inbox()), 1)
        self.assertEqual(self.post(trigger())[0], 202)


class KnownKeys(testing.SimTest):
    content = testing.scenario(pager={"routing_keys": [KEY]})

    def test_unknown_routing_key(self):
        for key, status in ((KEY, 202), (KEY[::-1], 400)):
            self.assertEqual(self.sim.http("POST", "/v2/enqueue", json.dumps(
                trigger(routing_key=key)))[0], status)


if __name__ == "__main__":
    unittest.main()
