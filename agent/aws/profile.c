/* The syntax of AWS's config and credentials files. Behaviour of the SDKs: section and key names,
 * continuation lines and nested settings as Python's configparser reads them, which the AWS CLI
 * uses. */
#include "aws/profile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "aws/env.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

#define MAX_FILE_BYTES (1024 * 1024)
#define BLANKS " \t\r\v\f"

/* One key of one profile; a row with no key stands for the section itself. */
struct entry {
    bool credentials; /* which of the files */
    char *profile, *key, *value;
    int line;
};

struct aws_profiles {
    struct entry *e;
    size_t n, cap;
};

struct parser {
    struct aws_profiles *p;
    const char *name;
    bool credentials;
    char *profile; /* of the open section; NULL: one that is no profile */
    bool in_section;
    char **headers; /* all that were seen, to find repeats */
    size_t nheaders;
    long last; /* index of the entry that a continuation line extends, -1: none */
    size_t indent;
    size_t blanks; /* empty lines since: they belong to a value that goes on after them */
    int line;
};

char **aws_words(const char *line)
{
    char **words = mem_calloc(strlen(line) + 2, sizeof *words);
    struct buf w;
    size_t n = 0;
    bool open = false;
    char quote = 0;

    buf_init(&w, MAX_FILE_BYTES);
    for (const char *s = line; *s; s++) {
        bool escapes =
            *s == '\\' && (quote == 0 || (quote == '"' && (s[1] == '"' || s[1] == '\\')));
        if (escapes && s[1]) {
            buf_addc(&w, *++s);
            open = true;
        } else if (quote && *s == quote) {
            quote = 0;
        } else if (!quote && (*s == '"' || *s == '\'')) {
            quote = *s;
            open = true;
        } else if (!quote && isspace((unsigned char)*s)) {
            if (open)
                words[n++] = buf_take(&w);
            open = false;
        } else {
            buf_addc(&w, *s);
            open = true;
        }
    }
    if (open)
        words[n++] = buf_take(&w);
    buf_free(&w);
    if (quote) {
        aws_words_free(words);
        return NULL;
    }
    return words;
}

void aws_words_free(char **words)
{
    for (size_t i = 0; words && words[i]; i++)
        mem_free(words[i]);
    mem_free(words);
}

static void entry_free(struct entry *e)
{
    mem_free(e->profile);
    mem_free(e->key);
    if (e->value)
        explicit_bzero(e->value, strlen(e->value));
    mem_free(e->value);
}

static const struct entry *find(const struct aws_profiles *p, const char *profile, const char *key,
                                bool credentials)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct entry *e = &p->e[i];
        if (e->credentials == credentials && strcmp(e->profile, profile) == 0 &&
            (key ? e->key && strcmp(e->key, key) == 0 : !e->key))
            return e;
    }
    return NULL;
}

static void add(struct parser *ps, char *key, char *value)
{
    struct aws_profiles *p = ps->p;

    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 32;
        p->e = mem_realloc(p->e, p->cap * sizeof *p->e);
    }
    p->e[p->n++] = (struct entry){ps->credentials, mem_strdup(ps->profile), key, value, ps->line};
}

/* The profile that a header opens, or NULL where it is none: "default" and "profile NAME" in the
 * config file, any name in the credentials file. */
static char *profile_of(const struct parser *ps, const char *header)
{
    char **w, *name = NULL;

    if (ps->credentials || strcmp(header, "default") == 0)
        return mem_strdup(header);
    if (strncmp(header, "profile", 7) != 0 || !(w = aws_words(header)))
        return NULL;
    if (w[0] && strcmp(w[0], "profile") == 0 && w[1] && !w[2])
        name = mem_strdup(w[1]);
    aws_words_free(w);
    return name;
}

static int open_section(struct parser *ps, const char *line, struct err *e)
{
    const char *end = strrchr(line, ']');
    char *header;

    if (!end || end == line + 1)
        return err_set(e, ERR_INPUT, "%s:%d: a section needs [NAME]", ps->name, ps->line);
    header = mem_strndup(line + 1, (size_t)(end - line - 1));
    for (size_t i = 0; i < ps->nheaders; i++) {
        if (strcmp(ps->headers[i], header) == 0) {
            err_set(e, ERR_INPUT, "%s:%d: section [%s] is there twice: make them one", ps->name,
                    ps->line, header);
            mem_free(header);
            return ERR_INPUT;
        }
    }
    ps->headers = mem_realloc(ps->headers, (ps->nheaders + 1) * sizeof *ps->headers);
    ps->headers[ps->nheaders++] = header;
    mem_free(ps->profile);
    ps->profile = profile_of(ps, header);
    ps->in_section = true;
    ps->last = -1;
    if (ps->profile) {
        /* [default] and [profile default] are one profile: the later one replaces the former. */
        for (size_t i = 0; i < ps->p->n;) {
            struct entry *x = &ps->p->e[i];
            if (x->credentials == ps->credentials && strcmp(x->profile, ps->profile) == 0) {
                entry_free(x);
                memmove(x, x + 1, (--ps->p->n - i) * sizeof *x);
            } else {
                i++;
            }
        }
        add(ps, NULL, NULL);
    }
    return 0;
}

static int add_key(struct parser *ps, const char *line, struct err *e)
{
    size_t klen = strcspn(line, "=:");
    const char *value = line + klen + (line[klen] != '\0');
    char *key;

    if (!line[klen] || klen == 0)
        return err_set(e, ERR_INPUT, "%s:%d: expected KEY = VALUE, found \"%.40s\"", ps->name,
                       ps->line, line);
    if (!ps->in_section)
        return err_set(e, ERR_INPUT, "%s:%d: a key before the first [section]", ps->name, ps->line);
    while (klen && strchr(BLANKS, line[klen - 1]))
        klen--;
    if (!ps->profile) {
        ps->last = -1;
        return 0;
    }
    key = mem_strndup(line, klen);
    for (char *c = key; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (find(ps->p, ps->profile, key, ps->credentials)) {
        err_set(e, ERR_INPUT, "%s:%d: key %s is there twice in profile \"%s\"", ps->name, ps->line,
                key, ps->profile);
        mem_free(key);
        return ERR_INPUT;
    }
    value += strspn(value, BLANKS);
    add(ps, key, mem_strdup(value));
    ps->last = (long)ps->p->n - 1;
    return 0;
}

/* A line indented deeper than its key goes on with the value; under an empty value it is a nested
 * setting ("s3 ="), of which nothing is wanted here: both are kept as text. */
static void extend(struct parser *ps, const char *line)
{
    struct entry *x;
    char *value, *gap;

    if (ps->last < 0)
        return;
    x = &ps->p->e[ps->last];
    gap = mem_alloc(ps->blanks + 1); /* zeroed */
    memset(gap, '\n', ps->blanks);
    value = mem_printf("%s%s\n%s", x->value, gap, line);
    mem_free(gap);
    explicit_bzero(x->value, strlen(x->value));
    mem_free(x->value);
    x->value = value;
}

static int parse(struct aws_profiles *p, const char *text, const char *name, bool credentials,
                 struct err *e)
{
    struct parser ps = {.p = p, .name = name, .credentials = credentials, .last = -1};
    bool key_open = false; /* a key was read in this section: deeper lines belong to it */
    int rc = 0;

    if (strncmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (*text && rc == 0) {
        size_t len = strcspn(text, "\n"), indent = strspn(text, BLANKS);
        char *line;

        ps.line++;
        indent = indent < len ? indent : len;
        line = mem_strndup(text + indent, len - indent);
        for (size_t l = strlen(line); l && strchr(BLANKS, line[l - 1]);)
            line[--l] = '\0';
        if (*line == '\0') {
            ps.blanks++;
        } else if (*line == '#' || *line == ';') {
            ;
        } else {
            if (key_open && indent > ps.indent) {
                extend(&ps, line);
            } else {
                ps.indent = indent;
                key_open = *line != '[';
                rc = key_open ? add_key(&ps, line, e) : open_section(&ps, line, e);
            }
            ps.blanks = 0;
        }
        explicit_bzero(line, strlen(line));
        mem_free(line);
        text += len + (text[len] == '\n');
    }
    for (size_t i = 0; i < ps.nheaders; i++)
        mem_free(ps.headers[i]);
    mem_free(ps.headers);
    mem_free(ps.profile);
    return rc;
}

struct aws_profiles *aws_profiles_parse(const char *config, const char *config_name,
                                        const char *credentials, const char *credentials_name,
                                        struct err *e)
{
    struct aws_profiles *p = mem_alloc(sizeof *p);

    if ((config && parse(p, config, config_name, false, e) != 0) ||
        (credentials && parse(p, credentials, credentials_name, true, e) != 0)) {
        aws_profiles_free(p);
        return NULL;
    }
    return p;
}

void aws_profiles_free(struct aws_profiles *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        entry_free(&p->e[i]);
    mem_free(p->e);
    mem_free(p);
}

const char *aws_profiles_get_from(const struct aws_profiles *p, const char *profile,
                                  const char *key, bool credentials)
{
    const struct entry *e = find(p, profile, key, credentials);
    return e ? e->value : NULL;
}

const char *aws_profiles_get(const struct aws_profiles *p, const char *profile, const char *key)
{
    const char *v = aws_profiles_get_from(p, profile, key, true);
    return v ? v : aws_profiles_get_from(p, profile, key, false);
}

bool aws_profiles_has(const struct aws_profiles *p, const char *profile)
{
    return find(p, profile, NULL, false) || find(p, profile, NULL, true);
}

/* The path in the variable, or ~/.aws/NAME; NULL where there is no home either. */
static char *path_of(const char *variable, const char *name)
{
    const char *path = aws_env(variable), *home = aws_env("HOME");

    if (path && strncmp(path, "~/", 2) != 0)
        return mem_strdup(path);
    if (!home)
        return NULL;
    return path ? mem_printf("%s/%s", home, path + 2) : mem_printf("%s/.aws/%s", home, name);
}

/* The text of a file, NULL where it does not exist. */
static int read_text(const char *path, bool secret, char **text, struct err *e)
{
    static bool warned;
    struct stat st;
    size_t len = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;

    *text = NULL;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    if (fd < 0 || fstat(fd, &st) != 0) {
        rc = err_set(e, ERR_IO, "cannot read %s: %m", path);
        goto out;
    }
    if (strcmp(path, "/dev/null") == 0) /* how one says that there is none */
        goto out;
    if (!S_ISREG(st.st_mode)) {
        rc = err_set(e, ERR_IO, "cannot read %s: it is no regular file", path);
        goto out;
    }
    if (st.st_size > MAX_FILE_BYTES) {
        rc = err_set(e, ERR_LIMIT, "%s is larger than %d bytes: expected AWS's ini file", path,
                     MAX_FILE_BYTES);
        goto out;
    }
    if (secret && st.st_mode & S_IROTH && !warned) {
        log_warn("aws", "%s holds keys and everybody may read it: chmod 600 it", path);
        warned = true;
    }
    *text = mem_alloc((size_t)st.st_size + 1);
    while (len < (size_t)st.st_size && (n = read(fd, *text + len, (size_t)st.st_size - len)) > 0)
        len += (size_t)n;
    if (n < 0) {
        rc = err_set(e, ERR_IO, "cannot read %s: %m", path);
        mem_free(*text);
        *text = NULL;
    }
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

struct aws_profiles *aws_profiles_load(struct err *e)
{
    char *config_path = path_of("AWS_CONFIG_FILE", "config");
    char *credentials_path = path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials");
    char *config = NULL, *credentials = NULL;
    struct aws_profiles *p = NULL;

    if ((!config_path || read_text(config_path, false, &config, e) == 0) &&
        (!credentials_path || read_text(credentials_path, true, &credentials, e) == 0))
        p = aws_profiles_parse(config, config_path, credentials, credentials_path, e);
    if (credentials)
        explicit_bzero(credentials, strlen(credentials));
    mem_free(config);
    mem_free(credentials);
    mem_free(config_path);
    mem_free(credentials_path);
    return p;
}

char *aws_profile_region(const char *profile)
{
    struct aws_profiles *p = aws_profiles_load(NULL);
    const char *name = profile ? profile : aws_env("AWS_PROFILE");
    char *region = NULL;

    if (p) {
        region = mem_strdup(aws_profiles_get(p, name ? name : "default", "region"));
        aws_profiles_free(p);
    }
    return region;
}
