/* The form encoding of a query-protocol call. */
#include "aws/query.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "aws/sigv4.h"
#include "base/mem.h"
#include "base/units.h"

#define MAX_PARAMS 100000
#define MAX_NAME_BYTES 4096

struct param {
    char *name, *value;
};

struct aws_params {
    struct param *p;
    size_t n, cap;
};

struct aws_params *aws_params_new(void)
{
    return mem_alloc(sizeof(struct aws_params));
}

void aws_params_free(struct aws_params *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        mem_free(p->p[i].name);
        mem_free(p->p[i].value);
    }
    mem_free(p->p);
    mem_free(p);
}

static void add(struct aws_params *p, char *name, const char *value)
{
    if (p->n == MAX_PARAMS + 1) { /* one above the ceiling is kept as the mark of the overflow */
        mem_free(name);
        return;
    }
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 16;
        p->p = mem_realloc(p->p, p->cap * sizeof *p->p);
    }
    p->p[p->n++] = (struct param){name, mem_strdup(value)};
}

void aws_param(struct aws_params *p, const char *name, const char *value)
{
    if (value)
        add(p, mem_strdup(name), value);
}

void aws_paramf(struct aws_params *p, const char *value, const char *name_fmt, ...)
{
    struct buf name;
    va_list ap;

    if (!value)
        return;
    buf_init(&name, MAX_NAME_BYTES);
    va_start(ap, name_fmt);
    buf_addv(&name, name_fmt, ap);
    va_end(ap);
    add(p, buf_take(&name), value);
}

void aws_param_int(struct aws_params *p, const char *name, int64_t value)
{
    char s[24];
    snprintf(s, sizeof s, "%lld", (long long)value);
    aws_param(p, name, s);
}

void aws_param_num(struct aws_params *p, const char *name, double value)
{
    char s[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, value);
        if (strtod(s, NULL) == value)
            break;
    }
    aws_param(p, name, s);
}

void aws_param_bool(struct aws_params *p, const char *name, bool value)
{
    aws_param(p, name, value ? "true" : "false");
}

void aws_param_time(struct aws_params *p, const char *name, int64_t wall_ms)
{
    char s[32];
    aws_param(p, name, time_format_iso(s, sizeof s, wall_ms));
}

void aws_param_list(struct aws_params *p, const char *list, const char *const *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        aws_paramf(p, values[i], "%s.%zu", list, i + 1);
}

/* What the elements of a list are called, where it is not "member"; flat: in place of the list's
 * own name. Source: locationName and flattened in the service models. */
static const char *element_of(enum aws_service s, const char *list, bool *flat)
{
    static const struct {
        enum aws_service service;
        const char *list, *element;
        bool flat;
    } rows[] = {
        {AWS_RDS, "Filters", "Filter", false},
        {AWS_RDS, "Values", "Value", false},
        {AWS_RDS, "Parameters", "Parameter", false},
        {AWS_RDS, "VpcSecurityGroupIds", "VpcSecurityGroupId", false},
        {AWS_RDS, "Tags", "Tag", false},
        {AWS_ELASTICACHE, "Tags", "Tag", false},
        {AWS_ELASTICACHE, "NodeGroupsToRemove", "NodeGroupToRemove", false},
        {AWS_EC2, "InstanceIds", "InstanceId", true},
        {AWS_EC2, "Filters", "Filter", true},
        {AWS_EC2, "Values", "Value", true},
        {AWS_EC2, "Versions", "LaunchTemplateVersion", true},
        {AWS_SQS, "AttributeNames", "AttributeName", true},
    };

    *flat = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].service == s && strcmp(rows[i].list, list) == 0) {
            *flat = rows[i].flat;
            return rows[i].element;
        }
    }
    return "member";
}

static void add_value(struct aws_params *p, enum aws_service s, const char *name,
                      const struct json *v);

static void add_list(struct aws_params *p, enum aws_service s, const char *name,
                     const struct json *list)
{
    const char *dot = strrchr(name, '.'), *key = dot ? dot + 1 : name;
    bool flat;
    const char *element = element_of(s, key, &flat);
    size_t n = 0;

    for (const struct json *i = json_first(list); i; i = json_next(i)) {
        char *child = flat ? mem_printf("%.*s%s.%zu", (int)(key - name), name, element, ++n)
                           : mem_printf("%s.%s.%zu", name, element, ++n);
        add_value(p, s, child, i);
        mem_free(child);
    }
}

static void add_value(struct aws_params *p, enum aws_service s, const char *name,
                      const struct json *v)
{
    switch (json_type(v)) {
    case JSON_MAP:
        for (const struct json *m = json_first(v); m; m = json_next(m)) {
            char *child = *name ? mem_printf("%s.%s", name, json_key(m)) : mem_strdup(json_key(m));
            add_value(p, s, child, m);
            mem_free(child);
        }
        break;
    case JSON_LIST:
        add_list(p, s, name, v);
        break;
    case JSON_BOOL:
        aws_param_bool(p, name, json_bool(v, false));
        break;
    case JSON_NUMBER:
        if (json_num(v, 0) == (double)json_int(v, 0))
            aws_param_int(p, name, json_int(v, 0));
        else
            aws_param_num(p, name, json_num(v, 0));
        break;
    default:
        aws_param(p, name, json_str(v, NULL));
    }
}

struct aws_params *aws_params_of(enum aws_service s, const struct json *args)
{
    struct aws_params *p = aws_params_new();

    add_value(p, s, "", args);
    return p;
}

size_t aws_params_count(const struct aws_params *p)
{
    return p ? p->n : 0;
}

const char *aws_params_get(const struct aws_params *p, const char *name)
{
    for (size_t i = 0; p && i < p->n; i++)
        if (strcmp(p->p[i].name, name) == 0)
            return p->p[i].value;
    return NULL;
}

void aws_params_encode(const struct aws_params *p, const char *action, const char *version,
                       struct buf *out)
{
    buf_adds(out, "Action=");
    aws_uri_encode(out, action, strlen(action), false);
    buf_adds(out, "&Version=");
    aws_uri_encode(out, version, strlen(version), false);
    for (size_t i = 0; p && i < p->n; i++) {
        buf_addc(out, '&');
        aws_uri_encode(out, p->p[i].name, strlen(p->p[i].name), false);
        buf_addc(out, '=');
        aws_uri_encode(out, p->p[i].value, strlen(p->p[i].value), false);
    }
    if (aws_params_count(p) > MAX_PARAMS)
        out->overflow = true;
}
