/* Questions to GetMetricData, each metric once, and the points of the answers. */
#include "shared_cloudwatch.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/units.h"
#include "shared_source.h"

#define POINTS_MAX 100800 /* of one series there are never more: AWS's limit of a whole request */

void cw_init(struct cw_set *s)
{
    memset(s, 0, sizeof(*s));
}

void cw_clear(struct cw_set *s)
{
    for (size_t i = 0; i < s->nqueries; i++) {
        struct cw_query *q = &s->queries[i];

        mem_free(q->key);
        mem_free(q->words);
        mem_free(q->points);
        json_free(q->dimensions);
    }
    mem_free(s->queries);
    mem_free(s->batches);
    map_free(s->by_key);
    cw_init(s);
}

static const char *put_word(char **at, const char *word)
{
    const char *start = *at;

    *at = stpcpy(*at, word) + 1;
    return start;
}

size_t cw_want(struct cw_set *s, const char *namespace, const char *metric,
               const struct json *dimensions, const char *stat, int64_t period_ms, const char *expr)
{
    char *where = json_print_canonical(dimensions);
    char *key = mem_printf("%s\n%s\n%s\n%s\n%lld\n%s", namespace, metric, where, stat,
                           (long long)period_ms, expr != NULL ? expr : "");
    struct cw_query *q;
    uintptr_t number; /* sets have thousands */
    char *at;

    mem_free(where);
    if (s->by_key == NULL)
        s->by_key = map_new();
    number = (uintptr_t)map_get(s->by_key, key);
    if (number > 0) {
        mem_free(key);
        return (size_t)number - 1;
    }
    if (s->nqueries == s->cqueries) {
        s->cqueries = s->cqueries ? s->cqueries * 2 : 8;
        s->queries = mem_realloc(s->queries, s->cqueries * sizeof(*s->queries));
    }
    q = &s->queries[s->nqueries++];
    *q = (struct cw_query){.key = key, .dimensions = json_copy(dimensions), .period_ms = period_ms};
    at = q->words = mem_alloc(strlen(namespace) + strlen(metric) + strlen(stat) +
                              (expr != NULL ? strlen(expr) : 0) + 4);
    q->namespace = put_word(&at, namespace);
    q->metric = put_word(&at, metric);
    q->stat = put_word(&at, stat);
    q->expr = expr != NULL ? put_word(&at, expr) : NULL;
    map_put(s->by_key, key, (void *)(uintptr_t)s->nqueries); /* NOLINT(performance-no-int-to-ptr) */
    return s->nqueries - 1;
}

static bool fits(const struct cw_batch *b, const struct cw_query *q, size_t need)
{
    const char *x = b->expr != NULL ? b->expr : "", *y = q->expr != NULL ? q->expr : "";

    return !b->alone && !q->alone && b->period_ms == q->period_ms && strcmp(x, y) == 0 &&
           b->nmembers + need <= CW_QUERIES_A_CALL;
}

void cw_pack(struct cw_set *s)
{
    s->nbatches = 0;
    for (size_t i = 0; i < s->nqueries; i++) {
        struct cw_query *q = &s->queries[i];
        size_t need = q->expr != NULL ? 2 : 1, b = 0;

        while (b < s->nbatches && !fits(&s->batches[b], q, need))
            b++;
        if (b == s->nbatches) {
            s->batches = mem_realloc(s->batches, (s->nbatches + 1) * sizeof(*s->batches));
            s->batches[s->nbatches++] =
                (struct cw_batch){.period_ms = q->period_ms, .expr = q->expr, .alone = q->alone};
        }
        s->batches[b].nmembers += need;
        s->batches[b].nqueries++;
        q->batch = b;
    }
}

bool cw_split(struct cw_set *s, size_t batch, struct cw_query **one)
{
    size_t n = s->batches[batch].nqueries, keep = n - n / 2, seen = 0;
    struct cw_batch *from, *to;

    s->batches = mem_realloc(s->batches, (s->nbatches + 1) * sizeof(*s->batches));
    from = &s->batches[batch];
    to = &s->batches[s->nbatches];
    *to = (struct cw_batch){.period_ms = from->period_ms, .expr = from->expr};
    for (size_t i = 0; i < s->nqueries; i++) {
        struct cw_query *q = &s->queries[i];
        size_t need = q->expr != NULL ? 2 : 1;

        if (q->batch != batch)
            continue;
        *one = q;
        if (seen++ < keep)
            continue;
        q->batch = s->nbatches;
        from->nmembers -= need;
        from->nqueries--;
        to->nmembers += need;
        to->nqueries++;
    }
    s->nbatches += to->nqueries > 0;
    return n > 1;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The expression with the metric's own id in place of m. The caller frees. */
static char *with_id(const char *expr, size_t id)
{
    struct buf out;

    buf_init(&out, 4096);
    for (const char *p = expr; *p != '\0'; p++) {
        if (*p == 'm' && (p == expr || !is_word(p[-1])) && !is_word(p[1]))
            (void)buf_addf(&out, "m%zu", id);
        else
            (void)buf_addc(&out, *p);
    }
    return buf_take(&out);
}

static void add_metric(struct aws_params *p, const struct cw_query *q, size_t member)
{
    size_t n = 0;

    aws_paramf(p, q->namespace, "MetricDataQueries.member.%zu.MetricStat.Metric.Namespace", member);
    aws_paramf(p, q->metric, "MetricDataQueries.member.%zu.MetricStat.Metric.MetricName", member);
    for (const struct json *d = json_first(q->dimensions); d != NULL; d = json_next(d)) {
        n++;
        aws_paramf(p, json_key(d),
                   "MetricDataQueries.member.%zu.MetricStat.Metric.Dimensions.member.%zu.Name",
                   member, n);
        aws_paramf(p, json_str(d, ""),
                   "MetricDataQueries.member.%zu.MetricStat.Metric.Dimensions.member.%zu.Value",
                   member, n);
    }
    aws_paramf(p, q->stat, "MetricDataQueries.member.%zu.MetricStat.Stat", member);
}

struct aws_params *cw_params(const struct cw_set *s, size_t batch, int64_t start_ms, int64_t end_ms,
                             const char *token)
{
    struct aws_params *p = aws_params_new();
    size_t member = 0;
    char text[32];

    for (size_t i = 0; i < s->nqueries; i++) {
        const struct cw_query *q = &s->queries[i];

        if (q->batch != batch)
            continue;
        member++;
        snprintf(text, sizeof(text), "%s%zu", q->expr != NULL ? "m" : "q", i);
        aws_paramf(p, text, "MetricDataQueries.member.%zu.Id", member);
        add_metric(p, q, member);
        snprintf(text, sizeof(text), "%lld", (long long)(q->period_ms / 1000));
        aws_paramf(p, text, "MetricDataQueries.member.%zu.MetricStat.Period", member);
        if (q->expr != NULL) {
            char *expr = with_id(q->expr, i);

            aws_paramf(p, "false", "MetricDataQueries.member.%zu.ReturnData", member);
            member++;
            snprintf(text, sizeof(text), "q%zu", i);
            aws_paramf(p, text, "MetricDataQueries.member.%zu.Id", member);
            aws_paramf(p, expr, "MetricDataQueries.member.%zu.Expression", member);
            mem_free(expr);
        }
    }
    aws_param_time(p, "StartTime", start_ms);
    aws_param_time(p, "EndTime", end_ms);
    aws_param(p, "ScanBy", "TimestampAscending");
    aws_param_int(p, "MaxDatapoints", CW_POINTS_A_PAGE);
    aws_param(p, "NextToken", token);
    return p;
}

void cw_forget(struct cw_set *s, size_t batch)
{
    for (size_t i = 0; i < s->nqueries; i++) {
        struct cw_query *q = &s->queries[i];

        if (q->batch != batch)
            continue;
        q->npoints = 0;
        q->answered = q->partial = false;
        q->why[0] = '\0';
    }
}

/* The query of that batch by the Id that cw_params gave it. */
static struct cw_query *by_id(struct cw_set *s, size_t batch, const char *id)
{
    char *end = NULL;
    unsigned long i = id[0] == 'q' ? strtoul(id + 1, &end, 10) : 0;

    if (end == NULL || end == id + 1 || *end != '\0' || i >= s->nqueries ||
        s->queries[i].batch != batch)
        return NULL;
    return &s->queries[i];
}

static int add_points(struct cw_query *q, const struct xml *result, struct err *e)
{
    const struct xml *t = xml_child(xml_child(result, "Timestamps"), "member");
    const struct xml *v = xml_child(xml_child(result, "Values"), "member");

    for (; t != NULL && v != NULL; t = xml_next(t, "member"), v = xml_next(v, "member")) {
        const char *text = xml_text(v, "");
        struct cw_point p = {.value = source_decimal(text)};

        if (isnan(p.value) || time_parse_iso(xml_text(t, ""), &p.start_ms) != 0)
            return err_set(e, ERR_INPUT, "a point of %s %s is \"%.40s\" at \"%.40s\"", q->namespace,
                           q->metric, text, xml_text(t, ""));
        if (q->npoints == POINTS_MAX)
            return err_set(e, ERR_LIMIT, "more than %d points of %s %s", POINTS_MAX, q->namespace,
                           q->metric);
        if (q->npoints == q->cap) {
            q->cap = q->cap != 0 ? q->cap * 2 : 16;
            q->points = mem_realloc(q->points, q->cap * sizeof(*q->points));
        }
        q->points[q->npoints++] = p;
    }
    return t != NULL || v != NULL
               ? err_set(e, ERR_INPUT, "%s %s has another number of times than of values",
                         q->namespace, q->metric)
               : 0;
}

int cw_take(struct cw_set *s, size_t batch, const struct xml *answer, const char **token,
            struct err *e)
{
    const struct xml *result = xml_child(answer, "GetMetricDataResult");
    const struct xml *list = xml_child(result, "MetricDataResults");
    const char *next = xml_path_text(result, "NextToken", "");
    bool *named; /* on this page; the next one goes on with the same */
    int rc = 0;

    *token = *next != '\0' ? next : NULL;
    if (list == NULL)
        return err_set(e, ERR_INPUT, "the answer has no MetricDataResults");
    named = mem_calloc(s->nqueries + 1, sizeof(*named));
    for (const struct xml *r = xml_child(list, "member"); r != NULL && rc == 0;
         r = xml_next(r, "member")) {
        const char *id = xml_path_text(r, "Id", ""), *status = xml_path_text(r, "StatusCode", "");
        struct cw_query *q = by_id(s, batch, id);

        if (q == NULL || named[q - s->queries]) {
            rc = err_set(e, ERR_INPUT, "the answer has a result %s: \"%.40s\"",
                         q == NULL ? "that was not asked for" : "twice", id);
            break;
        }
        named[q - s->queries] = true;
        rc = add_points(q, r, e);
        q->answered = true;
        q->partial = strcmp(status, "PartialData") == 0;
        if (!q->partial && strcmp(status, "Complete") != 0)
            snprintf(q->why, sizeof(q->why), "CloudWatch says %.40s of %.50s: %.60s",
                     *status != '\0' ? status : "nothing", q->metric,
                     xml_path_text(r, "Messages/member/Value", "no reason given"));
    }
    mem_free(named);
    return rc;
}

void cw_refuse_all(struct cw_set *s, size_t batch, const char *why)
{
    for (size_t i = 0; i < s->nqueries; i++) {
        if (s->queries[i].batch == batch)
            snprintf(s->queries[i].why, sizeof(s->queries[i].why),
                     "CloudWatch refuses a call that asks for this and others: %.140s", why);
    }
}

static int by_time(const void *a, const void *b)
{
    int64_t x = ((const struct cw_point *)a)->start_ms, y = ((const struct cw_point *)b)->start_ms;

    return (x > y) - (x < y);
}

void cw_finish(struct cw_set *s, size_t batch)
{
    for (size_t i = 0; i < s->nqueries; i++) {
        struct cw_query *q = &s->queries[i];
        size_t n = 0;

        if (q->batch != batch)
            continue;
        if (q->npoints > 1)
            qsort(q->points, q->npoints, sizeof(*q->points), by_time);
        for (size_t k = 0; k < q->npoints; k++) {
            if (n == 0 || q->points[n - 1].start_ms != q->points[k].start_ms)
                q->points[n++] = q->points[k];
            else if (q->points[n - 1].value < q->points[k].value ||
                     q->points[n - 1].value > q->points[k].value)
                snprintf(q->why, sizeof(q->why),
                         "CloudWatch gave different values of %.80s at one "
                         "time",
                         q->metric);
        }
        q->npoints = n;
        if (q->why[0] == '\0' && !q->answered)
            snprintf(q->why, sizeof(q->why), "CloudWatch's answer leaves %.80s out", q->metric);
        else if (q->why[0] == '\0' && q->partial)
            snprintf(q->why, sizeof(q->why), "CloudWatch gave only a part of %.80s", q->metric);
    }
}

const struct cw_point *cw_at(const struct cw_query *q, int64_t start_ms)
{
    struct cw_point key = {start_ms, 0};

    return q->npoints > 0 ? bsearch(&key, q->points, q->npoints, sizeof(key), by_time) : NULL;
}

const struct cw_point *cw_after(const struct cw_query *q, int64_t start_ms)
{
    size_t from = 0, to = q->npoints;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (q->points[middle].start_ms > start_ms)
            to = middle;
        else
            from = middle + 1;
    }
    return from < q->npoints ? &q->points[from] : NULL;
}

/* https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html: below a
 * minute three hours, then 15 days, multiples of 5 minutes 63 days, of an hour 455 days. */
int64_t cw_kept_ms(int64_t period_ms)
{
    const int64_t hour_ms = 3600000;

    if (period_ms < 60000)
        return 3 * hour_ms;
    if (period_ms % 300000 != 0)
        return 15 * 24 * hour_ms;
    return (period_ms % hour_ms != 0 ? 63 : 455) * 24 * hour_ms;
}

bool cw_period_exists(int64_t period_ms)
{
    static const int64_t short_ms[] = {1000, 5000, 10000, 20000, 30000};

    for (size_t i = 0; i < sizeof(short_ms) / sizeof(*short_ms); i++) {
        if (period_ms == short_ms[i])
            return true;
    }
    return period_ms >= 60000 && period_ms % 60000 == 0 && period_ms <= 86400000;
}
