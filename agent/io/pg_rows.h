/* A PostgreSQL result, copied row by row with a ceiling, so that no answer can fill the memory. Private to io/pg. */
#ifndef RB_IO_PG_ROWS_H
#define RB_IO_PG_ROWS_H

#include <stdbool.h>
#include <libpq-fe.h>

#define PG_ROWS_MAX 100000
#define PG_BYTES_MAX (16u << 20) /* of values */
#define PG_WIRE_MAX (32u << 20)  /* of what the server sends for one statement */

struct pg_rows;
struct pg_rows *pg_rows_new(void);
void pg_rows_free(struct pg_rows *r); /* NULL is fine */
bool pg_rows_add(struct pg_rows *r, const PGresult *one); /* false: above a ceiling */

#endif
