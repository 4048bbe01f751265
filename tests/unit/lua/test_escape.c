/* Attempts to leave the sandbox, to stall it, to eat the memory, to make two runs differ. Each one
 * runs in a run function, between two steps; what it may end in is a fault or a harmless end,
 * within the time and the memory that a run has, and the state must be freed in order. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/mem.h"
#include "help_lua.h"

#if defined(__SANITIZE_ADDRESS__)
#define SLOWER 8
#else
#define SLOWER 1
#endif
#define CUT_MS (50 * SLOWER)

/* want: what the fault must say, or NULL: it ends with ASK_END, having done no harm. static:
 * refused already when the file is loaded. */
struct attempt {
    const char *text, *want;
    bool refused; /* at load, with this code or text */
};

static const struct attempt attempts[] = {
    /* names that are not there: each refused at load */
    {"os.execute('x')", "E102", true},
    {"io.open('/etc/passwd')", "E102", true},
    {"require 'os'", "E102", true},
    {"package.loadlib('x', 'y')", "E102", true},
    {"load('return 1')()", "E102", true},
    {"loadstring('x')", "E102", true},
    {"dofile '/etc/passwd'", "E102", true},
    {"loadfile '/etc/passwd'", "E102", true},
    {"debug.getregistry()", "E102", true},
    {"debug.sethook()", "E102", true},
    {"debug.setmetatable('', {})", "E102", true},
    {"getmetatable('').__index = nil", "E102", true},
    {"setmetatable({}, {})", "E102", true},
    {"setmetatable({}, { __gc = function() end })", "E102", true},
    {"rawset(string, 'format', nil)", "E102", true},
    {"rawget(sig, 'x')", "E102", true},
    {"rawequal(1, 2)", "E102", true},
    {"pcall(error)", "E102", true},
    {"xpcall(error, print)", "E102", true},
    {"coroutine.create(function() end)", "E102", true},
    {"coroutine.close(coroutine.running())", "E102", true},
    {"coroutine.wrap(function() end)()", "E102", true},
    {"collectgarbage('stop')", "E102", true},
    {"print('x')", "E102", true},
    {"select('#', 1)", "E102", true},
    {"next({})", "E102", true},
    {"table.concat({}, 'x', 1, 1e9)", "E102", true},
    {"table.sort({3, 1, 2}, function() return true end)", "E102", true},
    {"utf8.char(1)", "E102", true},
    {"math.random()", "E102", true},
    {"string.dump(function() end)", "E102", true},
    {"string.rep('x', 1e9)", "E102", true},
    {"_G.policy = nil", "E102", true},
    {"_ENV = {}", "E103", true},
    {"local _ENV = { policy = 1 } policy = 2", "E102", true},
    {"x = 1", "E103", true},
    {"policy = nil", "E103", true},
    {"function policy() end", "E103", true},
    {"local s = 'a\\0b'", "E101", true},
    /* through what is there */
    {"('x'):rep(1e9)", "E118", false},
    {"('x').y.z = 1", "E118", false},
    {"local s = 'x' s.rep = 1", "E118", false},
    {"('%s'):gsub('%s', 'x')", "E118", false},
    {"('x'):find(('a?'):rep(30), 1)", "E118", false},
    {"('x'):dump()", "E118", false},
    {"string.format = nil", "E118", false},
    {"math.floor = nil", "E118", false},
    {"sig.asg_cpu = nil", "E118", false},
    {"act.x = 1", "E102", true},
    {"act.asg_scale = 1", "E118", false},
    {"r.act = nil", "E118", false},
    {"r.target.name = 'other'", "E118", false},
    {"r.params.x = 1", "E118", false},
    {"r.target.tag.tier = 'db'", "E118", false},
    {"string.format('%999999999d', 1)", "E118", false},
    {"string.format('%.999999999f', 1)", "E118", false},
    {"string.format('%*d', 1, 1)", "E118", false},
    {"string.format('%n', 1)", "E118", false},
    {"string.format('%p', {})", "E118", false},
    {"string.format('%c', 0)", "E118", false},
    {"string.format('%a', 1)", "E118", false},
    {"string.format('%-+ #0-+ #0d', 1)", "E118", false},
    {"string.format('%d')", "E118", false},
    {"string.format('%d', '1')", "E118", false},
    {"string.format(string.format('%s', '%s%s%s%s%s'))", "E118", false},
    {"string.format('%99.99f%99.99f', 1e308, -1e308)", NULL, false},
    {"string.format('%s', nil)", NULL, false},
    {"assert(string.format('%s %s %s', {}, function() end, r) == 'table function table')", NULL,
     false},
    {"assert(tostring({}) == 'table' and tostring(tostring) == 'function')", NULL, false},
    {"assert(tostring(sig.asg_cpu { above = '1%' }) == 'condition')", NULL, false},
    {"tostring()", "E118", false},
    {"tonumber('9', 99)", "E118", false},
    {"assert(tonumber('1e1') == 10 and tonumber('0x10') == 16 and not tonumber('1e') and "
     "tonumber('z', 36) == 35)",
     NULL, false},
    {"ipairs()", "E118", false},
    {"ipairs('x')", "E118", false},
    {"pairs(nil)", "E118", false},
    {"pairs({ [{}] = 1 })", "E118", false},
    {"pairs(sig.asg_cpu {})", "E118", false},
    {"local c = sig.asg_cpu { above = '1%' } local x = c.threshold", "E118", false},
    {"local c = sig.asg_cpu { above = '1%' } c.threshold = 2", "E118", false},
    {"local c = sig.asg_cpu { above = '1%' } local x = c + 1", "E118", false},
    {"local c = sig.asg_cpu { above = '1%' } c()", "E118", false},
    {"local c = sig.asg_cpu { above = '1%' } local x = #c", "E118", false},
    {"local c = sig.asg_cpu { above = '1%' } local x <close> = c", "E118", false},
    {"local x <close> = {}", "E118", false},
    {"local x <close> = nil", NULL, false},
    {"error()", "E118", false},
    {"error(nil)", "E118", false},
    {"error({ code = 1 })", "E118", false},
    {"error(r)", "E118", false},
    {"error('0:999999999: forged')", "E118", false},
    {"error('99999999999999999999:1: forged')", "E118", false},
    {"error('%s%n%d')", "E118", false},
    {"error('E999 forged code')", "E118", false},
    {"assert(false, {})", "E118", false},
    {"assert(nil)", "E118", false},
    {"assert()", "E118", false},
    {"local x = 1 // 0", "E118", false},
    {"local x = 1 % 0", "E118", false},
    {"local m = -9223372036854775807 - 1 assert(m // -1 == m and m % -1 == 0 and math.abs(m) == m)",
     NULL, false},
    {"assert(1 // 0.0 > 1e308)", NULL, false},
    {"local x = 1 << 64 assert(x == 0)", NULL, false},
    {"local x = 2^53 | 0", NULL, false},
    {"local x = 1.5 | 0", "E118", false},
    {"local x = 'a' + 1", "E118", false},
    {"local x = '1' + 1", "E118", false},
    {"local x = 'a' < 1", "E118", false},
    {"local x = {} .. 'x'", "E118", false},
    {"math.floor('1')", "E118", false},
    {"math.max()", "E118", false},
    {"math.min(1, 'x')", "E118", false},
    {"assert(math.floor(1e300) == 1e300 and math.ceil(-0.5) == 0)", NULL, false},
    {"goto done local x = 1 ::done::", NULL, false},
    {"do goto continue end ::continue::", NULL, false},
    {"r.act(nil, 'grow')", NULL, false},
    {"policy 'late' { }", NULL, false},
    {"defaults { owner = 'x' }", NULL, false},
    {"param('nothing')", NULL, false},
    {"use 'nothing'", NULL, false},
    {"use '../../../etc/passwd'", NULL, false},
    {"use '/etc/passwd'", NULL, false},
    /* stalls */
    {"while true do end", "E115", false},
    {"repeat until false", "E115", false},
    {"for i = 1, 1e15 do end", "E115", false},
    {"for i = 1, math.max(9e18) do end", "E115", false},
    {"for i = 9223372036854775806, 9223372036854775807 do end", NULL, false},
    {"for i = 1, 10, 0 do end", "E118", false},
    {"for i = 1.0, 1e300 do end", "E115", false},
    {"::again:: goto again", "E115", false},
    {"local function f() return f() end f()", "E115", false},
    {"local t = {} while true do for _ in pairs(t) do end end", "E115", false},
    {"for i in function() return 1 end do end", "E115", false},
    {"local t = {} for i = 1, 5000 do t[i] = i end while true do for _ in pairs(t) do end end",
     "E115", false},
    {"while true do string.format('%99.99f%99.99f%99.99f%99.99f', 1e308, 1e308, 1e308, 1e308) end",
     "E115", false},
    {"while true do tostring(1.5) end", "E115", false},
    {"while true do local f = function() end end", "E115", false},
    {"local s = string.format('%99s%99s%99s%99s%99s', 1, 1, 1, 1, 1) s = s .. s "
     "while true do local b = s .. '' == s .. '' end",
     "E115", false},
    {"local s = string.format('%99s', 1) s = s .. s s = s .. s s = s .. s s = s .. s while true do "
     "local b = s < s .. 'x' end",
     "E115", false},
    {"local z = '00000000000000000000000000000000' z = z .. z z = z .. z z = z .. z z = z .. z z = "
     "z .. z while true do for i = 1, z do end end",
     "E115", false},
    {"while true do sig.asg_cpu { above = '1%' } end", "E11", false},
    {"while true do r:log('x') end", "E113", false},
    /* memory */
    {"local t = {} for i = 1, 1e9 do t[i] = {} end", "E11", false},
    {"local t = {} for i = 1, 1e9 do t[i * 1000003] = i end", "E11", false},
    {"local s = 'x' while true do s = s .. s end", "E116", false},
    {"local s = 'x' for i = 1, 1e9 do s = s .. i end", "E11", false},
    {"local function f(n) return 1 + f(n + 1) end f(1)", "E11", false},
    {"local function f(...) return f(1, ...) end f()", "E11", false},
    {"local t = {} while true do t = { t } end", "E11", false},
    {"local t = {} t[1] = t use 'x' r:wait(t, '1m')", "E10", false},
    {"local t = {} t.t = t sig.asg_cpu { period = t }", NULL, false},
    {"local t = {} for i = 1, 100 do t = { t } end sig.asg_cpu { period = t }", NULL, false},
    {"local f = {} for i = 1, 1e6 do local n = f f = function() return n end end f()", "E11",
     false},
};

static char *wrap(const char *body)
{
    return mem_printf(
        "policy \"p\" {\n  owner = \"o\", severity = \"sev3\", doc = \"https://x.example\",\n"
        "  target = find.asg {}, when = sig.asg_cpu { above = \"60%%\" },\n"
        "  actions = { grow = act.asg_scale { by = 1, max = 5 } },\n"
        "  checks = { ok = sig.asg_cpu { below = \"40%%\" } },\n"
        "  run = function(r)\n%s\n  end,\n}\n",
        body);
}

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* How it ended, as text: "end", the fault's text, or what was wrong at load; the caller frees. */
static char *try(const char *body, double *took, bool *refused)
{
    char *text = wrap(body), *out = NULL;
    struct policy_set *set = help_policies(text, &out);
    struct err e = ERR_INIT;

    mem_free(text);
    *took = 0;
    *refused = !set;
    if (!set)
        return out;
    mem_free(out);
    const struct policy *p = policy_find(set, "p");
    struct json *target = json_new_map();
    json_set_str(target, "name", "web-1");
    json_set(target, "tag", json_new_map());
    json_set_str(json_get_mut(target, "tag"), "tier", "web");
    struct script *s = p->script->start(p->script_data, target, NULL, &e);
    json_free(target);
    assert_non_null(s);
    struct json *yes = json_new_bool(true);
    struct ask a;
    do {
        double before = now_ms();
        p->script->resume(s, yes, &a);
        double t = now_ms() - before;
        *took = t > *took ? t : *took;
    } while (a.kind != ASK_END && a.kind != ASK_FAULT);
    out = mem_strdup(a.kind == ASK_END ? "end" : a.text);
    json_free(yes);
    p->script->free(s);
    policy_set_unref(set);
    return out;
}

static void none_escapes(void **state)
{
    int wrong = 0;
    double worst = 0;
    const char *slowest = "";

    (void)state;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        const struct attempt *a = &attempts[i];
        double took;
        bool refused;
        char *end = try(a->text, &took, &refused);
        for (int again = 0; again < 3 && took > CUT_MS; again++) { /* a busy machine is no stall */
            mem_free(end);
            end = try(a->text, &took, &refused);
        }
        bool good = a->want ? strstr(end, a->want) != NULL && (a->refused || !refused)
                            : strcmp(end, "end") == 0;
        if (!good || took > CUT_MS) {
            print_error("%s\n  wanted %s, got %s, %.1f ms\n", a->text, a->want ? a->want : "end",
                        end, took);
            wrong++;
        }
        if (took > worst) {
            worst = took;
            slowest = a->text;
        }
        mem_free(end);
    }
    print_message("%zu attempts, the longest stretch took %.1f ms: %s\n",
                  sizeof attempts / sizeof *attempts, worst, slowest);
    assert_int_equal(wrong, 0);
}

static void pairs_has_an_order(void **state)
{
    double took;
    bool refused;
    char *end = try(
        "local t = { b = 1, a = 2, [3] = 3, [1] = 4, [true] = 5, c = 6, [2.5] = 7 } local s = ''\n"
        "for k, v in pairs(t) do s = s .. tostring(k) .. v end\n"
        "assert(s == '142.5733a2b1c6true5', s)\n"
        "for k in pairs(t) do t[k] = nil end for k in pairs(t) do error(k) end\n"
        "s = '' for i, v in ipairs { 'x', 'y' } do s = s .. i .. v end assert(s == '1x2y')\n"
        "s = '' for k in pairs(r.target) do s = s .. k end assert(s == 'nametag', s)\n"
        "local n = 0 for _ in pairs { 1, nil, 3 } do n = n + 1 end assert(n == 2)\n",
        &took, &refused);

    (void)state;
    assert_string_equal(end, "end");
    mem_free(end);
}

/* What one run does to the values of its file is not seen by the next: a replay meets the same. */
static void runs_share_nothing(void **state)
{
    const char *text =
        "local n, seen = 0, {}\n"
        "policy \"p\" {\n  owner = \"o\", severity = \"sev3\", doc = \"https://x.example\",\n"
        "  target = find.asg {}, when = sig.asg_cpu { above = \"60%\" },\n"
        "  actions = { grow = act.asg_scale { by = 1, max = 5 } },\n"
        "  run = function(r) n = n + 1 seen[#seen + 1] = n r:page(string.format('%d %d', n, "
        "#seen)) end,\n}\n";
    struct policy_set *set = help_policies(text, NULL);
    const struct policy *p = policy_find(set, "p");

    (void)state;
    for (int i = 0; i < 3; i++) {
        struct err e = ERR_INIT;
        struct script *s = p->script->start(p->script_data, NULL, NULL, &e);
        struct ask a;
        p->script->resume(s, NULL, &a);
        assert_int_equal(a.kind, ASK_PAGE);
        assert_string_equal(a.text, "1 1");
        p->script->free(s);
    }
    policy_set_unref(set);
}

/* Bytecode, an interpreter line, and text that is none. */
static void text_chunks_only(void **state)
{
    const char *bad[] = {"\x1bLua", "#!/usr/bin/lua\nlocal x = 1", "\xef\xbb\xbflocal x = 1",
                         "local x = '\xff\xfe'", "\x1b"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *out;
        struct policy_set *set = help_policies(bad[i], &out);
        assert_null(set);
        assert_non_null(strstr(out, "E101"));
        mem_free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_escapes),
        cmocka_unit_test(pairs_has_an_order),
        cmocka_unit_test(runs_share_nothing),
        cmocka_unit_test(text_chunks_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
