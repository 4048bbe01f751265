/* Lists of an account: asked one after the other, page by page, and told once complete. */
#include "shared_describe.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/units.h"
#include "io/loop.h"

#define PAGES_MAX 100
#define CALL_MS 12000

void *describe_open(const struct describe_type *type, const struct collector_host *h,
                    const struct estate *e, const char *source)
{
    struct describe *s = source_base_open(sizeof(*s), h, e, source);

    s->type = type;
    return s;
}

void describe_close(void *self)
{
    struct describe *s = self;

    mem_free(s->token);
    mem_free(s->found);
    source_base_close(s);
}

void describe_watch(void *self, const struct watch *const *watches, size_t n)
{
    struct describe *s = self;

    source_base_watch(s, watches, n);
    s->found = mem_realloc(s->found, (n + 1) * sizeof(*s->found));
}

int64_t describe_interval(const struct target *t, const struct json *opts)
{
    (void)t;
    return source_period_ms(opts, 30000);
}

static const struct describe_list *list_of(const struct describe *s)
{
    return &s->type->lists[s->at];
}

const struct watch *describe_asked(const struct describe *s)
{
    return s->base.watches[s->who];
}

static bool is_of(const struct describe *s, const struct watch *w, const char *id)
{
    return list_of(s)->reads(w) && strcasecmp(s->type->name(s, w), id) == 0;
}

/* There is a list of what was asked, be it empty. */
static void see_list(struct describe *s)
{
    for (size_t i = 0; list_of(s)->counts && i < s->base.nwatches; i++) {
        if (is_of(s, s->base.watches[i], s->type->name(s, describe_asked(s))))
            s->found[i].there = true;
    }
}

static void see(struct describe *s, const struct xml *item)
{
    const char *id = list_of(s)->id != NULL ? xml_path_text(item, list_of(s)->id, "")
                                            : s->type->name(s, describe_asked(s));

    for (size_t i = 0; i < s->base.nwatches; i++) {
        const struct watch *w = s->base.watches[i];
        struct describe_found *f = &s->found[i];

        if (!is_of(s, w, id))
            continue;
        if (f->there && !list_of(s)->many)
            snprintf(f->why, sizeof(f->why), "%s's answer has %.100s twice", s->type->what, id);
        else
            list_of(s)->see(w, item, f);
    }
}

/* The listing is complete: what is not in it does not exist. */
static void tell(struct describe *s)
{
    const struct collector_host *h = s->base.host;
    char why[300];

    for (size_t i = 0; i < s->base.nwatches; i++) {
        const struct watch *w = s->base.watches[i];
        const struct describe_found *f = &s->found[i];

        if (!list_of(s)->reads(w))
            continue;
        if (f->there && f->why[0] == '\0') {
            h->sample(h, w, s->base.asked_ms, 0, f->value);
            continue;
        }
        if (f->there)
            snprintf(why, sizeof(why), "%s", f->why);
        else
            list_of(s)->absent(s, w, why, sizeof(why));
        h->unknown(h, w, why);
    }
}

static void ask(struct describe *s);

static void failed(struct describe *s, const char *what)
{
    struct err e = ERR_INIT;

    err_set(&e, ERR_INPUT, "%s of account %s: %s %s", s->type->what, s->base.name,
            list_of(s)->action, what);
    s->base.host->failed(s->base.host, &e);
}

static void forget_page(struct describe *s)
{
    mem_free(s->token);
    s->token = NULL;
}

/* Whether the series at i is the first of its name that reads this list. */
static bool is_first(const struct describe *s, size_t i)
{
    const struct watch *w = s->base.watches[i];

    for (size_t k = 0; k < i; k++) {
        if (is_of(s, s->base.watches[k], s->type->name(s, w)))
            return false;
    }
    return list_of(s)->reads(w);
}

/* A list is complete: on to that of the next name, or to the next list. */
static void next(struct describe *s)
{
    s->pages = 0;
    forget_page(s);
    if (list_of(s)->gone != NULL) {
        do
            s->who++;
        while (s->who < s->base.nwatches && !is_first(s, s->who));
    }
    if (list_of(s)->gone == NULL || s->who >= s->base.nwatches) {
        tell(s);
        s->at++;
        s->who = 0;
        s->base.asked_ms = 0;
    }
    ask(s);
}

/* That there is nothing of that name is an answer, too. */
static bool is_gone(const struct describe *s, const char *code)
{
    const char *const *gone = list_of(s)->gone;

    while (gone != NULL && *gone != NULL && strcmp(*gone, code) != 0)
        gone++;
    return gone != NULL && *gone != NULL;
}

static void answered(void *arg, const struct aws_answer *a, const struct err *e)
{
    struct describe *s = arg;
    const struct xml *result, *list;
    const char *token;
    char name[64];

    s->base.call = NULL;
    if (e != NULL) {
        if (is_gone(s, a->code))
            next(s);
        else
            s->base.host->failed(s->base.host, e);
        return;
    }
    snprintf(name, sizeof(name), "%sResult", list_of(s)->action);
    result = xml_child(a->xml, name);
    list = xml_child(result, list_of(s)->list);
    if (list == NULL) {
        failed(s, "gave no list");
        return;
    }
    see_list(s);
    for (const struct xml *x = xml_child(list, list_of(s)->item); x != NULL;
         x = xml_next(x, list_of(s)->item))
        see(s, x);
    token = xml_path_text(result, "Marker", "");
    if (*token == '\0') {
        next(s);
    } else if (++s->pages >= PAGES_MAX || (s->token != NULL && strcmp(s->token, token) == 0)) {
        failed(s, "has pages that do not end");
    } else {
        mem_free(s->token);
        s->token = mem_strdup(token);
        ask(s);
    }
}

/* Whether anybody reads it; who is the first. */
static bool is_read(struct describe *s)
{
    for (size_t i = s->who; i < s->base.nwatches; i++) {
        s->who = i;
        if (list_of(s)->reads(s->base.watches[i]))
            return true;
    }
    s->who = 0;
    return false;
}

static void ask(struct describe *s)
{
    const struct host_io *io = s->base.host->io;
    struct err e = ERR_INIT;
    struct aws *aws;
    struct aws_params *p;
    struct aws_request r = {.service = s->type->service, .deadline_ms = CALL_MS};

    while (s->at < s->type->nlists && !is_read(s))
        s->at++;
    if (s->at == s->type->nlists) {
        s->base.host->done(s->base.host);
        return;
    }
    aws = io->aws(io->arg, s->base.name, &e);
    if (aws == NULL) {
        s->base.host->failed(s->base.host, &e);
        return;
    }
    p = aws_params_new();
    list_of(s)->ask(s, p);
    aws_param(p, "Marker", s->token);
    r.action = list_of(s)->action;
    r.params = p;
    if (s->base.asked_ms == 0) /* all of a list is as old as its first question */
        s->base.asked_ms = loop_wall_ms(io->loop);
    s->base.call = aws_send(aws, &r, answered, s);
    aws_params_free(p);
}

void describe_poll(void *self)
{
    struct describe *s = self;

    memset(s->found, 0, (s->base.nwatches + 1) * sizeof(*s->found));
    forget_page(s);
    s->pages = 0;
    s->at = s->who = 0;
    s->base.asked_ms = 0;
    ask(s);
}

void describe_word(const char *word, const char *const *words, const char *what,
                   struct describe_found *f)
{
    f->there = true;
    for (size_t i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            f->value = (double)i;
            return;
        }
    }
    snprintf(f->why, sizeof(f->why), "%s says that its status is \"%.60s\", which is not known",
             what, word);
}

bool describe_newest(const char *created, struct describe_found *f)
{
    int64_t created_ms = INT64_MAX; /* what has no time yet has only begun */

    if (time_parse_iso(created, &created_ms) != 0)
        created_ms = INT64_MAX;
    if (f->there && created_ms <= f->created_ms)
        return false;
    *f = (struct describe_found){.there = true, .created_ms = created_ms};
    return true;
}
