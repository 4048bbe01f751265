/* Each allocation in turn fails, once or for good, while documents are read, built and printed: the
 * work is done whole or the process ends in order; it never crashes and never loses a part in
 * silence. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/xml.h"
#include "check.h"

static int tries, fail_at;
static bool for_good;

static bool fail_nth(size_t size)
{
    (void)size;
    tries++;
    return tries == fail_at || (for_good && tries > fail_at);
}

static const char json_text[] = "{\"b\":[1,2.5,{\"x\":null,\"y\":\"\\u20ac and a text that is "
                                "longer than the others\"}],\"a\":{\"k\":true,\"j\":[]},"
                                "\"c\":\"\xc3\xa9\",\"d\":[[[[]]]]}";
static const char json_canonical[] = "{\"a\":{\"j\":[],\"k\":true},\"b\":[1,2.5,{\"x\":null,\"y\":"
                                     "\"\xe2\x82\xac and a text that is longer "
                                     "than the others\"}],\"c\":\"\xc3\xa9\",\"d\":[[[[]]]]}";

static bool parse_json(void)
{
    struct err e = ERR_INIT;
    struct json *j = json_parse(json_text, sizeof(json_text) - 1, 1000, &e);
    if (j == NULL)
        return false;
    struct json *copy = json_copy(j);
    char *text = json_print_canonical(copy), *pretty = json_print_pretty(j);
    struct json *back = json_parse(pretty, strlen(pretty), 1000, &e);
    bool ok = strcmp(text, json_canonical) == 0 && back != NULL && json_equal(back, j);
    mem_free(text);
    mem_free(pretty);
    json_free(back);
    json_free(copy);
    json_free(j);
    return ok;
}

static bool build_json(void)
{
    struct json *j = json_new_map();
    json_set_str(j, "s", "bad \xff text");
    json_set_strf(j, "f", "%d", 5);
    json_set_int(j, "i", 7);
    json_set_num(j, "n", 0.5);
    json_set_bool(j, "t", true);
    struct json *l = json_set(j, "l", json_new_list());
    json_add(l, json_new_null());
    json_add(l, json_new_str("x"));
    json_set_str(j, "i", "replaced");
    json_remove(j, "t");
    char *text = json_print(j);
    bool ok =
        strcmp(text, "{\"s\":\"bad \xef\xbf\xbd "
                     "text\",\"f\":\"5\",\"i\":\"replaced\",\"n\":0.5,\"l\":[null,\"x\"]}") == 0;
    mem_free(text);
    json_free(j);
    return ok;
}

static bool refuse_json(void)
{
    struct err e = ERR_INIT;
    return json_parse("{\"a\":1,\"b\":{\"a\":2},\"a\":3}", 25, 100, &e) == NULL &&
           e.code == ERR_INPUT;
}

static bool parse_xml(void)
{
    static const char text[] = "<?xml version=\"1.0\"?><n:a xmlns:n=\"u\" at=\"1\"><b>one &amp; "
                               "two</b><b>three<c/> four</b><d><e><f>5</f></e></d></n:a>";
    struct err e = ERR_INIT;
    struct xml *x = xml_parse(text, sizeof(text) - 1, 1000, &e);
    bool ok = x != NULL && xml_count(x, NULL) == 3 &&
              strcmp(xml_path_text(x, "b", ""), "one & two") == 0 &&
              strcmp(xml_text(xml_next(xml_child(x, "b"), "b"), ""), "three four") == 0 &&
              strcmp(xml_path_text(x, "d/e/f", ""), "5") == 0;
    xml_free(x);
    return ok;
}

static bool refuse_xml(void)
{
    struct err e = ERR_INIT;
    return xml_parse("<a><b>x</b>", 11, 100, &e) == NULL && e.code == ERR_INPUT;
}

static bool others(void)
{
    struct buf b;
    char *coded = base64_encode("abcdef", 6), *text;
    struct arena *a = arena_new();
    buf_init(&b, 100000);
    for (int i = 0; i < 1000; i++)
        buf_addf(&b, "%03d", i);
    for (int i = 0; i < 100; i++)
        arena_printf(a, "%0500d", i);
    text = buf_take(&b);
    bool ok = !b.overflow && strlen(text) == 3000 && strcmp(coded, "YWJjZGVm") == 0;
    mem_free(text);
    mem_free(coded);
    arena_free(a);
    return ok;
}

/* The exit status of a child in which the nth try fails: 0 done whole, 1 done wrong, 2 done and the
 * hook was never reached. */
static int run(bool (*work)(void), int nth, bool all)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        tries = 0;
        fail_at = nth;
        for_good = all;
        mem_set_fail_hook(fail_nth);
        bool ok = work();
        _exit(!ok ? 1 : tries < nth ? 2 : 0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status))
        fail_msg("allocation %d: signal %d", nth, WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void every_allocation(const char *name, bool (*work)(void), int least)
{
    int nth, status = 0;

    for (nth = 1; nth < 2000; nth++) {
        status = run(work, nth, false);
        if (status == 2)
            break;
        if (status != 0) /* one failure: the second try has it */
            fail_msg("%s: allocation %d failed once: status %d", name, nth, status);
        status = run(work, nth, true);
        if (status != MEM_EXIT_CODE)
            fail_msg("%s: allocations from %d on failed: status %d", name, nth, status);
    }
    assert_int_equal(status, 2);
    if (nth <= least)
        fail_msg("%s: only %d allocations were seen: is the library's memory hooked?", name,
                 nth - 1);
}

static void reading_json(void **state)
{
    (void)state;
    every_allocation("parse_json", parse_json, 80);
}

static void building_json(void **state)
{
    (void)state;
    every_allocation("build_json", build_json, 20);
}

static void refusing_json(void **state)
{
    (void)state;
    every_allocation("refuse_json", refuse_json, 8);
}

static void reading_xml(void **state)
{
    (void)state;
    every_allocation("parse_xml", parse_xml, 15);
}

static void refusing_xml(void **state)
{
    (void)state;
    every_allocation("refuse_xml", refuse_xml, 8);
}

static void the_rest(void **state)
{
    (void)state;
    every_allocation("others", others, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_json),  cmocka_unit_test(building_json),
        cmocka_unit_test(refusing_json), cmocka_unit_test(reading_xml),
        cmocka_unit_test(refusing_xml),  cmocka_unit_test(the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
