/* JSON values over cJSON: strict parsing, safe reading, building. A struct json is a cJSON item
 * that is never spoken of as one outside. */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_scan.h"
#include "base/mem.h"
#include "base/utf8.h"

#define EXACT_WHOLE 9007199254740992.0 /* 2^53 */

static cJSON *item(struct json *j)
{
    return (cJSON *)j;
}

static const cJSON *const_item(const struct json *j)
{
    return (const cJSON *)j;
}

static struct json *value_of(cJSON *c)
{
    return (struct json *)c;
}

/* cJSON drops members in silence when memory is short (its Add calls are rarely checked, and
 * printing just ends). With an allocator that ends the process instead, no caller has to tell "out
 * of memory" from "bad input". */
static void *allocate(size_t size)
{
    return mem_alloc(size);
}

__attribute__((constructor)) static void set_hooks(void)
{
    cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = mem_free};

    cJSON_InitHooks(&hooks);
}

/* A call that this module's callers cannot get wrong with any input, only with wrong code. */
static _Noreturn void misuse(const char *what)
{
    fprintf(stderr, "error json: %s: this is a defect of the program: ending\n", what);
    abort();
}

/* Keys are numbered in the order of the text, which is the order of the tree. */
struct key_at {
    const char *key;
    size_t nth;
};

static int compare_keys(const void *a, const void *b)
{
    const struct key_at *x = a, *y = b;
    int c = strcmp(x->key, y->key);

    return c != 0 ? c : x->nth < y->nth ? -1 : x->nth > y->nth;
}

#define NO_REPEAT ((size_t)-1)

/* The number of the first key of the text that its map already has, or NO_REPEAT; *nth counts the
 * keys. */
static size_t find_repeated_key(const cJSON *c, size_t *nth)
{
    size_t repeated = NO_REPEAT, n = 0, members = 0;
    struct key_at *keys = NULL;

    if (cJSON_IsObject(c) && c->child != NULL && c->child->next != NULL) {
        for (const cJSON *m = c->child; m != NULL; m = m->next)
            members++;
        keys = mem_calloc(members, sizeof(*keys));
    }
    for (const cJSON *m = c->child; m != NULL; m = m->next) {
        if (keys != NULL)
            keys[n++] = (struct key_at){m->string, *nth};
        if (cJSON_IsObject(c))
            ++*nth;
        if (m->child != NULL) {
            size_t inner = find_repeated_key(m, nth);
            if (inner < repeated)
                repeated = inner;
        }
    }
    if (keys != NULL) {
        qsort(keys, n, sizeof(*keys), compare_keys);
        for (size_t i = 1; i < n; i++) {
            if (strcmp(keys[i - 1].key, keys[i].key) == 0 && keys[i].nth < repeated)
                repeated = keys[i].nth;
        }
    }
    mem_free(keys);
    return repeated;
}

struct json *json_parse(const char *text, size_t len, size_t max, struct err *e)
{
    size_t nth = 0;

    if (len > max) {
        err_set(e, ERR_LIMIT, "refused JSON of %zu bytes: at most %zu are read", len, max);
        return NULL;
    }
    if (json_scan(text, len, e) != 0)
        return NULL;
    cJSON *c = cJSON_ParseWithLengthOpts(text, len, NULL, 0);
    if (c == NULL) {
        err_set(e, ERR_BUG, "cJSON refused a text of %zu bytes that is valid JSON", len);
        return NULL;
    }
    size_t repeated = find_repeated_key(c, &nth);
    if (repeated != NO_REPEAT) {
        json_scan_key_error(text, len, repeated, e);
        cJSON_Delete(c);
        return NULL;
    }
    return value_of(c);
}

void json_free(struct json *j)
{
    cJSON_Delete(item(j));
}

struct json *json_copy(const struct json *j)
{
    if (j == NULL)
        return json_new_null();
    cJSON *c = cJSON_Duplicate(const_item(j), 1);
    if (c == NULL)
        misuse("a value could not be copied");
    if (c->string != NULL &&
        (c->type & cJSON_StringIsConst) == 0) { /* a copied member is no member any more */
        mem_free(c->string);
        c->string = NULL;
    }
    return value_of(c);
}

enum json_type json_type(const struct json *j)
{
    const cJSON *c = const_item(j);

    switch (c == NULL ? cJSON_NULL : c->type & 0xff) {
    case cJSON_False:
    case cJSON_True:
        return JSON_BOOL;
    case cJSON_Number:
        return JSON_NUMBER;
    case cJSON_String:
        return JSON_STRING;
    case cJSON_Array:
        return JSON_LIST;
    case cJSON_Object:
        return JSON_MAP;
    default:
        return JSON_NULL;
    }
}

static cJSON *find(const struct json *map, const char *key)
{
    if (json_type(map) != JSON_MAP || key == NULL)
        return NULL;
    for (cJSON *m = const_item(map)->child; m != NULL; m = m->next) {
        if (strcmp(m->string, key) == 0)
            return m;
    }
    return NULL;
}

const struct json *json_get(const struct json *map, const char *key)
{
    return value_of(find(map, key));
}

struct json *json_get_mut(struct json *map, const char *key)
{
    return value_of(find(map, key));
}

const struct json *json_first(const struct json *list_or_map)
{
    enum json_type t = json_type(list_or_map);

    return t == JSON_LIST || t == JSON_MAP ? value_of(const_item(list_or_map)->child) : NULL;
}

const struct json *json_next(const struct json *j)
{
    return j != NULL ? value_of(const_item(j)->next) : NULL;
}

const struct json *json_at(const struct json *list, size_t i)
{
    const struct json *j = json_type(list) == JSON_LIST ? json_first(list) : NULL;

    for (; j != NULL && i > 0; i--)
        j = json_next(j);
    return j;
}

size_t json_len(const struct json *list_or_map)
{
    size_t n = 0;

    for (const struct json *j = json_first(list_or_map); j != NULL; j = json_next(j))
        n++;
    return n;
}

const char *json_key(const struct json *j)
{
    return j != NULL && const_item(j)->string != NULL ? const_item(j)->string : "";
}

const char *json_str(const struct json *j, const char *fallback)
{
    return json_type(j) == JSON_STRING ? const_item(j)->valuestring : fallback;
}

double json_num(const struct json *j, double fallback)
{
    return json_type(j) == JSON_NUMBER ? const_item(j)->valuedouble : fallback;
}

int64_t json_int(const struct json *j, int64_t fallback)
{
    double v = json_num(j, NAN);

    return fabs(v) <= EXACT_WHOLE && v == floor(v) ? (int64_t)v : fallback;
}

bool json_bool(const struct json *j, bool fallback)
{
    return json_type(j) == JSON_BOOL ? (const_item(j)->type & 0xff) == cJSON_True : fallback;
}

const char *json_get_str(const struct json *map, const char *key, const char *fallback)
{
    return json_str(json_get(map, key), fallback);
}

double json_get_num(const struct json *map, const char *key, double fallback)
{
    return json_num(json_get(map, key), fallback);
}

int64_t json_get_int(const struct json *map, const char *key, int64_t fallback)
{
    return json_int(json_get(map, key), fallback);
}

bool json_get_bool(const struct json *map, const char *key, bool fallback)
{
    return json_bool(json_get(map, key), fallback);
}

/* A copy in which every byte that is not UTF-8 became U+FFFD. */
static char *clean_copy(const char *s)
{
    static const char replacement[] = "\xef\xbf\xbd";
    size_t len = strlen(s), bad = 0;
    uint32_t cp;

    for (size_t i = 0, n; i<len; i += n> 0 ? n : 1) {
        n = utf8_next(s + i, len - i, &cp);
        bad += n == 0;
    }
    char *copy = mem_alloc(len + bad * (sizeof(replacement) - 2) + 1), *out = copy;
    for (size_t i = 0, n; i<len; i += n> 0 ? n : 1) {
        n = utf8_next(s + i, len - i, &cp);
        if (n == 0)
            out = mempcpy(out, replacement, sizeof(replacement) - 1);
        else
            out = mempcpy(out, s + i, n);
    }
    return copy;
}

static struct json *made(cJSON *c)
{
    if (c == NULL)
        misuse("a value could not be made");
    return value_of(c);
}

struct json *json_new_map(void)
{
    return made(cJSON_CreateObject());
}

struct json *json_new_list(void)
{
    return made(cJSON_CreateArray());
}

struct json *json_new_null(void)
{
    return made(cJSON_CreateNull());
}

struct json *json_new_bool(bool v)
{
    return made(cJSON_CreateBool(v));
}

struct json *json_new_num(double v)
{
    return isfinite(v) ? made(cJSON_CreateNumber(v)) : json_new_null();
}

struct json *json_new_str(const char *s)
{
    if (s == NULL)
        return json_new_null();
    cJSON *c = item(json_new_null());
    c->valuestring = clean_copy(s);
    c->type = cJSON_String;
    return value_of(c);
}

/* A value that is in a tree already, or is one's own ancestor, would be freed twice. */
static void check_free_standing(const cJSON *c)
{
    if (c->next != NULL || c->prev != NULL || c->string != NULL)
        misuse("a value was put into two places");
}

struct json *json_set(struct json *map, const char *key, struct json *value)
{
    if (json_type(map) != JSON_MAP || key == NULL)
        misuse("a member was set in what is not a map");
    if (value == NULL)
        value = json_new_null();
    cJSON *c = item(value);
    check_free_standing(c);
    c->string = clean_copy(key);
    cJSON *old = find(map, c->string);
    if (old == NULL)
        cJSON_AddItemToArray(item(map), c); /* does not touch the key, unlike AddItemToObject */
    else
        cJSON_ReplaceItemViaPointer(item(map), old, c);
    return value;
}

struct json *json_add(struct json *list, struct json *value)
{
    if (json_type(list) != JSON_LIST || list == value)
        misuse("an item was added to what is not a list");
    if (value == NULL)
        value = json_new_null();
    check_free_standing(item(value));
    cJSON_AddItemToArray(item(list), item(value));
    return value;
}

void json_set_str(struct json *map, const char *key, const char *s)
{
    json_set(map, key, json_new_str(s));
}

void json_set_strf(struct json *map, const char *key, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    json_set(map, key, json_new_str(text));
    mem_free(text);
}

void json_set_num(struct json *map, const char *key, double v)
{
    json_set(map, key, json_new_num(v));
}

void json_set_int(struct json *map, const char *key, int64_t v)
{
    json_set(map, key, json_new_num((double)v));
}

void json_set_bool(struct json *map, const char *key, bool v)
{
    json_set(map, key, json_new_bool(v));
}

void json_remove(struct json *map, const char *key)
{
    cJSON *old = find(map, key);

    if (old != NULL)
        cJSON_Delete(cJSON_DetachItemViaPointer(item(map), old));
}
