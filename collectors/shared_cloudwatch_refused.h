/* Questions that CloudWatch refuses as they are asked: each is left alone for a while, a longer one
 * each time, and asked by itself. Pure: sends nothing. */
#ifndef RB_COLLECTORS_SHARED_CLOUDWATCH_REFUSED_H
#define RB_COLLECTORS_SHARED_CLOUDWATCH_REFUSED_H

#include "shared_cloudwatch.h"

struct cw_refused;

struct cw_refused *cw_refused_new(void);
void cw_refused_free(struct cw_refused *r);

/* It was refused, or refused again. now is the boot clock's. */
void cw_refused_note(struct cw_refused *r, const struct cw_query *q, int64_t now_ms,
                     const char *why);
void cw_refused_forget(struct cw_refused *r, const struct cw_query *q); /* it was answered */
/* Forgets what is not asked for any more, and marks the rest in the set to be asked alone. */
void cw_refused_mark(struct cw_refused *r, struct cw_set *s);
/* Why, or NULL when it is not refused. */
const char *cw_refused_why(const struct cw_refused *r, const struct cw_query *q);
/* Not refused, or left alone for long enough. */
bool cw_refused_due(const struct cw_refused *r, const struct cw_query *q, int64_t now_ms);

#endif
