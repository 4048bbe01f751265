/* What is known of one `discover`: its members by its complete listings, as a document that the
 * journal keeps. Pure: what a listing changes, and which targets follow from it. */
#ifndef RB_PLUGIN_LISTING_H
#define RB_PLUGIN_LISTING_H

#include "plugin/target.h"

/* {"members": [{"name", "tag", "fields", "absent"?}] by name, "empty"?} */

/* What follows from a complete listing, [{"name", "tag", "fields"}] in any order (taken over):
 * a member that is in it is as it says; one that is not is absent, and gone when it was absent
 * before (M7). An empty one after one that had members is not believed: the members stay, marked.
 * was NULL: nothing is known yet. */
struct json *listing_next(const struct json *was, struct json *found);

/* Two rows that list the same: kind, account and tags. */
bool listing_same(const struct json *row, const struct json *other);

/* How many members the last complete listing had. */
size_t listing_count(const struct json *listing);

/* Adds the members as targets, as the row {"kind", "aws", "mode", "file", "line", ...} of the
 * estate says. What is there already wins, but of two discovers that find the same the lower mode
 * holds. unsure: not listed since the start. */
void listing_add(struct estate *e, const struct json *listing, const struct json *row, bool unsure);

#endif
