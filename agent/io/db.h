/* A SQLite database opened the careful way, and statements that are prepared once; used on the
 * store's thread and by offline tools. */
#ifndef RB_IO_DB_H
#define RB_IO_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"

struct sqlite3;
struct sqlite3_stmt;

/* Gives SQLite our allocator; once a process, before anything else touches SQLite (db_open does it;
 * who registers a VFS calls it first). */
int db_init(struct err *e);

/* For writing: makes the file (0600) where there is none, refuses one that others may read or
 * write, that belongs to someone else or that is no plain file, and a directory that others may
 * write to. WAL, synchronous=FULL, defensive, trusted_schema off. For reading: neither makes nor
 * checks nor changes anything. With a vfs of tests the file checks are left out. NULL on error:
 * ERR_NOT_FOUND, ERR_AUTH (permissions), ERR_IO. */
struct sqlite3 *db_open(const char *path, const char *vfs, bool write, struct err *e);
void db_close(struct sqlite3 *db); /* NULL is fine */

/* Statements without rows, any number, separated by ";". */
int db_exec(struct sqlite3 *db, const char *sql, struct err *e);

/* Prepares (or takes from those kept) and binds; types has a letter a parameter: i int64_t, t const
 * char *, b const void * and size_t. What is bound must live until db_end. NULL on error. */
struct sqlite3_stmt *db_query(struct sqlite3 *db, struct err *e, const char *sql, const char *types,
                              ...);
int db_row(struct sqlite3_stmt *q,
           struct err *e); /* 1: a row; 0: no more; negative. q NULL: the error that e holds */
int64_t db_int(struct sqlite3_stmt *q, int column);
const char *db_text(struct sqlite3_stmt *q, int column); /* never NULL; until the next db_row */
const void *db_blob(struct sqlite3_stmt *q, int column, size_t *len);
void db_end(struct sqlite3_stmt *q); /* NULL is fine */

/* A statement without rows; 0 or negative. *changed (may be NULL): the rows it changed. */
int db_run(struct sqlite3 *db, struct err *e, int64_t *changed, const char *sql, const char *types,
           ...);

bool db_in_transaction(struct sqlite3 *db);
void db_reset_all(struct sqlite3 *db); /* ends every statement that was left open */

#endif
