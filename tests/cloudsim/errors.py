"""The one exception by which anything in cloudsim refuses a request, the way AWS would."""


class ApiError(Exception):
    """A refusal: `code` as on the wire of the query protocol, `status` the HTTP status.

    `json_code` is the name that JSON services use, where it differs.
    """

    def __init__(self, code, message, status=400, json_code=None):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.json_code = json_code or code


def validation(message):
    return ApiError("ValidationError", message, json_code="ValidationException")
