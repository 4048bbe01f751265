/* Members of a discover: merged with each complete listing, and made into targets. */
#include "plugin/listing.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char *name_of(const struct json *member)
{
    return json_get_str(member, "name", "");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(name_of(*(struct json *const *)a), name_of(*(struct json *const *)b));
}

/* The items of a list by name; the caller frees the array. */
static const struct json **sorted(const struct json *list, size_t *n)
{
    const struct json **items = mem_calloc(json_len(list) + 1, sizeof(*items));

    *n = 0;
    for (const struct json *j = json_first(list); j != NULL; j = json_next(j))
        items[(*n)++] = j;
    qsort(items, *n, sizeof(*items), by_name);
    return items;
}

static void keep_absent(struct json *members, const struct json *member)
{
    if (!json_get_bool(member, "absent", false))
        json_set_bool(json_add(members, json_copy(member)), "absent", true);
}

struct json *listing_next(const struct json *was, struct json *found)
{
    const struct json *old = json_get(was, "members");
    const struct json **now, **before;
    struct json *next, *members;
    size_t nnow, nbefore, b = 0;

    if (json_len(found) == 0 && json_len(old) > 0) {
        json_free(found);
        next = json_copy(was);
        json_set_bool(next, "empty", true);
        return next;
    }
    next = json_new_map();
    members = json_set(next, "members", json_new_list());
    now = sorted(found, &nnow);
    before = sorted(old, &nbefore);
    for (size_t n = 0; n < nnow; n++) {
        if (n > 0 && strcmp(name_of(now[n - 1]), name_of(now[n])) == 0)
            continue; /* on two pages: the list changed while it was read */
        for (; b < nbefore && strcmp(name_of(before[b]), name_of(now[n])) < 0; b++)
            keep_absent(members, before[b]);
        if (b < nbefore && strcmp(name_of(before[b]), name_of(now[n])) == 0)
            b++;
        json_add(members, json_copy(now[n]));
    }
    for (; b < nbefore; b++)
        keep_absent(members, before[b]);
    mem_free(now);
    mem_free(before);
    json_free(found);
    return next;
}

bool listing_same(const struct json *row, const struct json *other)
{
    static const char *const what[] = {"kind", "aws", "tag"};

    for (size_t i = 0; i < sizeof(what) / sizeof(*what); i++) {
        if (!json_equal(json_get(row, what[i]), json_get(other, what[i])))
            return false;
    }
    return true;
}

size_t listing_count(const struct json *listing)
{
    size_t n = 0;

    if (json_get_bool(listing, "empty", false))
        return 0;
    for (const struct json *m = json_first(json_get(listing, "members")); m != NULL;
         m = json_next(m))
        n += !json_get_bool(m, "absent", false);
    return n;
}

/* The fields as the kind holds them: what the listing told, what the row says for all of it, and
 * the fallbacks. */
static struct json *fields_of(const struct target_kind *k, const struct json *member,
                              const struct json *row)
{
    struct json *fields = json_copy(json_get(member, "fields"));

    for (size_t i = 0; i < k->noptions; i++) {
        const char *name = k->options[i].name;

        if (json_get(row, name) != NULL && json_get(fields, name) == NULL)
            json_set(fields, name, json_copy(json_get(row, name)));
    }
    option_defaults(k->options, k->noptions, fields);
    return fields;
}

static void add_member(struct estate *e, const struct target_kind *k, const struct json *m,
                       const struct json *row, enum listed listed)
{
    int given = mode_parse(json_get_str(row, "mode", NULL));
    enum mode mode = given < 0 ? MODE_ENFORCE : (enum mode)given;
    const struct target *there = estate_find(e, k->name, name_of(m));
    struct err err = ERR_INIT;

    if (there != NULL) {
        if (there->found) {
            estate_lower(e, k->name, name_of(m), mode);
            estate_found(e, k->name, name_of(m), listed < there->listed ? listed : there->listed);
        }
        return;
    }
    if (estate_add(e, k->name, name_of(m), json_copy(json_get(m, "tag")), fields_of(k, m, row),
                   mode, json_get_str(row, "file", NULL), (int)json_get_int(row, "line", 0),
                   &err) == 0)
        estate_found(e, k->name, name_of(m), listed);
}

void listing_add(struct estate *e, const struct json *listing, const struct json *row, bool unsure)
{
    const struct target_kind *k = target_kind_find(json_get_str(row, "kind", ""));
    bool empty = json_get_bool(listing, "empty", false);

    for (const struct json *m = json_first(json_get(listing, "members")); k != NULL && m != NULL;
         m = json_next(m))
        add_member(e, k, m, row,
                   unsure                              ? LISTED_UNSURE
                   : empty                             ? LISTED_EMPTY
                   : json_get_bool(m, "absent", false) ? LISTED_ABSENT
                                                       : LISTED);
}
