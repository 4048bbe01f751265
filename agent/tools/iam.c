/* runbookd iam: the IAM policy of each account, with what the loaded policies need and no more. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tools/needs.h"
#include "tools/tools.h"

const char usage_iam[] =
    "usage: runbookd iam [--config FILE] [--json] [ACCOUNT]\n"
    "Prints the IAM policy document of each account of the estate: what the loaded policies and "
    "their collectors call, on the targets that they select, and no more; and the one of the "
    "identity that the agent starts with, where accounts have a role. With ACCOUNT that document "
    "alone, as AWS takes it.\n";

/* Quotas of IAM in characters without white space:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html */
#define MANAGED_MAX 6144

static int by_text(const void *a, const void *b)
{
    return strcmp(json_str(*(const struct json *const *)a, ""),
                  json_str(*(const struct json *const *)b, ""));
}

/* A sorted copy of a list of strings. */
static struct json *sorted(const struct json *list)
{
    size_t n = json_len(list), k = 0;
    const struct json **items = mem_calloc(n + 1, sizeof(*items));
    struct json *out = json_new_list();

    for (const struct json *i = json_first(list); i; i = json_next(i))
        items[k++] = i;
    qsort(items, n, sizeof(*items), by_text);
    for (k = 0; k < n; k++)
        json_add(out, json_new_str(json_str(items[k], "")));
    mem_free(items);
    return out;
}

static bool has(const struct json *list, const char *text)
{
    for (const struct json *i = json_first(list); i; i = json_next(i))
        if (strcmp(json_str(i, ""), text) == 0)
            return true;
    return false;
}

static bool is(const struct json *need, const char *account, const char *right)
{
    return strcmp(json_get_str(need, "system", ""), "aws") == 0 &&
           strcmp(json_get_str(need, "on", ""), account) == 0 &&
           (!right || strcmp(json_get_str(need, "right", ""), right) == 0);
}

/* The resources of one action, of those with these tags (NULL: as they are): all of them, or "*"
 * where one of its uses cannot be narrowed. NULL where another statement covers them. */
static struct json *resources_of(const struct json *needs, const char *account, const char *right,
                                 const struct json *tags)
{
    struct json *all = json_new_list(), *out;
    bool anything = false;

    for (const struct json *n = json_first(needs); n; n = json_next(n)) {
        const char *resource = json_get_str(n, "resource", "*");

        if (!is(n, account, right))
            continue;
        anything = anything || strcmp(resource, "*") == 0;
        if (json_equal(json_get(n, "tags"), tags) && !has(all, resource))
            json_add(all, json_new_str(resource));
    }
    if (anything) {
        json_free(all);
        if (tags)
            return NULL;
        all = json_new_list();
        json_add(all, json_new_str("*"));
    }
    out = sorted(all);
    json_free(all);
    if (json_len(out) == 0) {
        json_free(out);
        return NULL;
    }
    return out;
}

/* "ActAutoscaling2" for the second statement of acts on Auto Scaling; IAM takes letters and digits
 * only. What looks without a narrower resource is one statement for all services, "Look". */
static void name_statement(struct json *found, const struct json *statements, const char *right,
                           bool acts, bool anything)
{
    char sid[96], service[64] = "";
    size_t same = 0, n = 0;

    for (const char *c = right; *c && *c != ':' && n < sizeof(service) - 1; c++)
        if ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9'))
            service[n++] = *c;
    service[n] = '\0';
    if (service[0] >= 'a')
        service[0] = (char)(service[0] - 'a' + 'A');
    if (!acts && anything)
        service[0] = '\0';
    snprintf(sid, sizeof(sid), "%s%s", acts ? "Act" : "Look", service);
    for (const struct json *s = json_first(statements); s; s = json_next(s))
        same += strncmp(json_get_str(s, "Sid", ""), sid, strlen(sid)) == 0 &&
                (json_get_str(s, "Sid", "")[strlen(sid)] == '\0' ||
                 strspn(json_get_str(s, "Sid", "") + strlen(sid), "0123456789") ==
                     strlen(json_get_str(s, "Sid", "") + strlen(sid)));
    if (same > 0)
        json_set_strf(found, "Sid", "%s%zu", sid, same + 1);
    else
        json_set_str(found, "Sid", sid);
}

/* Where no resource can be named at least the region can; of what is discovered, its tags.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html */
static struct json *condition_of(bool anything, const struct json *tags, const char *region)
{
    struct json *c, *equals;

    if (!anything && !tags)
        return NULL;
    c = json_new_map();
    equals = json_set(c, "StringEquals", json_new_map());
    if (anything)
        json_set_str(equals, "aws:RequestedRegion", region);
    for (const struct json *t = json_first(tags); t; t = json_next(t)) {
        char *key = mem_printf("aws:ResourceTag/%s", json_key(t));

        json_set_str(equals, key, json_str(t, ""));
        mem_free(key);
    }
    return c;
}

/* Puts an action into the statement that has the same resources and condition, or into a new one.
 */
static void add_action(struct json *statements, const char *right, bool acts,
                       struct json *resources, const struct json *tags, const char *region)
{
    bool anything = has(resources, "*");
    struct json *found = NULL, *condition = condition_of(anything, tags, region);

    for (const struct json *s = json_first(statements); s && !found; s = json_next(s)) {
        const char *sid = json_get_str(s, "Sid", "");
        if (json_equal(json_get(s, "Resource"), resources) &&
            json_equal(json_get(s, "Condition"), condition) &&
            strncmp(sid, acts ? "Act" : "Look", acts ? 3 : 4) == 0)
            found = (struct json *)(uintptr_t)s;
    }
    if (found) {
        json_add(json_get_mut(found, "Action"), json_new_str(right));
        json_free(resources);
        json_free(condition);
        return;
    }
    found = json_new_map();
    name_statement(found, statements, right, acts, anything);
    json_set_str(found, "Effect", "Allow");
    json_add(json_set(found, "Action", json_new_list()), json_new_str(right));
    json_set(found, "Resource", resources);
    if (condition)
        json_set(found, "Condition", condition);
    json_add(statements, found);
}

static struct json *document(struct json *statements)
{
    struct json *d = json_new_map();

    json_set_str(d, "Version", "2012-10-17");
    json_set(d, "Statement", statements);
    return d;
}

/* The statements of one action: one for what is named, one for each set of tags. */
static void add_right(struct json *statements, const struct json *needs, const char *account,
                      const char *right, const char *region)
{
    struct json *tags_done = json_new_list();

    for (const struct json *n = json_first(needs); n; n = json_next(n)) {
        const struct json *tags = json_get(n, "tags");
        char *text = tags ? json_print_canonical(tags) : mem_strdup("");
        struct json *resources = NULL;

        if (is(n, account, right) && !has(tags_done, text)) {
            json_add(tags_done, json_new_str(text));
            resources = resources_of(needs, account, right, tags);
        }
        if (resources)
            add_action(statements, right, json_get_bool(n, "acts", true), resources, tags, region);
        mem_free(text);
    }
    json_free(tags_done);
}

/* NULL when nothing is needed of the account. */
static struct json *policy_of(const struct json *needs, const struct target *account)
{
    const char *region = json_get_str(account->fields, "region", "");
    struct json *rights = json_new_list(), *in_order, *statements = json_new_list();

    for (const struct json *n = json_first(needs); n; n = json_next(n))
        if (is(n, account->name, NULL) && !has(rights, json_get_str(n, "right", "")))
            json_add(rights, json_new_str(json_get_str(n, "right", "")));
    in_order = sorted(rights);
    for (const struct json *r = json_first(in_order); r; r = json_next(r))
        add_right(statements, needs, account->name, json_str(r, ""), region);
    json_free(rights);
    json_free(in_order);
    if (json_len(statements) == 0) {
        json_free(statements);
        return NULL;
    }
    return document(statements);
}

static void add_document(struct json *documents, const char *account, const char *what,
                         struct json *policy, struct json *notes)
{
    struct json *d = json_add(documents, json_new_map());
    char *text = json_print(policy);

    if (strlen(text) > MANAGED_MAX) {
        char *note = mem_printf("the document of %s has %zu characters, a managed policy takes %d: "
                                "attach its statements as several policies",
                                account, strlen(text), MANAGED_MAX);
        json_add(notes, json_new_str(note));
        mem_free(note);
    }
    mem_free(text);
    json_set_str(d, "account", account);
    json_set_str(d, "for", what);
    json_set(d, "policy", policy);
}

/* Signing in: the identity that the credentials belong to may take on the roles of the estate. */
static void add_start(struct json *documents, const struct estate *estate, struct json *notes)
{
    struct json *roles = json_new_list(), *statements, *s;

    for (size_t k = 0; k < estate_len(estate); k++) {
        const struct target *t = estate_at(estate, k);
        const char *role =
            strcmp(t->kind, "aws") == 0 ? json_get_str(t->fields, "role", NULL) : NULL;

        if (role && !has(roles, role))
            json_add(roles, json_new_str(role));
    }
    if (json_len(roles) == 0) {
        json_free(roles);
        return;
    }
    statements = json_new_list();
    s = json_add(statements, json_new_map());
    json_set_str(s, "Sid", "TakeRoles");
    json_set_str(s, "Effect", "Allow");
    json_add(json_set(s, "Action", json_new_list()), json_new_str("sts:AssumeRole"));
    json_set(s, "Resource", sorted(roles));
    json_free(roles);
    add_document(documents, "-",
                 "the identity that the agent's own credentials belong to; each role must trust it",
                 document(statements), notes);
}

static struct json *documents_of(const struct loaded *l, const struct json *needs,
                                 struct json *notes)
{
    struct json *documents = json_new_list();

    for (size_t k = 0; k < estate_len(l->estate); k++) {
        const struct target *t = estate_at(l->estate, k);
        const char *role;
        struct json *policy;
        char *what;

        if (strcmp(t->kind, "aws") != 0)
            continue;
        policy = policy_of(needs, t);
        if (!policy)
            continue;
        role = json_get_str(t->fields, "role", NULL);
        what = mem_printf("%s, in %s",
                          role ? role : "the identity that the agent's own credentials belong to",
                          json_get_str(t->fields, "region", "?"));
        add_document(documents, t->name, what, policy, notes);
        mem_free(what);
    }
    add_start(documents, l->estate, notes);
    return documents;
}

static const struct json *find_document(const struct json *documents, const char *account)
{
    for (const struct json *d = json_first(documents); d; d = json_next(d))
        if (strcmp(json_get_str(d, "account", ""), account) == 0)
            return d;
    return NULL;
}

static int print_documents(const struct json *documents, const char *account)
{
    const struct json *one = account ? find_document(documents, account) : NULL;

    if (account && !one) {
        fprintf(stderr,
                "runbookd iam: the loaded policies need nothing of the account \"%s\"; runbookd "
                "iam without it prints those that they need something of\n",
                account);
        return EXIT_FAILED;
    }
    for (const struct json *d = one ? one : json_first(documents); d;
         d = one ? NULL : json_next(d)) {
        char *text = json_print_pretty(json_get(d, "policy"));

        if (!one)
            printf("# %s: for %s\n", json_get_str(d, "account", ""), json_get_str(d, "for", ""));
        printf("%s\n", text);
        mem_free(text);
    }
    return EXIT_OK;
}

static int print_all(const struct loaded *l, const struct tool_args *a)
{
    const char *only = a->nrest ? a->rest[0] : NULL;
    struct json *notes, *needs, *documents;
    int code = EXIT_OK;

    if (only && strcmp(only, "-") != 0 && !needs_known(l, "iam", "aws", NULL, only))
        return EXIT_USAGE;
    notes = json_new_list();
    needs = needs_of(l, notes);
    documents = documents_of(l, needs, notes);
    if (!only && json_len(documents) == 0)
        json_add(notes, json_new_str("the loaded policies need nothing of AWS"));
    if (a->json) {
        struct json *out = json_new_map();
        char *text;

        json_set(out, "documents", documents);
        json_set(out, "needs", needs);
        json_set(out, "notes", notes);
        text = json_print_pretty(out);
        printf("%s\n", text);
        mem_free(text);
        json_free(out);
    } else {
        code = print_documents(documents, only && strncmp(only, "aws/", 4) == 0 ? only + 4 : only);
        for (const struct json *n = json_first(notes); n; n = json_next(n))
            fprintf(stderr, "runbookd iam: %s\n", json_str(n, ""));
        json_free(documents);
        json_free(needs);
        json_free(notes);
    }
    return code == EXIT_OK && fflush(stdout) != 0 ? EXIT_FAILED : code;
}

int tool_iam(int argc, char **argv)
{
    return tool_rights(argc, argv, usage_iam, 1, print_all);
}
