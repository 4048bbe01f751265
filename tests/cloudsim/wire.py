"""AWS's wire protocols (query, ec2, JSON 1.0 and 1.1), driven by botocore's service models.

A request becomes (operation, params) with params typed as the model says; a result becomes the
answer's body. Nothing here knows any service by name.
"""

import base64
import datetime
import json
import re
from xml.sax.saxutils import escape

from botocore.utils import parse_timestamp

from errors import ApiError

_INTEGER = re.compile(r"[+-]?\d{1,19}\Z")
_FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\Z")
_XML_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def malformed(message):
    """What the query services answer to a value that is not of its type (Period=30.0)."""
    return ApiError("MalformedInput", message, json_code="SerializationException")


# --- from the wire -------------------------------------------------------------------------------


def parse_query(pairs, shape, dialect="query"):
    """Turns form fields [(name, value)] into the typed params of `shape`.

    A field that the model does not know is refused. AWS ignores most of those; a stand-in that
    does so would hide a misspelt parameter.
    """
    tree = {}
    for name, value in pairs:
        if name in ("Action", "Version"):
            continue
        node = tree
        parts = name.split(".")
        for part in parts[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise malformed(f"{name} is both a value and a structure")
        if parts[-1] in node:
            raise malformed(f"{name} is given twice")
        node[parts[-1]] = value
    if shape is None:
        if tree:
            raise malformed(f"Unexpected parameter {sorted(tree)[0]}")
        return {}
    return _query_structure(tree, shape, "", dialect)


def _query_name(name, shape, dialect):
    if dialect == "ec2":
        if "queryName" in shape.serialization:
            return shape.serialization["queryName"]
        given = shape.serialization.get("name", name)
        return given[0].upper() + given[1:]
    return shape.serialization.get("name", name)


def _query_structure(tree, shape, path, dialect):
    if not isinstance(tree, dict):
        raise malformed(f"{path} must be a structure")
    left = dict(tree)
    params = {}
    for name, member in shape.members.items():
        key = _query_name(name, member, dialect)
        flattened = member.type_name == "list" and member.serialization.get("flattened")
        if flattened and dialect == "query":
            key = member.member.serialization.get("name", key)
        if key in left:
            params[name] = _query_value(left.pop(key), member, f"{path}{key}", dialect)
    if left:
        raise malformed(f"Unexpected parameter {path}{sorted(left)[0]}")
    return params


def _query_value(node, shape, path, dialect):
    kind = shape.type_name
    if kind == "structure":
        return _query_structure(node, shape, path + ".", dialect)
    if kind == "list":
        return _query_list(node, shape, path, dialect)
    if kind == "map":
        return _query_map(node, shape, path, dialect)
    if isinstance(node, dict):
        raise malformed(f"{path} must be a single value")
    return scalar_from_text(node, shape, path)


def _numbered(node, path):
    try:
        items = sorted((int(key), value) for key, value in node.items())
    except ValueError:
        raise malformed(f"{path} must be numbered from 1") from None
    if [number for number, _ in items] != list(range(1, len(items) + 1)):
        raise malformed(f"{path} must be numbered from 1 without gaps")
    return [value for _, value in items]


def _query_list(node, shape, path, dialect):
    if node == "":  # an empty list is sent as "Name="
        return []
    if not isinstance(node, dict):
        raise malformed(f"Top level element may not be treated as a list: {path}")
    if dialect == "query" and not shape.serialization.get("flattened"):
        name = shape.member.serialization.get("name", "member")
        if set(node) != {name} or not isinstance(node[name], dict):
            raise malformed(f"{path} must be given as {path}.{name}.N")
        node = node[name]
        path = f"{path}.{name}"
    return [
        _query_value(item, shape.member, f"{path}.{number}", dialect)
        for number, item in enumerate(_numbered(node, path), 1)
    ]


def _query_map(node, shape, path, dialect):
    if node == "":
        return {}
    if not shape.serialization.get("flattened"):
        node = node.get("entry", {})
    key_name = shape.key.serialization.get("name", "key")
    value_name = shape.value.serialization.get("name", "value")
    result = {}
    for item in _numbered(node, path):
        if not isinstance(item, dict) or set(item) != {key_name, value_name}:
            raise malformed(f"{path} must hold entries of {key_name} and {value_name}")
        key = _query_value(item[key_name], shape.key, path, dialect)
        result[key] = _query_value(item[value_name], shape.value, path, dialect)
    return result


def scalar_from_text(text, shape, path):
    kind = shape.type_name
    if kind in ("integer", "long"):
        if not _INTEGER.match(text):
            raise malformed(f"{path} must be an integer, not '{text}'")
        return int(text)
    if kind in ("float", "double"):
        if not _FLOAT.match(text):
            raise malformed(f"{path} must be a number, not '{text}'")
        return float(text)
    if kind == "boolean":
        if text not in ("true", "false"):
            raise malformed(f"{path} must be true or false, not '{text}'")
        return text == "true"
    if kind == "timestamp":
        return _timestamp(text, path)
    if kind == "blob":
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            raise malformed(f"{path} must be base64") from None
    return text


def _timestamp(value, path):
    try:
        when = parse_timestamp(value)
    except (ValueError, OverflowError):
        raise malformed(f"{path} must be a timestamp, not '{value}'") from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.timezone.utc)
    return when.timestamp()


def parse_json(body, shape):
    """Turns a JSON body into the typed params of `shape`; timestamps are epoch seconds."""
    try:
        value = json.loads(body.decode("utf-8") or "{}", parse_constant=_no_constant)
    except (ValueError, RecursionError) as problem:
        raise malformed(f"the body is not JSON: {problem}") from None
    if shape is None:
        return {}
    return _json_value(value, shape, "")


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


_JSON_TYPES = {
    "string": str, "character": str, "boolean": bool, "integer": int, "long": int,
    "structure": dict, "map": dict, "list": list, "blob": str,
}


def _json_value(value, shape, path):
    kind = shape.type_name
    wanted = _JSON_TYPES.get(kind, (int, float))
    if kind == "timestamp":
        wanted = (int, float, str)
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind != "boolean"):
        raise malformed(f"{path or 'the body'} must be of type {kind}")
    if kind == "structure":
        params = {}
        names = {m.serialization.get("name", n): n for n, m in shape.members.items()}
        for key, item in value.items():
            if key not in names:
                raise malformed(f"Unexpected member {path}{key}")
            if item is not None:
                member = shape.members[names[key]]
                params[names[key]] = _json_value(item, member, f"{path}{key}.")
        return params
    if kind == "list":
        return [_json_value(item, shape.member, f"{path}{n}.") for n, item in enumerate(value, 1)]
    if kind == "map":
        return {key: _json_value(item, shape.value, f"{path}{key}.") for key, item in value.items()}
    if kind == "timestamp":
        return _timestamp(value, path) if isinstance(value, str) else float(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "blob":
        return base64.b64decode(value)
    return value


# --- to the wire ---------------------------------------------------------------------------------


def iso8601(epoch):
    when = datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def xml_text(value):
    return escape(_XML_FORBIDDEN.sub("\ufffd", value))


def xml_result(operation, result, request_id, dialect="query"):
    """The body of a successful answer in XML."""
    namespace = operation.service_model.metadata.get("xmlNamespace", "")
    shape = operation.output_shape
    inner = "".join(_xml_members(result, shape)) if shape is not None else ""
    name = operation.name + "Response"
    if dialect == "ec2":
        return (f'<{name} xmlns="{namespace}"><requestId>{request_id}</requestId>{inner}</{name}>')
    wrapper = shape.serialization.get("resultWrapper") if shape is not None else None
    if wrapper:
        inner = f"<{wrapper}>{inner}</{wrapper}>"
    meta = f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
    return f'<{name} xmlns="{namespace}">{inner}{meta}</{name}>'


def _xml_members(value, shape):
    unknown = set(value) - set(shape.members)
    assert not unknown, f"{shape.name} has no member {sorted(unknown)}"
    for name, member in shape.members.items():
        if value.get(name) is not None:
            yield _xml_value(value[name], member, member.serialization.get("name", name))


def _xml_value(value, shape, name):
    kind = shape.type_name
    if kind == "structure":
        return f"<{name}>{''.join(_xml_members(value, shape))}</{name}>"
    if kind == "list":
        item_name = shape.member.serialization.get("name", "member")
        if shape.serialization.get("flattened"):
            item_name = shape.member.serialization.get("name", name)
        items = "".join(_xml_value(item, shape.member, item_name) for item in value)
        return items if shape.serialization.get("flattened") else f"<{name}>{items}</{name}>"
    if kind == "map":
        key_name = shape.key.serialization.get("name", "key")
        value_name = shape.value.serialization.get("name", "value")
        entries = "".join(
            "<entry>" + _xml_value(k, shape.key, key_name) + _xml_value(v, shape.value, value_name)
            + "</entry>"
            for k, v in value.items()
        )
        return f"<{name}>{entries}</{name}>"
    return f"<{name}>{xml_text(_scalar_text(value, kind))}</{name}>"


def _scalar_text(value, kind):
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "timestamp":
        return iso8601(value)
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind in ("float", "double"):
        return repr(float(value))
    return str(value)


def json_result(operation, result):
    shape = operation.output_shape
    return json.dumps(_to_json(result, shape)) if shape is not None else "{}"


def _to_json(value, shape):
    kind = shape.type_name
    if kind == "structure":
        unknown = set(value) - set(shape.members)
        assert not unknown, f"{shape.name} has no member {sorted(unknown)}"
        return {
            shape.members[n].serialization.get("name", n): _to_json(v, shape.members[n])
            for n, v in value.items() if v is not None
        }
    if kind == "list":
        return [_to_json(item, shape.member) for item in value]
    if kind == "map":
        return {key: _to_json(item, shape.value) for key, item in value.items()}
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind == "timestamp":
        return round(value, 3)
    return value


def xml_error(error, request_id, namespace, dialect="query"):
    code, message = xml_text(error.code), xml_text(error.message)
    if dialect == "ec2":
        return (f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>"
                f"</Errors><RequestID>{request_id}</RequestID></Response>")
    kind = "Sender" if error.status < 500 else "Receiver"
    return (f'<ErrorResponse xmlns="{namespace}"><Error><Type>{kind}</Type><Code>{code}</Code>'
            f"<Message>{message}</Message></Error><RequestId>{request_id}</RequestId>"
            "</ErrorResponse>")


def json_error(error, shape_namespace):
    return json.dumps({"__type": f"{shape_namespace}#{error.json_code}", "message": error.message})
