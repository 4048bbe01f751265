/* Buffers below their ceiling, errors on one line, UTF-8 to the letter. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "check.h"

static void buffers_grow_to_their_ceiling(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 10);
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_adds(&b, "12345"), 0);
    assert_int_equal(buf_addf(&b, "%d", 6789), 0);
    assert_int_equal(buf_addc(&b, '0'), 0);
    assert_string_equal(buf_str(&b), "1234567890");
    assert_false(b.overflow);
    assert_int_equal(buf_addc(&b, 'x'), ERR_LIMIT);
    assert_true(b.overflow);
    assert_string_equal(buf_str(&b), "1234567890");
    buf_reset(&b);
    assert_false(b.overflow);
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_addf(&b, "%s", "12345678901"), ERR_LIMIT);
    assert_string_equal(buf_str(&b), "");           /* nothing of it */
    assert_int_equal(buf_addc(&b, 'x'), ERR_LIMIT); /* and nothing after the hole */
    assert_string_equal(buf_str(&b), "");
    char *s = buf_take(&b);
    assert_string_equal(s, "");
    mem_free(s);
    assert_int_equal(buf_add(&b, "a\0b", 3), 0);
    assert_int_equal(b.len, 3);
    s = buf_take(&b);
    assert_memory_equal(s, "a\0b", 4);
    mem_free(s);
    assert_int_equal(b.len, 0);
    s = buf_take(&b);
    assert_string_equal(s, "");
    mem_free(s);
    buf_free(&b);
    buf_free(&b);
}

static void a_ceiling_of_any_size_works(void **state)
{
    struct buf b;
    (void)state;
    buf_init(&b, 0);
    assert_int_equal(buf_add(&b, NULL, 0), 0);
    assert_int_equal(buf_adds(&b, "x"), ERR_LIMIT);
    buf_free(&b);
    buf_init(&b, SIZE_MAX);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf_addf(&b, "%d,", i), 0);
    assert_int_equal(b.len, 588890);
    assert_int_equal(strlen(b.data), b.len);
    buf_free(&b);
}

static void errors_are_one_whole_line(void **state)
{
    struct err e = ERR_INIT;
    char longer[2000];
    (void)state;
    errno = EPERM;
    assert_int_equal(err_set(&e, ERR_IO, "cannot read %s: %m", "a\nb\x7f"), ERR_IO);
    assert_int_equal(errno, EPERM);
    assert_int_equal(e.code, ERR_IO);
    assert_string_equal(e.text, "cannot read a b : Operation not permitted");
    assert_int_equal(err_wrap(&e, "loading %d", 5), ERR_IO);
    assert_string_equal(e.text, "loading 5: cannot read a b : Operation not permitted");
    assert_int_equal(err_set(&e, ERR_INPUT, "again: %s", e.text),
                     ERR_INPUT); /* its own text as an argument */
    assert_string_equal(e.text, "again: loading 5: cannot read a b : Operation not permitted");
    assert_int_equal(err_set(NULL, ERR_AUTH, "x"), ERR_AUTH);
    assert_int_equal(err_wrap(NULL, "x"), ERR_BUG);
    assert_int_equal(err_set(&e, ERR_OK, "x"), ERR_BUG); /* an error is never success */
    e.code = 0;
    assert_int_equal(err_wrap(&e, "x"), ERR_BUG);

    for (size_t cut = 0; cut < 3; cut++) { /* the cut falls on every byte of a character */
        memset(longer, 'x', cut);
        for (size_t i = cut; i + 3 < sizeof(longer); i += 3)
            memcpy(longer + i, "\xe2\x82\xac", 4);
        err_set(&e, ERR_INPUT, "%s", longer);
        size_t len = strlen(e.text);
        assert_true(len > sizeof(e.text) - 5 && len < sizeof(e.text));
        assert_string_equal(e.text + len - 3, "...");
        for (size_t i = 0, n; i < len; i += n) {
            uint32_t cp;
            n = utf8_next(e.text + i, len - i, &cp);
            assert_true(n > 0);
        }
        err_wrap(&e, "outer");
        assert_memory_equal(e.text, "outer: ", 7);
        assert_true(strlen(e.text) < sizeof(e.text));
        assert_string_equal(e.text + strlen(e.text) - 3, "...");
    }
    memset(longer, 'y', sizeof(e.text) - 1);
    longer[sizeof(e.text) - 1] = '\0';
    err_set(&e, ERR_INPUT, "%s", longer); /* exactly full is not cut */
    assert_string_equal(e.text, longer);
}

static void codes_have_names(void **state)
{
    (void)state;
    assert_string_equal(err_name(ERR_OK), "ok");
    for (int code = ERR_INPUT; code >= ERR_BUG; code--) {
        assert_string_not_equal(err_name(code), "unknown");
        for (int other = code - 1; other >= ERR_BUG; other--)
            assert_string_not_equal(err_name(code), err_name(other));
    }
    assert_string_equal(err_name(-100), "unknown");
}

static void utf8_is_strict(void **state)
{
    static const struct {
        const char *s;
        size_t n, len;
        uint32_t cp;
    } table[] = {
        {"a", 1, 1, 'a'},
        {"", 1, 1, 0},
        {"\xc2\x80", 2, 2, 0x80},
        {"\xdf\xbf", 2, 2, 0x7ff},
        {"\xe0\xa0\x80", 3, 3, 0x800},
        {"\xed\x9f\xbf", 3, 3, 0xd7ff},
        {"\xee\x80\x80", 3, 3, 0xe000},
        {"\xef\xbf\xbf", 3, 3, 0xffff},
        {"\xf0\x90\x80\x80", 4, 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff},
        {"a", 0, 0, 0},
        {"\x80", 1, 0, 0},
        {"\xc0\x80", 2, 0, 0},
        {"\xc1\xbf", 2, 0, 0},
        {"\xc2", 1, 0, 0},
        {"\xc2\x80", 1, 0, 0},
        {"\xc2 ", 2, 0, 0},
        {"\xe0\x9f\xbf", 3, 0, 0},
        {"\xed\xa0\x80", 3, 0, 0},
        {"\xed\xbf\xbf", 3, 0, 0},
        {"\xe2\x82", 2, 0, 0},
        {"\xf0\x8f\xbf\xbf", 4, 0, 0},
        {"\xf4\x90\x80\x80", 4, 0, 0},
        {"\xf8\x88\x80\x80\x80", 5, 0, 0},
        {"\xff", 1, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        uint32_t cp = 0;
        size_t len = utf8_next(table[i].s, table[i].n, &cp);
        if (len != table[i].len || (len > 0 && cp != table[i].cp))
            fail_msg("row %zu: %zu bytes, U+%04x", i, len, (unsigned)cp);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffers_grow_to_their_ceiling),
        cmocka_unit_test(a_ceiling_of_any_size_works),
        cmocka_unit_test(errors_are_one_whole_line),
        cmocka_unit_test(codes_have_names),
        cmocka_unit_test(utf8_is_strict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
