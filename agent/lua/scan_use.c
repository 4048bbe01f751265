/* What is asked of a scanned text: the marked copy, fields by name, words by line. */
#include <string.h>
#include "base/buf.h"
#include "base/mem.h"
#include "lua/scan.h"

struct scan *scan_ref(struct scan *s)
{
    s->refs++;
    return s;
}

void scan_free(struct scan *s)
{
    if (!s || --s->refs > 0) {
        return;
    }
    for (size_t i = 0; i < s->ntables; i++) {
        mem_free(s->tables[i].fields);
    }
    mem_free(s->tables);
    mem_free(s->uses);
    mem_free(s->steps);
    mem_free(s->bitwise);
    mem_free(s->tokens);
    mem_free(s->marked);
    mem_free(s);
}

const char *scan_marked(struct scan *s, int base, size_t *len)
{
    struct buf out;
    if (s->marked && s->marked_base == base) {
        *len = s->marked_len;
        return s->marked;
    }
    buf_init(&out, s->len + s->ntables * 40 + 1);
    size_t from = 0;
    for (size_t i = 0; i < s->ntables && s->whole; i++) {
        size_t brace = s->tokens[s->tables[i].open].at + 1;
        (void)buf_add(&out, s->text + from, brace - from);
        (void)buf_addf(&out, "[0x1p-1074]=%zu;", (size_t)base + i);
        from = brace;
    }
    (void)buf_add(&out, s->text + from, s->len - from);
    *len = s->marked_len = out.len;
    mem_free(s->marked);
    s->marked_base = base;
    return s->marked = buf_take(&out);
}

const struct scan_field *scan_field(const struct scan *s, size_t table, const char *field,
                                    int index)
{
    if (table >= s->ntables) {
        return NULL;
    }
    const struct scan_table *t = &s->tables[table];
    for (size_t i = t->nfields; i > 0; i--) { /* the last one of a name counts */
        const struct scan_field *f = &t->fields[i - 1];
        const struct token *k = &s->tokens[f->key];
        if (!field ? index != 0 && f->index == index
                   : f->index == 0 && (k->kind == TOKEN_STRING
                                           ? k->body_len == strlen(field) &&
                                                 memcmp(s->text + k->body, field, k->body_len) == 0
                                           : token_is(s->text, k, field))) {
            return f;
        }
    }
    return NULL;
}

size_t scan_line(const struct scan *s, int line)
{
    size_t low = 0, high = s->ntokens - 1; /* the last one ends the text */
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (s->tokens[mid].line < line) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

size_t scan_find(const struct scan *s, int line, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = scan_line(s, line); s->tokens[i].kind != TOKEN_END; i++) {
        const struct token *t = &s->tokens[i];
        bool same = t->kind == TOKEN_STRING
                        ? t->body_len == n && memcmp(s->text + t->body, word, n) == 0
                        : token_is(s->text, t, word);
        if (t->line > line + SCAN_NEAR) {
            break;
        }
        if (same) {
            return i;
        }
    }
    return s->ntokens;
}
