/* The registry: every plugin that is there is listed, and every descriptor can be shown, checked
 * and run. */
#include <stdarg.h>
#include <stddef.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "plugin/action.h"
#include "plugin/collector.h"

static bool has_text(const char *s)
{
    return s != NULL && *s != '\0';
}

/* The rows of a .def file and the .c files beside it must be the same; shared_*.c is what plugins
 * share. */
static void folder_is_listed(const char *folder)
{
    char path[512], row[300], *table;
    struct dirent *d;
    size_t len;
    FILE *f;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/%s/%s.def", RB_SOURCE_DIR, folder, folder);
    f = fopen(path, "r");
    assert_non_null(f);
    table = mem_alloc(65536);
    len = fread(table + 1, 1, 65534, f);
    assert_true(len > 0 && len < 65534);
    table[0] = '\n';
    fclose(f);
    snprintf(path, sizeof(path), "%s/%s", RB_SOURCE_DIR, folder);
    dir = opendir(path);
    assert_non_null(dir);
    while ((d = readdir(dir)) != NULL) {
        len = strlen(d->d_name);
        if (len < 3 || strcmp(d->d_name + len - 2, ".c") != 0 ||
            strncmp(d->d_name, "shared_", 7) == 0)
            continue;
        snprintf(row, sizeof(row), "\nX(%.*s)", (int)len - 2, d->d_name);
        if (strstr(table, row) == NULL)
            fail_msg("%s/%s is not listed in %s.def: add the row %s", folder, d->d_name, folder,
                     row + 1);
    }
    closedir(dir);
    mem_free(table);
}

static void every_file_is_listed(void **state)
{
    (void)state;
    folder_is_listed("collectors");
    folder_is_listed("actions");
}

static void kinds_exist(const char *who, const char *kinds)
{
    char copy[256], *save = NULL;

    snprintf(copy, sizeof(copy), "%s", kinds);
    for (char *k = strtok_r(copy, " ", &save); k != NULL; k = strtok_r(NULL, " ", &save)) {
        if (strcmp(k, "any") != 0 && target_kind_find(k) == NULL)
            fail_msg("%s: there is no kind of target \"%s\"", who, k);
    }
}

static void options_make_sense(const char *who, const struct option *table, size_t n)
{
    struct err e = ERR_INIT;

    if (option_table_check(table, n, &e) != 0)
        fail_msg("%s: %s", who, e.text);
}

static void collectors_are_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < collector_types_len; i++) {
        const struct collector_type *t = collector_types[i];

        assert_true(has_text(t->name));
        if (!has_text(t->summary) || t->nsignals == 0 || t->deadline_ms <= 0 || t->source == NULL ||
            t->open == NULL || t->watch == NULL || t->poll == NULL || t->cancel == NULL ||
            t->close == NULL || t->permissions == NULL)
            fail_msg("collector %s: a part of its descriptor is missing", t->name);
        for (size_t j = 0; j < t->nsignals; j++) {
            const struct signal *s = &t->signals[j];
            const struct collector_type *owner = NULL;

            assert_true(has_text(s->name));
            if (!has_text(s->summary) || !has_text(s->source) || !has_text(s->targets) ||
                s->lag_ms < 0 || (s->interval_ms == NULL && s->default_interval_ms <= 0) ||
                (s->unit == UNIT_ENUM) != (s->words != NULL))
                fail_msg("signal %s: a part of its descriptor is missing", s->name);
            if (signal_find(s->name, &owner) != s || owner != t)
                fail_msg("signal %s is there twice", s->name);
            kinds_exist(s->name, s->targets);
            options_make_sense(s->name, s->options, s->noptions);
        }
    }
    assert_null(signal_find("no_such_signal", NULL));
}

/* The actions on a target share its state: a field of the same name is of the same type. */
static void states_agree(const struct action_type *t)
{
    for (size_t i = 0; i < action_types_len; i++) {
        for (size_t k = 0; k < t->nstate_options; k++) {
            const struct option *mine = &t->state_options[k],
                                *theirs = option_find(action_types[i]->state_options,
                                                      action_types[i]->nstate_options, mine->name);

            if (theirs != NULL && theirs->type != mine->type &&
                strcmp(action_types[i]->targets, t->targets) == 0)
                fail_msg("actions %s and %s: the state's field \"%s\" has two types", t->name,
                         action_types[i]->name, mine->name);
        }
    }
}

/* Each word of `writes` is a field, or the kind, of a target that the action is for. */
static void writes_exists(const struct action_type *t)
{
    char words[128], kinds[128], *word, *kind, *at, *in;

    snprintf(words, sizeof(words), "%s", t->writes != NULL ? t->writes : "");
    for (word = strtok_r(words, " ", &at); word != NULL; word = strtok_r(NULL, " ", &at)) {
        bool known = false;

        snprintf(kinds, sizeof(kinds), "%s", t->targets);
        for (kind = strtok_r(kinds, " ", &in); kind != NULL; kind = strtok_r(NULL, " ", &in)) {
            const struct target_kind *k = target_kind_find(kind);

            known = known || strcmp(kind, word) == 0 ||
                    option_find(k->options, k->noptions, word) != NULL;
        }
        if (!known)
            fail_msg("action %s writes \"%s\", which none of its targets has", t->name, word);
    }
}

static void actions_are_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < action_types_len; i++) {
        const struct action_type *t = action_types[i];

        assert_true(has_text(t->name));
        if (!has_text(t->summary) || !has_text(t->targets) || !has_text(t->attribute) ||
            t->headroom == NULL || t->observe == NULL || t->apply == NULL || t->cancel == NULL ||
            t->plan == NULL || t->permissions == NULL || t->outs == NULL)
            fail_msg("action %s: a part of its descriptor is missing", t->name);
        if (t->can_probe != (t->judge != NULL))
            fail_msg("action %s: can_probe and judge do not agree", t->name);
        if (action_find(t->name) != t)
            fail_msg("action %s is there twice", t->name);
        kinds_exist(t->name, t->targets);
        writes_exists(t);
        options_make_sense(t->name, t->options, t->noptions);
        if (t->state_apply == NULL || t->nstate_options == 0)
            fail_msg("action %s: policies with it cannot be tested: give it state_options and "
                     "state_apply",
                     t->name);
        options_make_sense(t->name, t->state_options, t->nstate_options);
        states_agree(t);
    }
    assert_null(action_find("no_such_action"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_listed),
        cmocka_unit_test(collectors_are_complete),
        cmocka_unit_test(actions_are_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
