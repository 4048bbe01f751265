/* PostgreSQL results, copied out of libpq row by row. */
#include "io/pg_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/pg.h"

struct pg_rows {
    struct arena *arena;
    const char **names;
    size_t ncols;
    const char **cells; /* ncols a row */
    size_t nrows, cap, bytes, affected;
};

struct pg_rows *pg_rows_new(void)
{
    struct pg_rows *r = mem_alloc(sizeof *r);
    r->arena = arena_new();
    return r;
}

void pg_rows_free(struct pg_rows *r)
{
    if (!r)
        return;
    arena_free(r->arena);
    mem_free(r->cells);
    mem_free(r);
}

bool pg_rows_add(struct pg_rows *r, const PGresult *one)
{
    if (!r->names) {
        r->ncols = (size_t)PQnfields(one);
        r->names = arena_alloc(r->arena, (r->ncols + 1) * sizeof(char *));
        for (size_t c = 0; c < r->ncols; c++)
            r->names[c] = arena_strdup(r->arena, PQfname(one, (int)c));
    }
    if (PQresultStatus(one) != PGRES_SINGLE_TUPLE)
        /* it only reads; its parameter lacks const */
        r->affected = strtoul(PQcmdTuples((PGresult *)one), NULL, 10);
    size_t n = (size_t)PQntuples(one);
    if (n && (size_t)PQnfields(one) != r->ncols)
        return false;
    for (size_t row = 0; row < n; row++) {
        if (r->nrows == PG_ROWS_MAX)
            return false;
        if (r->nrows == r->cap) {
            r->cap = r->cap ? 2 * r->cap : 16;
            r->cells = mem_realloc(r->cells, (r->cap * r->ncols + 1) * sizeof(char *));
        }
        for (size_t c = 0; c < r->ncols; c++) {
            size_t len = (size_t)PQgetlength(one, (int)row, (int)c);
            r->bytes += len + sizeof(char *);
            if (r->bytes > PG_BYTES_MAX)
                return false;
            r->cells[r->nrows * r->ncols + c] =
                PQgetisnull(one, (int)row, (int)c)
                    ? NULL
                    : arena_strndup(r->arena, PQgetvalue(one, (int)row, (int)c), len);
        }
        r->nrows++;
    }
    return true;
}

size_t pg_rows_count(const struct pg_rows *r)
{
    return r->nrows;
}

size_t pg_affected(const struct pg_rows *r)
{
    return r->affected;
}

size_t pg_columns(const struct pg_rows *r)
{
    return r->ncols;
}

const char *pg_cell(const struct pg_rows *r, size_t row, size_t column)
{
    return row < r->nrows && column < r->ncols ? r->cells[row * r->ncols + column] : NULL;
}

const char *pg_value(const struct pg_rows *r, size_t row, const char *column)
{
    for (size_t c = 0; row < r->nrows && c < r->ncols; c++)
        if (!strcmp(r->names[c], column))
            return r->cells[row * r->ncols + c];
    return NULL;
}
