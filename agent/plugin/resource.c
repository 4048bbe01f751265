/* What an action writes to: not always the target that it was given. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "plugin/action.h"

#define RESOURCE_MAX 2048

/* "REGION/ACCOUNT": two aws targets may stand for one account. It is known of a role; a profile's
 * name is the next best, and without either both have the host's own credentials. The form of a
 * role's ARN: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html */
static void add_account(struct buf *b, const struct target *aws)
{
    const char *region = json_get_str(aws->fields, "region", "");
    const char *role = json_get_str(aws->fields, "role", "");
    char account[13];
    bool known = sscanf(role, "arn:%*[^:]:iam::%12[0-9]:", account) == 1;

    const char *of = known ? account : json_get_str(aws->fields, "profile", "");

    (void)buf_addf(b, "%s%s%s", region, *of != '\0' ? "/" : "", of);
}

/* What one word of `writes` says of the target; whether it names anything. */
static bool add_word(struct buf *b, const char *word, const struct target *t,
                     const struct estate *e)
{
    const struct json *field = json_get(t->fields, word);
    const struct target *named;
    char *text;

    if (strcmp(word, "aws") == 0) {
        named = estate_related(e, t, word);
        if (named != NULL)
            add_account(b, named);
        return false; /* an account alone is no resource */
    }
    if (target_kind_find(word) != NULL) {
        named = estate_related(e, t, word);
        if (named != NULL)
            (void)buf_adds(b, named->id);
        return named != NULL;
    }
    if (field == NULL)
        return false;
    text = json_print(field);
    (void)buf_adds(b, json_str(field, text));
    mem_free(text);
    return true;
}

char *action_resource(const struct action_type *type, const struct target *t,
                      const struct estate *e)
{
    const char *at = type->writes != NULL ? type->writes : "";
    bool named = false;
    struct buf b;

    buf_init(&b, RESOURCE_MAX);
    for (size_t n; at += strspn(at, " "), (n = strcspn(at, " ")) > 0; at += n) {
        char *word = mem_strndup(at, n);

        if (b.len > 0)
            (void)buf_addc(&b, ' ');
        named = add_word(&b, word, t, e) || named;
        mem_free(word);
    }
    if (!named || b.overflow) {
        buf_free(&b);
        return mem_strdup(t->id);
    }
    return buf_take(&b);
}
