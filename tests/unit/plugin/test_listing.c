/* Listings: what a complete one changes, when a member is gone, what an empty one is worth, and
 * which targets follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "plugin/listing.h"

/* "a b c" as an answer; the order of the words is the answer's. */
static struct json *answer(const char *names)
{
    struct json *list = json_new_list();
    char *text = mem_strdup(names), *at = text;

    for (char *name; (name = strsep(&at, " ")) != NULL;) {
        struct json *m;

        if (*name == '\0')
            continue;
        m = json_add(list, json_new_map());
        json_set_str(m, "name", name);
        json_set_str(json_set(m, "tag", json_new_map()), "team", "web");
        json_set_str(json_set(m, "fields", json_new_map()), "zone", "us-east-1a");
    }
    mem_free(text);
    return list;
}

/* Members as "a b- c": - is absent; "!" in front when the last listing is not believed. */
static void expect(const struct json *listing, const char *wanted)
{
    char text[256] = "";

    if (json_get_bool(listing, "empty", false))
        strcat(text, "!");
    for (const struct json *m = json_first(json_get(listing, "members")); m; m = json_next(m)) {
        if (strlen(text) > 0 && strcmp(text, "!") != 0)
            strcat(text, " ");
        strcat(text, json_get_str(m, "name", "?"));
        if (json_get_bool(m, "absent", false))
            strcat(text, "-");
    }
    assert_string_equal(text, wanted);
}

static void members_come_and_go(void **state)
{
    /* Each row: the answer of a complete listing, and what is known after it. */
    static const struct {
        const char *answer, *known;
        size_t count;
    } rows[] = {
        {"b a", "a b", 2},   {"a b", "a b", 2},   {"a", "a b-", 1},
        {"a c", "a c", 2},   {"c", "a- c", 1},    {"a c", "a c", 2}, /* back in time */
        {"c", "a- c", 1},    {"", "!a- c", 0},    {"", "!a- c", 0},  /* not believed, twice */
        {"c d d", "c d", 2}, {"e", "c- d- e", 1}, {"f", "e- f", 1},
        {"0 f", "0 f", 2},   {"z", "0- f- z", 1},
    };
    struct json *known = NULL;

    (void)state;
    for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
        struct json *next = listing_next(known, answer(rows[k].answer));

        expect(next, rows[k].known);
        assert_int_equal(listing_count(next), rows[k].count);
        json_free(known);
        known = next;
    }
    json_free(known);
}

static void empty_from_the_start_is_believed(void **state)
{
    struct json *first = listing_next(NULL, answer("")), *next;

    (void)state;
    expect(first, "");
    next = listing_next(first, answer(""));
    expect(next, "");
    assert_true(json_equal(first, next));
    json_free(first);
    json_free(next);
}

static void what_a_member_says_is_taken(void **state)
{
    struct json *was = listing_next(NULL, answer("a")), *found = answer("a"), *next;
    struct json *m = (struct json *)(uintptr_t)json_first(found);

    (void)state;
    json_set_str(json_get_mut(m, "fields"), "zone", "us-east-1b");
    next = listing_next(was, found);
    assert_false(json_equal(was, next));
    m = (struct json *)(uintptr_t)json_first(json_get(next, "members"));
    assert_string_equal(json_get_str(json_get(m, "fields"), "zone", ""), "us-east-1b");
    json_free(was);
    json_free(next);
}

static struct json *row(const char *mode)
{
    struct json *j = json_new_map();

    json_set_str(j, "kind", "asg");
    json_set_str(j, "aws", "prod");
    json_set_str(j, "mode", mode);
    json_set_bool(j, "detailed", false);
    json_set_str(j, "file", "estate.lua");
    json_set_int(j, "line", 3);
    return j;
}

static struct estate *declared(void)
{
    struct estate *e = estate_new();
    struct err err = ERR_INIT;
    struct json *fields = json_new_map();

    json_set_str(fields, "zone", "declared");
    assert_int_equal(
        estate_add(e, "asg", "b", json_new_map(), fields, MODE_SHADOW, "estate.lua", 1, &err), 0);
    return e;
}

static void targets_follow(void **state)
{
    struct json *was = listing_next(NULL, answer("a b c")),
                *next = listing_next(was, answer("a b")), *gone = listing_next(next, answer("")),
                *approve = row("approve"), *plain = row(NULL);
    const struct target *t;
    struct estate *e = declared();

    (void)state;
    listing_add(e, next, approve, false);
    assert_int_equal(estate_len(e), 3);
    t = estate_by_id(e, "asg/a");
    assert_true(t->found);
    assert_int_equal(t->mode, MODE_APPROVE);
    assert_int_equal(t->listed, LISTED);
    assert_int_equal(t->line, 3);
    assert_string_equal(json_get_str(t->fields, "aws", ""), "prod");
    assert_string_equal(json_get_str(t->fields, "zone", ""), "us-east-1a");
    assert_false(json_get_bool(t->fields, "detailed", true));
    assert_string_equal(json_get_str(t->tag, "team", ""), "web");
    t = estate_by_id(e, "asg/b"); /* what is declared wins */
    assert_false(t->found);
    assert_int_equal(t->mode, MODE_SHADOW);
    assert_string_equal(json_get_str(t->fields, "zone", ""), "declared");
    assert_int_equal(estate_by_id(e, "asg/c")->listed, LISTED_ABSENT);
    /* Another discover that finds the same: it is listed, and the lower mode holds. */
    listing_add(e, was, plain, false);
    assert_int_equal(estate_by_id(e, "asg/c")->listed, LISTED);
    assert_int_equal(estate_by_id(e, "asg/c")->mode, MODE_APPROVE);
    estate_unref(e);

    e = declared();
    listing_add(e, gone, plain, false);
    assert_int_equal(estate_by_id(e, "asg/a")->listed, LISTED_EMPTY);
    assert_int_equal(estate_by_id(e, "asg/a")->mode, MODE_ENFORCE);
    estate_unref(e);
    e = declared();
    listing_add(e, was, plain, true);
    assert_int_equal(estate_by_id(e, "asg/a")->listed, LISTED_UNSURE);
    assert_int_equal(estate_by_id(e, "asg/b")->listed, LISTED);
    estate_unref(e);
    json_free(was);
    json_free(next);
    json_free(gone);
    json_free(approve);
    json_free(plain);
}

static void rows_that_list_the_same(void **state)
{
    struct json *a = row("shadow"), *b = row("enforce");

    (void)state;
    assert_true(listing_same(a, b));
    json_set_str(json_set(b, "tag", json_new_map()), "team", "web");
    assert_false(listing_same(a, b));
    json_set_str(json_set(a, "tag", json_new_map()), "team", "web");
    assert_true(listing_same(a, b));
    json_set_str(a, "aws", "other");
    assert_false(listing_same(a, b));
    json_free(a);
    json_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_and_go),
        cmocka_unit_test(empty_from_the_start_is_believed),
        cmocka_unit_test(what_a_member_says_is_taken),
        cmocka_unit_test(targets_follow),
        cmocka_unit_test(rows_that_list_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
