/* The parameters of a procedure: what `start NAME key=value` gives, checked by its table (M25). */
#include <stdlib.h>
#include <string.h>
#include "engine/internal.h"
#include "plugin/refs.h"

/* A word of the command line, or a fallback, as a policy would have written it. */
static struct json *as_written(const struct option *o, const char *text)
{
    char *end = NULL;
    double v;

    if (o->type == OPT_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        return json_new_bool(strcmp(text, "true") == 0);
    if (o->type == OPT_COUNT || o->type == OPT_NUMBER) {
        v = strtod(text, &end);
        if (strspn(text, "0123456789.-") == strlen(text) && *text && !*end)
            return json_new_num(v);
    }
    return json_new_str(text);
}

char *params_help(const struct policy *p)
{
    struct buf b;

    buf_init(&b, 8192);
    for (size_t k = 0; k < p->noptions; k++) {
        const struct option *o = &p->options[k];
        buf_addf(&b, "%s%s (%s%s%s)%s%s", k ? "; " : "", o->name, opt_type_name(o->type),
                 o->required   ? ", required"
                 : o->fallback ? ", default "
                               : "",
                 !o->required && o->fallback ? o->fallback : "", *o->help ? ": " : "", o->help);
    }
    return buf_take(&b);
}

struct json *params_default(const struct policy *p)
{
    struct json *all = p->params ? json_copy(p->params) : json_new_map();

    for (size_t k = 0; k < p->noptions; k++)
        if (p->options[k].fallback)
            json_set(all, p->options[k].name, as_written(&p->options[k], p->options[k].fallback));
    return all;
}

static bool take_one(const struct policy *p, const char *name, const char *text, struct json *all,
                     struct err *err)
{
    const struct option *o = option_find(p->options, p->noptions, name);
    const char **names = mem_calloc(p->noptions + 1, sizeof(*names));
    struct json *written = NULL, *held = NULL;
    const char *near;

    for (size_t k = 0; k < p->noptions; k++)
        names[k] = p->options[k].name;
    if (o) {
        written = as_written(o, text);
        held = option_check(o, written, err);
        if (held) {
            json_set(all, name, written);
        } else {
            json_free(written);
            err_wrap(err, "%s=%s", name, text);
        }
    } else {
        near = closest(name, names, p->noptions);
        err_set(err, ERR_INPUT, "%s has no parameter \"%s\"%s%s%s", p->name, name,
                near ? ", did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    json_free(held);
    mem_free(names);
    return o && !err->code;
}

struct json *params_given(const struct policy *p, const struct json *given, struct err *err)
{
    struct json *all = params_default(p);
    char *help = params_help(p);

    if (json_len(given) && !p->procedure)
        err_set(err, ERR_INPUT, "%s is a policy; only a procedure takes parameters", p->name);
    for (const struct json *g = json_first(given); g && !err->code; g = json_next(g))
        take_one(p, json_key(g), json_str(g, ""), all, err);
    for (size_t k = 0; k < p->noptions && !err->code; k++)
        if (p->options[k].required && !json_get(all, p->options[k].name))
            err_set(err, ERR_INPUT, "%s needs %s=VALUE", p->name, p->options[k].name);
    if (err->code && p->procedure) {
        struct err cause = *err;
        err_set(err, cause.code, "%s. %s%s", cause.text,
                *help ? "Its parameters: " : "It has no parameters", help);
    }
    mem_free(help);
    if (!err->code)
        return all;
    json_free(all);
    return NULL;
}

struct named {
    const struct policy *p;
    bool open;
};

static bool is_open(void *arg, const char *ref)
{
    struct named *n = arg;
    const struct option *o =
        strncmp(ref, "param.", 6) == 0 ? option_find(n->p->options, n->p->noptions, ref + 6) : NULL;

    n->open = n->open || (o && !o->fallback);
    return !n->open;
}

bool params_open(const struct policy *p, const struct cond *c)
{
    struct named n = {p, false};

    for (size_t k = 0; k < c->nkids && !n.open; k++)
        n.open = params_open(p, c->kids[k]);
    if (c->kind == COND_LEAF && c->opts)
        refs_each(c->opts, is_open, &n);
    return n.open;
}
