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
