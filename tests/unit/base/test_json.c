/* Parsing by the letter, reading, building and printing of JSON values. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "check.h"

static struct json *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct json *j = json_parse(text, strlen(text), 1 << 20, &e);

    if (j == NULL)
        fail_msg("%s: %s", text, e.text);
    return j;
}

static void assert_prints(const struct json *j, const char *expected)
{
    char *text = json_print(j);

    assert_string_equal(text, expected);
    mem_free(text);
}

static void valid_texts_are_read(void **state)
{
    static const struct {
        const char *in, *out;
    } table[] = {
        {"null", "null"},
        {" true\n", "true"},
        {"\tfalse\r", "false"},
        {"0", "0"},
        {"-0", "0"},
        {"-12", "-12"},
        {"1.5e3", "1500"},
        {"1E-2", "0.01"},
        {"0.1", "0.1"},
        {"9007199254740992", "9007199254740992"},
        {"-9007199254740991", "-9007199254740991"},
        {"1e300", "1e+300"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"5e-324", "4.94065645841247e-324"},
        {"\"\"", "\"\""},
        {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"a\\\"\\\\/\\u0008\\u000c\\n\\r\\t\""},
        {"\"\\u00e9\\u20ac\\ud83d\\ude00\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\""},
        {"\"\x7f\"", "\"\x7f\""},
        {"[]", "[]"},
        {"{}", "{}"},
        {"[ ]", "[]"},
        {"{ }", "{}"},
        {"[1,[2,[]],{}]", "[1,[2,[]],{}]"},
        {"{\"b\":1,\"a\":{\"b\":[true,null]},\"\":2}",
         "{\"b\":1,\"a\":{\"b\":[true,null]},\"\":2}"},
        {"{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}"},
        {"[{\"a\":1},{\"a\":1}]", "[{\"a\":1},{\"a\":1}]"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct json *j = parse(table[i].in);
        assert_prints(j, table[i].out);
        json_free(j);
    }
}

static void invalid_texts_are_refused_with_a_place(void **state)
{
    static const struct {
        const char *in;
        int code;
        const char *said;
    } table[] = {
        {"", ERR_INPUT, "1:1: expected a value"},
        {" \n ", ERR_INPUT, "2:2"},
        {"nul", ERR_INPUT, "1:1"},
        {"nulll", ERR_INPUT, "1:5: expected nothing after the value, found 'l'"},
        {"True", ERR_INPUT, "1:1"},
        {"1 2", ERR_INPUT, "1:3: expected nothing after"},
        {"{} x", ERR_INPUT, "1:4"},
        {"[1,]", ERR_INPUT, "1:4: expected a value"},
        {"[,1]", ERR_INPUT, "1:2"},
        {"[1 2]", ERR_INPUT, "1:4: expected ',' or ']'"},
        {"[1", ERR_INPUT, "1:3: expected ',' or ']' after an item, found the end"},
        {"[1}", ERR_INPUT, "1:3"},
        {"{\"a\":1,}", ERR_INPUT, "1:8: expected a key"},
        {"{a:1}", ERR_INPUT, "1:2: expected a key in double quotes"},
        {"{'a':1}", ERR_INPUT, "1:2"},
        {"{\"a\" 1}", ERR_INPUT, "1:6: expected ':'"},
        {"{\"a\":}", ERR_INPUT, "1:6"},
        {"{\"a\":1", ERR_INPUT, "1:7: expected ',' or '}'"},
        {"{\n \"a\": 1,\n \"\xc3\xa9\": tru\n}", ERR_INPUT, "3:7"},
        {"{\n \"a\": 1,\n \"b\": 2, \"a\": 3\n}", ERR_INPUT,
         "3:10: this key is in the same map twice"},
        {"{\"x\":[{\"a\":1,\"b\":{\"c\":1,\"d\":2,\"c\":3}}],\"x\":1}", ERR_INPUT,
         "1:31: this key"},
        {"{\"a\":1,\"\\u0061\":2}", ERR_INPUT, "1:8: this key"},
        {"\"abc", ERR_INPUT, "1:1: this string has no end"},
        {"\"a\nb\"", ERR_INPUT, "1:3: a control character"},
        {"\"a\tb\"", ERR_INPUT, "1:3"},
        {"\"\\x\"", ERR_INPUT, "1:3: expected one of"},
        {"\"\\u12g4\"", ERR_INPUT, "1:6: expected four hex"},
        {"\"\\u0000\"", ERR_INPUT, "1:2: a string must not contain NUL"},
        {"{\"\\u0000\":1}", ERR_INPUT, "1:3: a string must not contain NUL"},
        {"\"\\ud800\"", ERR_INPUT, "1:2: the first half"},
        {"\"\\ud800\\u0041\"", ERR_INPUT, "1:2: the first half"},
        {"\"\\udc00\"", ERR_INPUT, "1:2: the second half"},
        {"\"\xff\"", ERR_INPUT, "1:2: not UTF-8"},
        {"\"\xc0\x80\"", ERR_INPUT, "1:2: not UTF-8"},
        {"\"\xed\xa0\x80\"", ERR_INPUT, "1:2: not UTF-8"},
        {"\"\xc3", ERR_INPUT, "1:2: not UTF-8"},
        {"\xef\xbb\xbf{}", ERR_INPUT, "1:1: expected a value"},
        {"01", ERR_INPUT, "1:1: a number must not start with zeros"},
        {"-", ERR_INPUT, "1:2: expected a digit"},
        {"+1", ERR_INPUT, "1:1"},
        {".5", ERR_INPUT, "1:1"},
        {"1.", ERR_INPUT, "1:3: expected a digit"},
        {"1e", ERR_INPUT, "1:3: expected a digit"},
        {"1e+", ERR_INPUT, "1:4"},
        {"0x10", ERR_INPUT, "1:2"},
        {"NaN", ERR_INPUT, "1:1"},
        {"Infinity", ERR_INPUT, "1:1"},
        {"-Infinity", ERR_INPUT, "1:2"},
        {"1e999", ERR_LIMIT, "1:1: a number too large"},
        {"[1,-1e999]", ERR_LIMIT, "1:4: a number too large"},
        {"1000000000000000000000000000000000000000000000000000000000000000", ERR_LIMIT,
         "more than 60 characters"},
        {"// c\n1", ERR_INPUT, "1:1"},
        {"\x01", ERR_INPUT, "1:1: expected a value"},
        {"[1]\x0b", ERR_INPUT, "found byte 0x0b"},
        {"]", ERR_INPUT, "1:1"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct err e = ERR_INIT;
        struct json *j = json_parse(table[i].in, strlen(table[i].in), 1 << 20, &e);
        if (j != NULL || e.code != table[i].code || strstr(e.text, table[i].said) == NULL)
            fail_msg("%s: %s, code %d, \"%s\", expected \"%s\"", table[i].in,
                     j ? "accepted" : "refused", e.code, e.text, table[i].said);
    }
    struct err e = ERR_INIT;
    assert_null(json_parse("1\0", 2, 100, &e)); /* NUL is no end */
    assert_non_null(strstr(e.text, "1:2"));
    assert_null(json_parse("x", 1, 100, NULL));
}

static void limits_hold(void **state)
{
    char text[200];
    struct err e = ERR_INIT;
    (void)state;
    for (int maps = 0; maps <= 1; maps++) {
        for (int depth = 64; depth <= 65; depth++) {
            struct json *list = NULL;
            char *big = mem_alloc(1000);
            for (int i = 0; i < depth; i++)
                strcat(big, maps ? "{\"a\":" : "[");
            strcat(big, "1");
            for (int i = 0; i < depth; i++)
                strcat(big, maps ? "}" : "]");
            list = json_parse(big, strlen(big), 1000, &e);
            assert_int_equal(list != NULL, depth == 64);
            json_free(list);
            mem_free(big);
            if (depth == 65) {
                assert_int_equal(e.code, ERR_LIMIT);
                assert_non_null(strstr(e.text, "more than 64 deep"));
            }
        }
    }
    snprintf(text, sizeof(text), "[1,2,3]");
    struct json *j = json_parse(text, 7, 7, &e);
    assert_non_null(j);
    json_free(j);
    assert_null(json_parse(text, 7, 6, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    char *bounded = mem_alloc(3); /* the text has no NUL and nothing may be read behind it */
    memcpy(bounded, "[1]", 3);
    j = json_parse(bounded, 3, 3, &e);
    assert_int_equal(json_len(j), 1);
    json_free(j);
    memcpy(bounded, "123", 3);
    j = json_parse(bounded, 2, 3, &e);
    assert_int_equal(json_int(j, 0), 12);
    json_free(j);
    mem_free(bounded);
}

static void repeated_keys_are_found_in_large_maps_quickly(void **state)
{
    size_t max = 2000000, n = 0;
    char *text = mem_alloc(max);
    struct err e = ERR_INIT;
    (void)state;
    n += (size_t)sprintf(text + n, "{");
    for (int i = 0; i < 100000; i++)
        n += (size_t)sprintf(text + n, "\"k%d\":%d,", i, i);
    size_t end = n;
    n += (size_t)sprintf(text + n, "\"z\":1}");
    struct json *j = json_parse(text, n, max, &e);
    assert_non_null(j);
    struct json *copy = json_copy(j);
    assert_true(json_equal(j, copy));
    json_free(copy);
    json_free(j);
    n = end + (size_t)sprintf(text + end, "\"k50000\":1}");
    assert_null(json_parse(text, n, max, &e));
    assert_non_null(strstr(e.text, "twice"));
    mem_free(text);
}

static void reading_is_safe(void **state)
{
    struct json *j = parse("{\"s\":\"x\",\"n\":1.5,\"i\":42,\"t\":true,\"z\":null,\"l\":[1,2,3],"
                           "\"m\":{\"k\":\"v\"},\"big\":9007199254740994,"
                           "\"neg\":-3}");
    (void)state;
    assert_int_equal(json_type(j), JSON_MAP);
    assert_int_equal(json_type(NULL), JSON_NULL);
    assert_int_equal(json_type(json_get(j, "l")), JSON_LIST);
    assert_string_equal(json_get_str(j, "s", "?"), "x");
    assert_string_equal(json_get_str(j, "n", "?"), "?");
    assert_string_equal(json_get_str(j, "S", "?"), "?");
    assert_null(json_get_str(j, "none", NULL));
    assert_true(json_get_num(j, "n", 0) == 1.5);
    assert_true(json_get_num(j, "s", 7) == 7);
    assert_int_equal(json_get_int(j, "i", 0), 42);
    assert_int_equal(json_get_int(j, "neg", 0), -3);
    assert_int_equal(json_get_int(j, "n", -1), -1);
    assert_int_equal(json_get_int(j, "big", -1), -1);
    assert_int_equal(json_get_int(j, "s", -1), -1);
    assert_true(json_get_bool(j, "t", false));
    assert_true(json_get_bool(j, "i", true));
    assert_false(json_get_bool(j, "z", false));
    assert_int_equal(json_len(j), 9);
    assert_int_equal(json_len(json_get(j, "l")), 3);
    assert_int_equal(json_len(json_get(j, "s")), 0);
    assert_int_equal(json_int(json_at(json_get(j, "l"), 2), 0), 3);
    assert_null(json_at(json_get(j, "l"), 3));
    assert_null(json_at(j, 0));
    assert_string_equal(json_str(json_get(json_get(j, "m"), "k"), ""), "v");
    assert_null(json_get(json_get(json_get(j, "no"), "no"), "no"));
    assert_null(json_first(json_get(j, "z")));
    assert_null(json_next(NULL));
    assert_string_equal(json_key(json_first(j)), "s");
    assert_string_equal(json_key(json_next(json_first(j))), "n");
    assert_string_equal(json_key(j), "");
    json_free(j);
    json_free(NULL);
}

static void building_prints_what_was_set(void **state)
{
    struct json *j = json_new_map();
    (void)state;
    json_set_str(j, "s", "a\"b");
    json_set_str(j, "none", NULL);
    json_set_strf(j, "f", "%d-%s", 7, "x");
    json_set_num(j, "n", 0.1);
    json_set_num(j, "nan", NAN);
    json_set_num(j, "inf", -INFINITY);
    json_set_int(j, "i", 9007199254740991);
    json_set_int(j, "neg", -9007199254740992);
    json_set_bool(j, "b", true);
    struct json *l = json_set(j, "l", json_new_list());
    json_add(l, json_new_num(1e15));
    json_add(l, json_new_bool(false));
    json_add(l, NULL);
    assert_prints(j, "{\"s\":\"a\\\"b\",\"none\":null,\"f\":\"7-x\",\"n\":0.1,\"nan\":null,\"inf\":"
                     "null,\"i\":9007199254740991,"
                     "\"neg\":-9007199254740992,\"b\":true,\"l\":[1000000000000000,false,null]}");
    assert_int_equal(json_get_int(j, "i", 0), 9007199254740991);
    assert_int_equal(json_get_int(j, "neg", 0), -9007199254740992);
    json_free(j);

    j = json_new_map();
    json_set_int(j, "a", 1);
    json_set_int(j, "b", 2);
    json_set_int(j, "c", 3);
    json_set_str(j, "a", "new"); /* in the same place: first, middle, last */
    json_set(j, "b", json_new_list());
    json_set_bool(j, "c", true);
    assert_prints(j, "{\"a\":\"new\",\"b\":[],\"c\":true}");
    json_add(json_get_mut(j, "b"), json_new_str("x"));
    json_remove(j, "a");
    json_remove(j, "a");
    json_set_int(j, "d", 4);
    assert_prints(j, "{\"b\":[\"x\"],\"c\":true,\"d\":4}");
    json_remove(j, "d");
    json_remove(j, "b");
    json_remove(j, "c");
    assert_prints(j, "{}");
    json_set_int(j, "A", 1);
    json_set_int(j, "a", 2);
    assert_prints(j, "{\"A\":1,\"a\":2}");
    json_free(j);
}

static void bad_utf8_is_replaced_when_building(void **state)
{
    struct json *j = json_new_map();
    (void)state;
    json_set_str(j, "k\xff", "a\xff\xc3(\xe2\x82");
    assert_prints(j, "{\"k\xef\xbf\xbd\":\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\"}");
    char *text = json_print(j);
    struct json *back = parse(text);
    assert_true(json_equal(j, back));
    mem_free(text);
    json_free(back);
    json_free(j);
}

static void canonical_is_sorted_bytewise(void **state)
{
    struct json *j = parse("{\"b\":1,\"\xc3\xa9\":2,\"a\":{\"z\":[{\"d\":1,\"c\":2}],\"B\":0},"
                           "\"Z\":3,\"\":4,\"aa\":5}");
    struct json *k = parse("{\"aa\":5,\"\":4,\"Z\":3,\"a\":{\"B\":0,\"z\":[{\"c\":2,\"d\":1}]},"
                           "\"\xc3\xa9\":2,\"b\":1}");
    char *a = json_print_canonical(j), *b = json_print_canonical(k);
    (void)state;
    assert_string_equal(a, "{\"\":4,\"Z\":3,\"a\":{\"B\":0,\"z\":[{\"c\":2,\"d\":1}]},\"aa\":5,"
                           "\"b\":1,\"\xc3\xa9\":2}");
    assert_string_equal(a, b);
    assert_true(json_equal(j, k));
    mem_free(a);
    mem_free(b);
    json_free(j);
    json_free(k);
}

static void pretty_is_indented(void **state)
{
    struct json *j = parse("{\"a\":[1,{\"b\":[]}],\"c\":{}}");
    char *text = json_print_pretty(j);
    (void)state;
    assert_string_equal(
        text, "{\n  \"a\": [\n    1,\n    {\n      \"b\": []\n    }\n  ],\n  \"c\": {}\n}");
    mem_free(text);
    json_free(j);
}

static void equality(void **state)
{
    static const char *const values[] = {
        "null",      "true",        "false",     "0",
        "1",         "\"\"",        "\"1\"",     "[]",
        "[1]",       "[1,2]",       "[2,1]",     "{}",
        "{\"a\":1}", "{\"b\":1}",   "{\"a\":2}", "{\"a\":1,\"b\":2}",
        "[null]",    "{\"a\":null}"};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        for (size_t k = 0; k < COUNT(values); k++) {
            struct json *a = parse(values[i]), *b = parse(values[k]);
            if (json_equal(a, b) != (i == k))
                fail_msg("%s and %s", values[i], values[k]);
            json_free(a);
            json_free(b);
        }
    }
    assert_true(json_equal(NULL, NULL));
}

static void doubles_read_back_the_same(void **state)
{
    uint64_t x = 88172645463325252u;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        double v;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(&v, &x, sizeof(v));
        if (!isfinite(v))
            continue;
        struct json *j = json_new_num(v);
        char *text = json_print(j);
        struct json *back = parse(text);
        assert_true(json_num(back, 0) == v);
        mem_free(text);
        json_free(back);
        json_free(j);
    }
}

static void copies_stand_alone(void **state)
{
    struct json *j = parse("{\"a\":{\"b\":[1,2]}}");
    struct json *copy = json_copy(json_get(j, "a")), *list = json_new_list();
    (void)state;
    json_free(j);
    json_add(list, copy);
    json_add(list, json_copy(NULL));
    assert_prints(list, "[{\"b\":[1,2]},null]");
    json_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts_are_read),
        cmocka_unit_test(invalid_texts_are_refused_with_a_place),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(repeated_keys_are_found_in_large_maps_quickly),
        cmocka_unit_test(reading_is_safe),
        cmocka_unit_test(building_prints_what_was_set),
        cmocka_unit_test(bad_utf8_is_replaced_when_building),
        cmocka_unit_test(canonical_is_sorted_bytewise),
        cmocka_unit_test(pretty_is_indented),
        cmocka_unit_test(equality),
        cmocka_unit_test(doubles_read_back_the_same),
        cmocka_unit_test(copies_stand_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
