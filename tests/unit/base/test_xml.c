/* XML answers: the tree, what is refused and where, the caps, the time a large answer takes. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/xml.h"
#include "check.h"

static struct xml *parse(const char *text)
{
    struct err e = ERR_INIT;
    struct xml *x = xml_parse(text, strlen(text), 1 << 20, &e);

    if (x == NULL)
        fail_msg("%s: %s", text, e.text);
    return x;
}

static void an_answer_becomes_a_tree(void **state)
{
    struct xml *x =
        parse("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- c -->\n"
              "<ns:Answer xmlns:ns=\"http://x/\" xmlns=\"http://y/\" a=\"b\">\n"
              "  <Result>\n    <Items><member>1</member><ns:member> two &amp; &lt;3&gt; "
              "</ns:member><other/>"
              "<member><![CDATA[ <raw> ]]></member></Items>\n"
              "    <Mixed> a <b>x</b> c <!-- d --> e </Mixed>\n"
              "    <Empty></Empty><Space> \n\t </Space><Chars>&#x20AC;&#65;\xc3\xa9</Chars>\n"
              "  </Result>\n  <Meta><Id>abc-1</Id></Meta>\n</ns:Answer>\n<?pi x?>");
    (void)state;
    assert_string_equal(xml_name(x), "Answer");
    assert_string_equal(xml_text(x, "?"), "");
    const struct xml *items = xml_path(x, "Result/Items");
    assert_int_equal(xml_count(items, "member"), 3);
    assert_int_equal(xml_count(items, NULL), 4);
    const struct xml *m = xml_child(items, "member");
    assert_string_equal(xml_text(m, "?"), "1");
    m = xml_next(m, "member");
    assert_string_equal(xml_text(m, "?"), "two & <3>");
    assert_string_equal(xml_name(xml_next(m, NULL)), "other");
    m = xml_next(m, "member");
    assert_string_equal(xml_text(m, "?"), "<raw>");
    assert_null(xml_next(m, "member"));
    assert_string_equal(xml_path_text(x, "Result/Mixed", "?"), "a  c  e");
    assert_string_equal(xml_path_text(x, "Result/Mixed/b", "?"), "x");
    assert_string_equal(xml_path_text(x, "Result/Empty", "?"), "");
    assert_string_equal(xml_path_text(x, "Result/Space", "?"), "");
    assert_string_equal(xml_path_text(x, "Result/Chars", "?"), "\xe2\x82\xac"
                                                               "A"
                                                               "\xc3\xa9");
    assert_string_equal(xml_path_text(x, "Meta/Id", "?"), "abc-1");
    assert_string_equal(xml_path_text(x, "Meta/Id/No", "?"), "?");
    assert_string_equal(xml_path_text(x, "Meta/I", "?"), "?");
    assert_string_equal(xml_path_text(x, "Meta/Idx", "?"), "?");
    assert_null(xml_path(x, "no/no/no"));
    assert_ptr_equal(xml_path(x, ""), x);
    assert_null(xml_child(NULL, "a"));
    assert_null(xml_next(NULL, "a"));
    assert_null(xml_path(NULL, "a"));
    assert_null(xml_text(NULL, NULL));
    assert_string_equal(xml_name(NULL), "");
    assert_int_equal(xml_count(NULL, NULL), 0);
    xml_free(x);
    xml_free(NULL);

    x = parse("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9\xe9\xe9\xe9\xe9\xe9</a>");
    assert_string_equal(xml_text(x, "?"), "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9");
    xml_free(x);
    struct buf latin; /* grows to twice its length */
    buf_init(&latin, 2000);
    buf_adds(&latin, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>");
    for (int i = 0; i < 1000; i++)
        buf_addc(&latin, '\xe9');
    buf_adds(&latin, "</a>");
    x = parse(buf_str(&latin));
    assert_int_equal(strlen(xml_text(x, "?")), 2000);
    xml_free(x);
    buf_free(&latin);
}

static void bad_answers_are_refused_with_a_place(void **state)
{
    static const struct {
        const char *in;
        int code;
        const char *said;
    } table[] = {
        {"", ERR_INPUT, "1:1: no element found"},
        {"hello", ERR_INPUT, "1:1"},
        {"<a>", ERR_INPUT, "no element found"},
        {"<a>\n  <b>\n</a>", ERR_INPUT, "3:3: mismatched tag"},
        {"<a></a><b/>", ERR_INPUT, "1:8: junk after"},
        {"<a>&nbsp;</a>", ERR_INPUT, "1:4: undefined entity"},
        {"<a>\xff</a>", ERR_INPUT, "1:4"},
        {"<a>&#0;</a>", ERR_INPUT, "1:4"},
        {"<a>\x01</a>", ERR_INPUT, "1:4"},
        {"<a b=\"1\" b=\"2\"/>", ERR_INPUT, "duplicate attribute"},
        {"<!DOCTYPE a><a/>", ERR_INPUT, "document type"},
        {"<!DOCTYPE html>\n<html><body>502<br></body></html>", ERR_INPUT, "document type"},
        {"<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>", ERR_INPUT, "document type"},
        {"<!DOCTYPE a [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;\"><!ENTITY "
         "c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><a>&c;</a>",
         ERR_INPUT, "document type"},
        {"<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>", ERR_INPUT, "document type"},
        {"<html><head><title>503</title></head><body><hr>x</body></html>", ERR_INPUT,
         "mismatched tag"},
        {"{\"message\":\"no\"}", ERR_INPUT, "1:1"},
        {"<?xml version=\"1.0\" encoding=\"x-none\"?><a/>", ERR_INPUT, "encoding"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(table); i++) {
        struct err e = ERR_INIT;
        struct xml *x = xml_parse(table[i].in, strlen(table[i].in), 1 << 20, &e);
        if (x != NULL || e.code != table[i].code || strstr(e.text, table[i].said) == NULL)
            fail_msg("%s: %s, code %d, \"%s\", expected \"%s\"", table[i].in,
                     x != NULL ? "accepted" : "refused", e.code, e.text, table[i].said);
    }
    assert_null(xml_parse("<", 1, 10, NULL));
}

static struct xml *nested(int depth, struct err *e)
{
    char text[400] = "";

    for (int i = 0; i < depth; i++)
        strcat(text, "<a>");
    strcat(text, "x");
    for (int i = 0; i < depth; i++)
        strcat(text, "</a>");
    return xml_parse(text, strlen(text), sizeof(text), e);
}

static struct xml *many(size_t elements, struct err *e)
{
    struct buf b;

    buf_init(&b, 4 << 20);
    buf_adds(&b, "<r>");
    for (size_t i = 1; i < elements; i++)
        buf_adds(&b, "<a/>");
    buf_adds(&b, "</r>");
    struct xml *x = xml_parse(buf_str(&b), b.len, b.max, e);
    buf_free(&b);
    return x;
}

static void limits_hold(void **state)
{
    struct err e = ERR_INIT;
    struct xml *x;
    (void)state;
    assert_non_null(x = nested(32, &e));
    xml_free(x);
    assert_null(nested(33, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    assert_string_equal(e.text, "refused XML at 1:97: elements more than 32 deep");
    assert_non_null(x = many(200000, &e));
    xml_free(x);
    assert_null(many(200001, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    assert_non_null(x = xml_parse("<a/>", 4, 4, &e));
    xml_free(x);
    assert_null(xml_parse("<a/>", 4, 3, &e));
    assert_int_equal(e.code, ERR_LIMIT);
    assert_non_null(strstr(e.text, "4 bytes"));
    char *bounded = mem_alloc(4); /* no NUL behind the text */
    memcpy(bounded, "<a/>", 4);
    assert_non_null(x = xml_parse(bounded, 4, 4, &e));
    xml_free(x);
    mem_free(bounded);
}

/* Every prefix of an answer that was cut off is an error, never half a tree. */
static void a_cut_answer_is_an_error(void **state)
{
    static const char text[] =
        "<?xml version=\"1.0\"?><a x=\"1\"><b>t&amp;</b><![CDATA[x]]><c/></a>";
    (void)state;
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        struct err e = ERR_INIT;
        assert_null(xml_parse(text, n, 1000, &e));
        assert_int_equal(e.code, ERR_INPUT);
    }
}

static void a_metric_answer_of_500_series_is_quick(void **state)
{
    struct buf b;
    struct err e = ERR_INIT;
    struct timespec from, to;
    double best = 1e9;
    (void)state;
    buf_init(&b, 4 << 20);
    buf_adds(&b, "<GetMetricDataResponse "
                 "xmlns=\"http://monitoring.amazonaws.com/doc/2010-08-01/"
                 "\">\n<GetMetricDataResult><MetricDataResults>");
    for (int i = 0; i < 500; i++) {
        buf_addf(&b,
                 "<member><Id>m%d</Id><Label>CPUUtilization</Label><StatusCode>Complete</"
                 "StatusCode><Timestamps>",
                 i);
        for (int k = 0; k < 5; k++)
            buf_addf(&b, "<member>2026-11-22T13:0%d:00Z</member>", k);
        buf_adds(&b, "</Timestamps><Values>");
        for (int k = 0; k < 5; k++)
            buf_addf(&b, "<member>%d.%d</member>", i, k);
        buf_adds(&b, "</Values></member>\n");
    }
    buf_adds(&b, "</MetricDataResults></GetMetricDataResult></GetMetricDataResponse>");
    for (int round = 0; round < 10; round++) {
        size_t values = 0;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
        struct xml *x = xml_parse(buf_str(&b), b.len, b.max, &e);
        assert_non_null(x);
        const struct xml *m =
            xml_child(xml_path(x, "GetMetricDataResult/MetricDataResults"), "member");
        for (; m != NULL; m = xml_next(m, "member"))
            values += xml_count(xml_path(m, "Values"), "member");
        assert_int_equal(values, 2500);
        xml_free(x);
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
        double ms =
            (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
        best = ms < best ? ms : best;
    }
    print_message("%zu bytes in %.2f ms\n", b.len, best);
    assert_true(best <
                50); /* about 2 as it should be; the margin is for sanitizers and a busy machine */
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_becomes_a_tree),
        cmocka_unit_test(bad_answers_are_refused_with_a_place),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(a_cut_answer_is_an_error),
        cmocka_unit_test(a_metric_answer_of_500_series_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
