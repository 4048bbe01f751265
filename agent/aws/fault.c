/* Reading AWS's errors: <ErrorResponse> of query, <Response><Errors> of EC2, __type of JSON. */
#include "aws/fault.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "base/xml.h"

#define MAX_ERROR_BYTES (256 * 1024)

static void set(char *out, size_t size, const char *s)
{
    snprintf(out, size, "%s", s);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = ' ';
}

/* "com.amazonaws.acm#LimitExceededException:http://..." -> "LimitExceededException" */
static void set_type(struct aws_fault *f, const char *type)
{
    const char *start = type, *colon = strchr(type, ':');
    size_t len = colon ? (size_t)(colon - type) : strlen(type);
    const char *hash = memchr(type, '#', len);

    if (hash)
        start = hash + 1;
    len -= (size_t)(start - type);
    while (len && isspace((unsigned char)start[len - 1]))
        len--;
    snprintf(f->code, sizeof f->code, "%.*s", (int)len, start);
    f->known = f->code[0] != '\0';
}

static void read_xml(struct aws_fault *f, const char *body, size_t len)
{
    struct xml *root = xml_parse(body, len, MAX_ERROR_BYTES, NULL);
    const struct xml *error = NULL;
    const char *id;

    if (!root)
        return;
    if (strcmp(xml_name(root), "ErrorResponse") == 0)
        error = xml_child(root, "Error");
    else if (strcmp(xml_name(root), "Response") == 0)
        error = xml_path(root, "Errors/Error");
    if (error && *xml_path_text(error, "Code", "")) {
        f->known = true;
        set(f->code, sizeof f->code, xml_path_text(error, "Code", ""));
        set(f->message, sizeof f->message, xml_path_text(error, "Message", ""));
        id = xml_path_text(root, "RequestId", xml_path_text(root, "RequestID", ""));
        if (*id)
            set(f->request_id, sizeof f->request_id, id);
    }
    xml_free(root);
}

static void read_json(struct aws_fault *f, const char *error_type, const char *body, size_t len)
{
    struct json *j = json_parse(body, len, MAX_ERROR_BYTES, NULL);
    const char *types[] = {json_get_str(j, "__type", NULL), json_get_str(j, "code", NULL),
                           error_type};

    for (size_t i = 0; i < sizeof types / sizeof *types && !f->known; i++)
        if (types[i])
            set_type(f, types[i]);
    if (f->known)
        set(f->message, sizeof f->message,
            json_get_str(j, "message",
                         json_get_str(j, "Message", json_get_str(j, "errorMessage", ""))));
    json_free(j);
}

void aws_fault_read(struct aws_fault *f, enum aws_protocol protocol, const char *error_type,
                    const char *request_id, const char *body, size_t len)
{
    memset(f, 0, sizeof *f);
    if (request_id)
        set(f->request_id, sizeof f->request_id, request_id);
    if (protocol == AWS_JSON)
        read_json(f, error_type, body ? body : "", body ? len : 0);
    else if (body && len)
        read_xml(f, body, len);
    if (!f->known) {
        size_t start = body && len ? strspn(body, " \t\r\n") : 0;
        char text[96] = "an empty body";
        if (body && start < len)
            snprintf(text, sizeof text, "a body that is no AWS error, starting \"%.40s\"",
                     body + start);
        set(f->message, sizeof f->message, text);
    }
}
