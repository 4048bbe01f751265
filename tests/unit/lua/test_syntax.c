/* What luac rejects we reject, and what it takes is read to its end by the scan that finds places
 * and names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/mem.h"
#include "help_lua.h"
#include "lua/scan.h"

static const char *const pieces[] = {
    "local x = 1",
    "local x <const> = 1",
    "local x <close> = nil",
    "local x <what> = 1",
    "local function f() end",
    "local function f(a, b, ...) return ... end",
    "local f = function(...) local a, b = ... return a, b end",
    "for i = 1, 2 do end",
    "for i = 1, 2, 3 do end",
    "for i = 1 do end",
    "for a, b in pairs {} do end",
    "for in x do end",
    "while true do break end",
    "break",
    "repeat local x = 1 until x == 1",
    "repeat until",
    "if true then end",
    "if true then elseif false then else end",
    "if true then else elseif end",
    "if true end",
    "do end",
    "do",
    "end",
    "goto x ::x::",
    "goto nowhere",
    "::x:: ::x::",
    "return",
    "return 1, 2;",
    "return return",
    "return 1 local x = 1",
    "local t = { 1, 2; 3, a = 4, ['b'] = 5, [6] = 7, { { {} } }, function() end, }",
    "local t = { , }",
    "local t = { a = }",
    "local t = { [1] 2 }",
    "local t = { 'x' 'y' }",
    "local t = {{}{}}",
    "local s = 'a\\n\\x41\\u{48}\\z\n  b\\065'",
    "local s = 'a\nb'",
    "local s = '\\q'",
    "local s = '\\400'",
    "local s = '\\u{110000000}'",
    "local s = 'a\\\nb'",
    "local s = [[a\n]] .. [==[b]]]==]",
    "local s = [==[ unfinished ]]",
    "local s = [=a",
    "local s = \"unfinished",
    "-- comment",
    "--[[ long\ncomment ]] local x = 1",
    "--[==[ ]] ]==] local x = 1",
    "--[[ unfinished",
    "local n = 0x1p4 + 1e-3 + .5 + 3. + 0xA.8p-1",
    "local n = 1..2",
    "local n = 0x",
    "local n = 3x",
    "local n = 1e",
    "local n = 1 .. 2",
    "local a = 1 + 2 * 3 ^ 4 // 5 % 6 - -7",
    "local a = not not true and #'x' or ~1",
    "local a = 1 < 2 == true ~= false",
    "local a = 1 =< 2",
    "local a = 1 != 2",
    "local a = a ? b : c",
    "local a = 1 & 2 | 3 ~ 4 << 5 >> 6",
    "local a = (1)",
    "local a = ()",
    "local a = (1",
    "local a = 1)",
    "local a, b = 1",
    "local a b = 1",
    "local 1 = 2",
    "a.b.c = 1",
    "a.b:c = 1",
    "a().b = 1",
    "a() = 1",
    "(a) = 1",
    "(a).b = 1",
    "a, b.c, d[1] = 1, 2",
    "a, b() = 1, 2",
    "a = 1 = 2",
    "f 'x' [[y]] {}",
    "f('x')('y'){}",
    "f:g 'x'",
    "f:g",
    "f.g",
    "f",
    "f(",
    "f(,)",
    "f(1,)",
    "('x'):f()",
    "{}.x = 1",
    "'x':f()",
    "local x = f{1}.y['z']:w 'v'",
    "local and = 1",
    "local x = nil.y",
    "x = function end",
    "function a.b.c:d() end",
    "function a:b.c() end",
    "function a[1]() end",
    "local function a.b() end",
    ";;;",
    "local x; ; local y",
    "@",
    "$x = 1",
    "local x = 1 \\ 2",
    "x = ...",
    "function f() return ... end",
    "return function(...) return ... end",
    "local x = #{1,2}",
    "local x <const> = 1 x = 2",
    "f{a=1}{b=2}\"c\"",
    "a=b c=d",
    "local t = {f = f, [f()] = f{}}",
    "local e = \"\\\"{\" .. '}' .. [[{]] -- {",
    "goto = 1",
    "goto continue; ::continue::",
    "local s <const>, t <close> = 1, nil",
    "x.y.z()",
    "x\n(y)",
    "if x then return end y = 1",
    "local a <const> = {1, 2} a[1] = 3",
    "\xEF\xBB\xBFlocal x = 1",
    "#!/bin/lua",
    "local \xC3\xBC = 1",
    "local x = 'ü'",
    "return;",
    "for i = 1, 2 do return end",
    "while 1 do if x then break else goto c end ::c:: end",
    "local x = 1//1 --[==[ x ]==] + 2",
};

static bool luac_takes(const char *path)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr))
            _exit(127);
        execlp("luac5.4", "luac5.4", "-p", path, (char *)NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    if (WEXITSTATUS(status) == 127)
        skip();
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void agrees_with_luac(void **state)
{
    int wrong = 0, taken = 0;

    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        const char *path = help_file("piece.lua", pieces[i]);
        bool oracle = luac_takes(path),
             skipped = pieces[i][0] == '#' || (unsigned char)pieces[i][0] == 0xEF;
        struct diags *d = diags_new();
        const struct policy_load_options o = {.paths = &path, .npaths = 1, .mode = MODE_ENFORCE};
        struct policy_set *set = policies_load(&o, d);
        bool ours = !diags_has(d, "E101");
        taken += oracle;
        /* luac, reading a file, skips a first line of # and a byte order mark; a policy has neither
         */
        if (!skipped && ours != oracle) {
            print_error("luac %s, we %s: %s\n", oracle ? "takes" : "rejects",
                        ours ? "take" : "reject", pieces[i]);
            wrong++;
        }
        struct scan *s = scan_new("x", pieces[i], strlen(pieces[i]));
        if (oracle && !skipped && !s->whole) {
            print_error("the scan does not read: %s\n", pieces[i]);
            wrong++;
        }
        scan_free(s);
        if (set)
            policy_set_unref(set);
        diags_free(d);
    }
    assert_int_equal(wrong, 0);
    assert_true(taken > 40);
}

/* Places survive any layout: the same policy on one line, one token a line, and with comments
 * between all tokens. */
static void finds_columns_in_any_layout(void **state)
{
    const char *text = "policy \"p\" { owner = \"o\", severity = \"sev9\" }";
    static const char *const between[] = {" ",
                                          "\n",
                                          "\r\n",
                                          "\t",
                                          " --[[ severity = \"sev9\" ]] ",
                                          "\n-- severity = {\n",
                                          "--[==[\n\n]==]"};
    size_t n;
    struct token *t = lex(text, strlen(text), &n);

    (void)state;
    for (size_t b = 0; b < sizeof between / sizeof *between; b++) {
        struct buf out;
        int line = 1, column = 1, want_line = 0, want_column = 0;
        char want[64], *got;

        buf_init(&out, 65536);
        for (size_t i = 0; i + 1 < n; i++) {
            if (strncmp(text + t[i].at, "\"sev9", 5) == 0) {
                want_line = line;
                want_column = column;
            }
            (void)buf_add(&out, text + t[i].at, t[i].len);
            column += (int)t[i].len;
            (void)buf_adds(&out, between[b]);
            for (const char *c = between[b]; *c; c++) {
                if (*c == '\n') {
                    line++;
                    column = 1;
                } else {
                    column++;
                }
            }
        }
        policy_set_unref(help_policies("", NULL));
        assert_null(help_policies(buf_str(&out), &got));
        snprintf(want, sizeof want, "p.lua:%d:%d: E107 severity", want_line, want_column);
        if (!strstr(got, want))
            fail_msg("wanted %s in\n%s", want, got);
        mem_free(got);
        buf_free(&out);
    }
    mem_free(t);
}

/* Any cut of the example is refused or read, and never more. */
static void survives_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < strlen(example); i += 3) {
        char *part = mem_strndup(example, i), *out;
        struct policy_set *set = help_policies(part, &out);
        if (set)
            policy_set_unref(set);
        mem_free(out);
        mem_free(part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_luac),
        cmocka_unit_test(finds_columns_in_any_layout),
        cmocka_unit_test(survives_every_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
