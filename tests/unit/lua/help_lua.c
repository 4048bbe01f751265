/* Temporary files and texts of these tests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "help_lua.h"

const char smallest[] = "policy \"pg-connections-high\" {\n"
                        "  owner   = \"team-db\", severity = \"sev2\", doc = "
                        "\"https://runbooks.example.com/pg-connections\",\n"
                        "  target  = find.postgres { tag = { app = \"orders\" } },\n"
                        "  when    = sig.pg_connections { above = 800, lasting = \"2m\" },\n"
                        "  actions = { act.pg_terminate { idle_over = \"30m\", max = 50 } },\n"
                        "}\n";

const char example[] =
    "local hot = sig.asg_cpu { above = param(\"web_cpu_limit\", \"60%\"), lasting = \"5m\" }\n"
    "\n"
    "policy \"asg-cpu-high\" {\n"
    "  owner = \"team-web\", severity = \"sev3\", doc = "
    "\"https://runbooks.example.com/high-cpu\",\n"
    "  target = find.asg { tag = { tier = \"web\" }, except = { \"web-canary\" } },\n"
    "  when   = hot,\n"
    "  checks = {\n"
    "    hot     = hot,\n"
    "    healthy = all { sig.asg_in_service { at_least = \"100%\" },\n"
    "                    sig.alb_p99 { below = \"500ms\", lasting = \"2m\" },\n"
    "                    sig.alb_5xx { below = \"0.1%\", lasting = \"2m\" } },\n"
    "    calm    = all { sig.asg_cpu { below = \"35%\", lasting = \"30m\" },\n"
    "                    sig.alb_p99 { below = \"300ms\", lasting = \"30m\" },\n"
    "                    sig.alb_5xx { below = \"0.1%\", lasting = \"30m\" } },\n"
    "  },\n"
    "  actions = { grow = act.asg_scale { by = \"25%\", max = 20 } },\n"
    "  limit = \"2 per 1d\", max_acts = { grow = 3 }, cooldown = \"10m\", max_targets = \"20%\", "
    "deadline = \"24h\",\n"
    "  run = function(r)\n"
    "    for _ = 1, 3 do\n"
    "      if not r:act \"grow\" then return r:page \"scale-out refused or failed\" end\n"
    "      if not r:verify(\"healthy\", \"15m\") then return r:page \"SLO not restored; capacity "
    "kept\" end\n"
    "      local now = r:wait({ \"calm\", \"hot\" }, \"7h\")\n"
    "      if now == \"calm\" then return r:undo \"grow\" or r:page \"scale-in skipped: capacity "
    "changed\" end\n"
    "      if not now then break end\n"
    "    end\n"
    "    r:page \"still loaded; extra capacity kept\"\n"
    "  end,\n"
    "}\n";

static char dir[] = "/tmp/rb-lua-XXXXXX";

static int forget(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}
static void clean(void)
{
    nftw(dir, forget, 16, FTW_DEPTH | FTW_PHYS);
}

const char *help_dir(void)
{
    static bool made;

    if (!made) {
        made = true;
        if (!mkdtemp(dir))
            abort();
        atexit(clean);
    }
    return dir;
}

char *help_file(const char *name, const char *text)
{
    static char paths[8][256];
    static size_t next;
    char *path = paths[next++ % 8];
    FILE *f;

    snprintf(path, sizeof paths[0], "%s/%s", help_dir(), name);
    for (char *slash = strchr(path + strlen(help_dir()) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return path;
}

struct policy_set *help_policies(const char *text, char **out)
{
    const char *path = help_file("p.lua", text);
    const struct policy_load_options o = {.paths = &path, .npaths = 1, .mode = MODE_ENFORCE};
    struct diags *d = diags_new();
    struct policy_set *set = policies_load(&o, d);
    struct buf b;

    buf_init(&b, 1 << 20);
    diags_print(d, &b, false);
    if (out)
        *out = buf_take(&b);
    else if (diags_len(d))
        fail_msg("%s", buf_str(&b));
    buf_free(&b);
    diags_free(d);
    return set;
}
