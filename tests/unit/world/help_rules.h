/* What the tests of the rules share: two run functions, orders, and looking at the timeline. */
#ifndef HELP_RULES_H
#define HELP_RULES_H

#include "help_world.h"

#define SEEN(text)                                                                                 \
    do {                                                                                           \
        if (!rig_seen(&r, text))                                                                   \
            fail_msg("not seen: %s\n%s\n%s", text, r.timeline, r.reports ? r.reports : "");        \
    } while (0)
#define NOT_SEEN(text)                                                                             \
    do {                                                                                           \
        if (rig_seen(&r, text))                                                                    \
            fail_msg("seen: %s\n%s", text, r.timeline);                                            \
    } while (0)

extern const struct script_line act_verify[], grow_and_back[];
struct policy *rules_scripted(struct rig *r, const struct script_line *lines);
/* Starts it, lets the load rise to 700 at minute 9.5, and goes on to the minute given. */
void rules_heat(struct rig *r, double minutes);
int rules_count(const char *text, const char *what); /* how often; text may be NULL */
char *rules_run(struct rig *r, char out[64]); /* the id of the open run, "" without */
/* Gives an order; the error it was answered with, "" when it was carried out. */
const char *rules_order(struct rig *r, const char *command, const char *k1, const char *v1,
                        const char *k2, const char *v2);

#endif
