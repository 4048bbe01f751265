/* What the journal's tests share. */
#include "help_journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/mem.h"

void folder_make(struct folder *f)
{
    snprintf(f->name, sizeof f->name, "/tmp/rb_journal_XXXXXX");
    assert_non_null(mkdtemp(f->name));
    snprintf(f->path, sizeof f->path, "%s/journal.db", f->name);
}

void folder_remove(struct folder *f)
{
    static const char *const ends[] = {"",      "-wal",      "-shm",     ".lock",
                                       ".copy", ".copy-wal", ".copy-shm"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s%s", f->path, ends[i]);
        unlink(name);
    }
    assert_int_equal(rmdir(f->name), 0);
}

struct journal *help_open(struct loop *l, const char *path, const char *vfs)
{
    struct err e = ERR_INIT;
    struct sqlite_journal_options o = {
        .path = path, .vfs = vfs, .created_by = "test", .boot_id = "b", .boot_ms = 1, .wall_ms = 1};
    struct journal *j = sqlite_journal_open(l, &o, &e);
    if (!j)
        fail_msg("%s", e.text);
    return j;
}

struct waiting {
    struct loop *loop;
    int code;
};

static void on_done(void *arg, const char *denied, const struct err *e)
{
    struct waiting *w = arg;
    (void)denied;
    w->code = e->code;
    loop_stop(w->loop, 0);
}

int help_run(struct loop *l, struct journal *j, struct jtx *tx)
{
    struct waiting w = {.loop = l, .code = 1};
    j->ops->submit(j, tx, on_done, &w);
    loop_run(l);
    assert_int_not_equal(w.code, 1);
    return w.code;
}

struct jtx *help_tx(int i)
{
    char key[32];
    struct jtx *tx = jtx_new(1000000 + i, 2000000 + i);
    struct json *doc = json_new_map();
    json_set_int(doc, "n", i);
    json_set_strf(doc, "text", "%0*d", 50 + i % 9 * 100, i);
    snprintf(key, sizeof key, "step-%d", i);
    jtx_put(tx, "step", key, doc, true);
    doc = json_new_map();
    json_set_int(doc, "n", i);
    snprintf(key, sizeof key, "run-%d", i % 5);
    jtx_put(tx, "run", key, doc, true);
    snprintf(key, sizeof key, "item-%d", i);
    jtx_take(tx, "budget", key, -1, 3600000);
    if (i % 4 == 1)
        jtx_take(tx, "returned", key, -1, 3600000);
    if (i % 4 == 2) {
        snprintf(key, sizeof key, "item-%d", i - 1);
        jtx_give_back(tx, "returned", key);
    }
    if (i % 6 == 0) {
        snprintf(key, sizeof key, "hash-%d", i);
        doc = json_new_map();
        json_set_strf(doc, "lua", "policy %d", i);
        jtx_source(tx, key, doc);
    }
    if (i % 7 == 0) {
        void *blob = mem_alloc(3000);
        memset(blob, i, 3000);
        jtx_samples(tx, "cpu", i / 14, blob, 3000);
    }
    return tx;
}
