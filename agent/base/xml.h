/* XML answers as a small tree, with caps on size, depth and nodes; no DTD, no entities beyond XML's
 * own; over expat. */
#ifndef RB_BASE_XML_H
#define RB_BASE_XML_H

#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"

struct xml; /* an element; names are without namespace prefix */

/* len at most max_bytes, depth at most 32, at most 200,000 elements. NULL on error (ERR_INPUT,
 * ERR_LIMIT), with line and column. */
struct xml *xml_parse(const char *text, size_t len, size_t max_bytes, struct err *e);
void xml_free(struct xml *root);

const char *xml_name(const struct xml *x);
/* The element's own text, trimmed, "" if it has none; the fallback if x is NULL. */
const char *xml_text(const struct xml *x, const char *fallback);
/* The first child, and the next sibling, of that name; of any if name is NULL. NULL-safe. */
const struct xml *xml_child(const struct xml *x, const char *name);
const struct xml *xml_next(const struct xml *x, const char *name);
/* "A/B/C" from x down, by the first child of each name. */
const struct xml *xml_path(const struct xml *x, const char *path);
const char *xml_path_text(const struct xml *x, const char *path, const char *fallback);
bool xml_is_empty(const struct xml *x);                  /* neither text nor children; NULL is */
size_t xml_count(const struct xml *x, const char *name); /* children of that name */

#endif
