/* XML answers as a small tree in an arena, over expat; refuses document types, and with them every
 * entity trick. */
#include "base/xml.h"

#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#define DEPTH_MAX 32
#define ELEMENTS_MAX 200000

struct xml {
    const char *name, *text;
    struct xml *first, *last, *next; /* children, and the next sibling */
    struct arena *arena;             /* of the root: owns the tree; NULL in all others */
};

struct build {
    XML_Parser parser;
    struct arena *arena;
    struct xml *root, *open[DEPTH_MAX];
    struct buf text[DEPTH_MAX]; /* of the open elements: text goes on after a child */
    size_t depth, elements;
    int code;                   /* the first refusal of ours; 0 if none */
    const char *refused;        /* and why */
    unsigned long line, column; /* and where */
};

static void refuse(struct build *b, int code, const char *why)
{
    if (b->code == 0) {
        b->code = code;
        b->refused = why;
        b->line = XML_GetCurrentLineNumber(b->parser);
        b->column = XML_GetCurrentColumnNumber(b->parser) + 1;
    }
    XML_StopParser(b->parser, XML_FALSE);
}

static const char *without_prefix(const char *name)
{
    const char *colon = strrchr(name, ':');

    return colon != NULL ? colon + 1 : name;
}

static void XMLCALL on_start(void *arg, const XML_Char *qname, const XML_Char **attributes)
{
    struct build *b = arg;
    const char *name = without_prefix(qname);
    struct xml *parent = b->depth > 0 ? b->open[b->depth - 1] : NULL;

    (void)attributes;
    if (b->code != 0)
        return; /* expat may still report what it has read */
    if (b->depth == DEPTH_MAX) {
        refuse(b, ERR_LIMIT, "elements more than 32 deep");
        return;
    }
    if (++b->elements > ELEMENTS_MAX) {
        refuse(b, ERR_LIMIT, "more than 200000 elements");
        return;
    }
    struct xml *x = arena_alloc(b->arena, sizeof(*x));
    x->text = "";
    if (parent == NULL) {
        b->root = x;
        x->name = arena_strdup(b->arena, name);
    } else if (parent->last != NULL) {
        const char *before = parent->last->name; /* in lists all have the same */
        x->name = strcmp(before, name) == 0 ? before : arena_strdup(b->arena, name);
        parent->last->next = x;
        parent->last = x;
    } else {
        x->name = arena_strdup(b->arena, name);
        parent->first = parent->last = x;
    }
    buf_reset(&b->text[b->depth]);
    b->open[b->depth++] = x;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
    struct build *b = arg;

    (void)name;
    if (b->code != 0)
        return;
    const struct buf *text = &b->text[--b->depth];
    size_t from = 0, to = text->len;
    while (from < to && is_space(text->data[from]))
        from++;
    while (to > from && is_space(text->data[to - 1]))
        to--;
    if (to > from)
        b->open[b->depth]->text = arena_strndup(b->arena, text->data + from, to - from);
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int len)
{
    struct build *b = arg;

    if (b->code == 0 && b->depth > 0 && buf_add(&b->text[b->depth - 1], s, (size_t)len) != 0)
        refuse(b, ERR_LIMIT, "more text than the document can hold");
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    refuse(arg, ERR_INPUT, "a document type (<!DOCTYPE) is not accepted");
}

static int parse(struct build *b, const char *text, size_t len, struct err *e)
{
    XML_SetUserData(b->parser, b);
    XML_SetElementHandler(b->parser, on_start, on_end);
    XML_SetCharacterDataHandler(b->parser, on_text);
    XML_SetStartDoctypeDeclHandler(b->parser, on_doctype);
    if (XML_Parse(b->parser, text, (int)len, 1) == XML_STATUS_OK && b->code == 0)
        return 0;
    if (b->code != 0)
        return err_set(e, b->code, "refused XML at %lu:%lu: %s", b->line, b->column, b->refused);
    return err_set(e, ERR_INPUT, "not XML at %lu:%lu: %s", XML_GetCurrentLineNumber(b->parser),
                   XML_GetCurrentColumnNumber(b->parser) + 1,
                   XML_ErrorString(XML_GetErrorCode(b->parser)));
}

struct xml *xml_parse(const char *text, size_t len, size_t max_bytes, struct err *e)
{
    /* Allocations that fail end the process in here: expat never sees NULL, and its "out of memory"
     * is not taken for a bad answer. */
    static const XML_Memory_Handling_Suite memory = {mem_alloc, mem_realloc, mem_free};
    struct build b = {.code = 0};

    if (len > max_bytes || len > INT_MAX) {
        err_set(e, ERR_LIMIT, "refused XML of %zu bytes: at most %zu are read", len, max_bytes);
        return NULL;
    }
    b.parser = XML_ParserCreate_MM(NULL, &memory, NULL);
    if (b.parser == NULL) {
        err_set(e, ERR_BUG, "expat made no parser");
        return NULL;
    }
    b.arena = arena_new();
    for (size_t i = 0; i < DEPTH_MAX; i++)
        buf_init(&b.text[i], 2 * len); /* Latin-1 in UTF-8 is at most twice as long */
    int rc = parse(&b, text, len, e);
    for (size_t i = 0; i < DEPTH_MAX; i++)
        buf_free(&b.text[i]);
    XML_ParserFree(b.parser);
    if (rc != 0) {
        arena_free(b.arena);
        return NULL;
    }
    b.root->arena = b.arena;
    return b.root;
}

void xml_free(struct xml *root)
{
    if (root != NULL)
        arena_free(root->arena);
}

const char *xml_name(const struct xml *x)
{
    return x != NULL ? x->name : "";
}

const char *xml_text(const struct xml *x, const char *fallback)
{
    return x != NULL ? x->text : fallback;
}

static const struct xml *first_of(const struct xml *x, const char *name, size_t len)
{
    while (x != NULL && name != NULL && (strncmp(x->name, name, len) != 0 || x->name[len] != '\0'))
        x = x->next;
    return x;
}

const struct xml *xml_child(const struct xml *x, const char *name)
{
    return x != NULL ? first_of(x->first, name, name != NULL ? strlen(name) : 0) : NULL;
}

const struct xml *xml_next(const struct xml *x, const char *name)
{
    return x != NULL ? first_of(x->next, name, name != NULL ? strlen(name) : 0) : NULL;
}

const struct xml *xml_path(const struct xml *x, const char *path)
{
    while (x != NULL && *path != '\0') {
        size_t len = strcspn(path, "/");
        x = first_of(x->first, path, len);
        path += len;
        if (*path == '/')
            path++;
    }
    return x;
}

const char *xml_path_text(const struct xml *x, const char *path, const char *fallback)
{
    return xml_text(xml_path(x, path), fallback);
}

bool xml_is_empty(const struct xml *x)
{
    return x == NULL || (x->text[0] == '\0' && x->first == NULL);
}

size_t xml_count(const struct xml *x, const char *name)
{
    size_t n = 0;

    for (const struct xml *c = xml_child(x, name); c != NULL; c = xml_next(c, name))
        n++;
    return n;
}
