/* The members of ElastiCache replication groups: CloudWatch knows nothing of a group, only of its
 * members. Listed whole for an account, kept, and listed again. */
#ifndef RB_COLLECTORS_SHARED_ELASTICACHE_H
#define RB_COLLECTORS_SHARED_ELASTICACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "aws/call.h"
#include "base/json.h"
#include "base/xml.h"
#include "plugin/collector.h"
#include "shared_cloudwatch_signals.h"

struct ec_list;
typedef void ec_fn(void *arg, const struct err *e); /* e NULL: the list is new */

struct ec_list *ec_list_new(void);
void ec_list_free(struct ec_list *l); /* NULL is fine; ends a listing without its callback */

/* Whether it is time to list again: never listed, or long enough ago, after failures a longer
 * time. now is the boot clock's. */
bool ec_list_due(const struct ec_list *l, int64_t now_ms);
bool ec_list_tried(const struct ec_list *l); /* a listing has ended, well or not */
/* Lists all groups of the account, page by page; exactly one callback, never from inside the call,
 * unless ec_list_cancel comes first. What was known stays known when it fails. */
void ec_list_ask(struct ec_list *l, struct aws *aws, int64_t now_ms, ec_fn *fn, void *arg);
void ec_list_cancel(struct ec_list *l);

/* The ids of a group's members, a list of strings; NULL with the reason in why when they are not
 * known or the last complete listing is too old. Valid until the next listing ends. */
const struct json *ec_list_members(const struct ec_list *l, const char *group, int64_t now_ms,
                                   char *why, size_t size);

/* The signals of caches that CloudWatch answers, and their questions. */
bool ec_is_read(const struct watch *w);
void ec_read(const struct ec_list *l, int64_t now_ms, struct cw_set *set, const struct estate *e,
             const struct watch *w, struct cw_reading *out);

/* Whether a cache of the estate is asked by INFO: the estate says where it answers. */
bool cache_by_info(const struct target *cache);
/* Where a signal of a cache comes from: the name of the collector, NULL for the one that declares
 * it; how often, and how late. See docs/design.md, "Two sources of a cache's signals". */
const char *cache_collector(const struct target *t, const struct estate *e);
int64_t cache_interval_ms(const struct target *t, const struct json *opts);
int64_t cache_lag_ms(const struct target *t);
bool cache_bad_period(const struct target *t, const struct estate *e, const struct json *opts,
                      char *text, size_t size);

#endif
