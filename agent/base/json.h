/* JSON values over cJSON: parsed strictly and below caps, built, compared, printed canonically. */
#ifndef RB_BASE_JSON_H
#define RB_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct json; /* a value; a child belongs to its parent */

/* Strict RFC 8259. Refuses more than max bytes, depth over 64, numbers beyond a double or of more
 * than 60 characters (ERR_LIMIT), trailing text, a repeated key, NUL in strings, invalid UTF-8 and
 * a byte order mark (ERR_INPUT); says line:column. The text needs no NUL. NULL on error. */
struct json *json_parse(const char *text, size_t len, size_t max, struct err *e);
void json_free(struct json *j);
struct json *json_copy(const struct json *j); /* a deep copy that stands alone; of NULL: null */

/* Printing; the caller frees with mem_free. Compact, with members in their order; indented, for
 * people; compact with keys sorted by their bytes: what hashes are taken of. */
char *json_print(const struct json *j);
char *json_print_pretty(const struct json *j);
char *json_print_canonical(const struct json *j);

bool json_equal(const struct json *a, const struct json *b);

enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_LIST, JSON_MAP };
enum json_type json_type(const struct json *j); /* NULL is JSON_NULL */

/* Reading: each takes a NULL value and gives the fallback, so that chains are safe. */
/* json_get: NULL if absent or not a map. */
const struct json *json_get(const struct json *map, const char *key);
struct json *json_get_mut(struct json *map, const char *key);
const struct json *json_at(const struct json *list, size_t i);
size_t json_len(const struct json *list_or_map);
const struct json *json_first(const struct json *list_or_map);
const struct json *json_next(const struct json *item);
const char *json_key(const struct json *item); /* of a map's member */
const char *json_str(const struct json *j, const char *fallback);
double json_num(const struct json *j, double fallback);
/* json_int: the fallback also when the number is not whole or beyond 2^53. */
int64_t json_int(const struct json *j, int64_t fallback);
bool json_bool(const struct json *j, bool fallback);
/* Shorthand for json_str(json_get(map, key), fallback) and so on. */
const char *json_get_str(const struct json *map, const char *key, const char *fallback);
double json_get_num(const struct json *map, const char *key, double fallback);
int64_t json_get_int(const struct json *map, const char *key, int64_t fallback);
bool json_get_bool(const struct json *map, const char *key, bool fallback);

/* Building: set and add take ownership of value (NULL is null; a value goes into one place only);
 * set replaces, in the same place. Strings are copied; invalid UTF-8 is replaced by U+FFFD. A
 * number that is not finite is stored as null. */
struct json *json_new_map(void);
struct json *json_new_list(void);
struct json *json_new_str(const char *s); /* NULL gives null */
struct json *json_new_num(double v);
struct json *json_new_bool(bool v);
struct json *json_new_null(void);
struct json *json_set(struct json *map, const char *key, struct json *value); /* returns value */
struct json *json_add(struct json *list, struct json *value);                 /* returns value */
void json_set_str(struct json *map, const char *key, const char *s);
void json_set_strf(struct json *map, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void json_set_num(struct json *map, const char *key, double v);
void json_set_int(struct json *map, const char *key, int64_t v); /* printed whole, exact to 2^53 */
void json_set_bool(struct json *map, const char *key, bool v);
void json_remove(struct json *map, const char *key);

#endif
