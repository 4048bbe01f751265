/* Answers of the engine as an operator reads them. */
#ifndef RB_TOOLS_SHOW_H
#define RB_TOOLS_SHOW_H

#include "tools/text.h"

/* status: "metrics" may be in it, from the command of that name. Each takes the whole answer. */
/* Found targets that a policy does not apply to, and why. */
void show_left_out(struct text *t, const struct json *rows);
void show_status(struct text *t, const struct json *a);
void show_episodes(struct text *t, const struct json *a);
void show_runs(struct text *t, const struct json *a);
void show_decisions(struct text *t, const struct json *a);
void show_reports(struct text *t, const struct json *a);
void show_one(
    struct text *t,
    const struct json *a); /* of show; "live" may be in it: the open run as explain has it */
void show_explain(struct text *t, const struct json *a);
void show_plans(struct text *t, const struct json *a);
void show_sources(struct text *t, const struct json *a);
/* One row of discover_status, on a line of its own and its error on another. */
void show_listing(struct text *t, const struct json *listing);
void show_reload(struct text *t, const struct json *a);
void show_version(struct text *t, const struct json *a);

/* Parts of the above. */
void show_plan(struct text *t, const struct json *plan, const char *hash, size_t indent);
void show_tree(struct text *t, const char *label, const struct json *node, size_t indent);
void show_guards(struct text *t, const struct json *guards, size_t indent);

#endif
