/* SQLite opened the careful way: allocator, file checks, pragmas, and a few statement helpers with
 * errors in our words. */
#include "io/db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define BUSY_MS 1000
#define ROW_MAX_BYTES (64 * 1024 * 1024) /* a policy source or a packed day is far below */

/* The allocator: SQLite asks for the size of a block, so it stands in front of it. */
#define SIZE_BYTES 8

static void *lib_malloc(int n)
{
    char *p = mem_lib_malloc((size_t)n + SIZE_BYTES);
    if (!p)
        return NULL;
    memcpy(p, &n, sizeof n);
    return p + SIZE_BYTES;
}

static void lib_free(void *p)
{
    if (p)
        mem_lib_free((char *)p - SIZE_BYTES);
}

static void *lib_realloc(void *p, int n)
{
    char *q = mem_lib_realloc((char *)p - SIZE_BYTES, (size_t)n + SIZE_BYTES);
    if (!q)
        return NULL;
    memcpy(q, &n, sizeof n);
    return q + SIZE_BYTES;
}

static int lib_size(void *p)
{
    int n = 0;
    if (p)
        memcpy(&n, (char *)p - SIZE_BYTES, sizeof n);
    return n;
}

static int lib_roundup(int n)
{
    return (n + 7) & ~7;
}

static int lib_init(void *arg)
{
    (void)arg;
    return SQLITE_OK;
}

static void lib_shutdown(void *arg)
{
    (void)arg;
}

static pthread_once_t init_once = PTHREAD_ONCE_INIT;
static int init_rc;

static void init(void)
{
    static const sqlite3_mem_methods methods = {
        .xMalloc = lib_malloc,
        .xFree = lib_free,
        .xRealloc = lib_realloc,
        .xSize = lib_size,
        .xRoundup = lib_roundup,
        .xInit = lib_init,
        .xShutdown = lib_shutdown,
    };
    init_rc = sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
    if (!init_rc)
        init_rc = sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    if (!init_rc)
        init_rc = sqlite3_initialize();
}

int db_init(struct err *e)
{
    pthread_once(&init_once, init);
    if (init_rc)
        return err_set(e, ERR_BUG, "SQLite was used before db_init gave it our allocator (%s)",
                       sqlite3_errstr(init_rc));
    return 0;
}

static int db_fail(struct sqlite3 *db, int rc, struct err *e)
{
    const char *path = db ? sqlite3_db_filename(db, "main") : NULL;
    const char *text = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
    int os = db ? sqlite3_system_errno(db) : 0;
    int code = ERR_IO;
    const char *hint = "";
    switch (rc & 0xff) {
    case SQLITE_NOTADB:
        code = ERR_INPUT;
        hint =
            "; it is not a SQLite database, or its first page is damaged: restore it from a copy "
            "or move it away";
        break;
    case SQLITE_CORRUPT:
        code = ERR_INPUT;
        hint = "; the file is damaged: restore it from a copy or move it away";
        break;
    case SQLITE_FULL:
        hint = "; free space on its file system";
        break;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        hint = "; another program holds a lock on it";
        break;
    case SQLITE_MISUSE:
    case SQLITE_RANGE:
    case SQLITE_CONSTRAINT:
        code = ERR_BUG;
        break;
    default:
        break;
    }
    /* The system's error is kept from the last of these two only. */
    if (os && ((rc & 0xff) == SQLITE_IOERR || (rc & 0xff) == SQLITE_CANTOPEN))
        return err_set(e, code, "%s: %s (%s)%s", path && *path ? path : "database", text,
                       strerror(os), hint);
    return err_set(e, code, "%s: %s%s", path && *path ? path : "database", text, hint);
}

/* Opening. */

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

static int check_folder(const char *folder, struct err *e)
{
    struct stat st;
    if (stat(folder, &st) < 0)
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO,
                       "state directory %s: %s; make it, owned by the agent's user, mode 0700",
                       folder, strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_INPUT, "state directory %s is not a directory", folder);
    if (st.st_uid != geteuid() && st.st_uid != 0)
        return err_set(e, ERR_AUTH,
                       "state directory %s belongs to user %u, the agent runs as %u: chown it",
                       folder, st.st_uid, geteuid());
    if (st.st_mode & 022)
        return err_set(e, ERR_AUTH,
                       "state directory %s has mode %04o, others may write to it: "
                       "chmod go-w it",
                       folder, st.st_mode & 07777);
    return 0;
}

/* SQLite gives -wal and -shm the mode of the database, so the file's mode is settled before it is
 * opened. */
static int check_file(const char *path, const char *folder, struct err *e)
{
    int code = 0, dir = -1;
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0) {
        /* A file whose name is not durable is lost with all that was committed to it. */
        dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fchmod(fd, 0600) < 0 || dir < 0 || fsync(dir) < 0)
            code = err_set(e, ERR_IO, "cannot make %s: %s", path, strerror(errno));
        goto out;
    }
    if (errno != EEXIST) {
        code = err_set(e, ERR_IO, "cannot make %s: %s", path, strerror(errno));
        goto out;
    }
    struct stat st;
    if (lstat(path, &st) < 0)
        code = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        code = err_set(e, ERR_INPUT, "%s is not a plain file", path);
    else if (st.st_uid != geteuid())
        code = err_set(e, ERR_AUTH, "%s belongs to user %u, the agent runs as %u: chown it", path,
                       st.st_uid, geteuid());
    else if (st.st_mode & 077)
        code = err_set(e, ERR_AUTH, "%s has mode %04o, others may read or write it: chmod 0600 it",
                       path, st.st_mode & 07777);
    else if (access(path, R_OK | W_OK) < 0)
        code = err_set(e, ERR_AUTH, "%s: %s", path, strerror(errno));
out:
    if (fd >= 0)
        close(fd);
    if (dir >= 0)
        close(dir);
    return code;
}

static int set_up(struct sqlite3 *db, bool write, struct err *e)
{
    sqlite3_extended_result_codes(db, 1);
    sqlite3_busy_timeout(db, BUSY_MS);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, ROW_MAX_BYTES);
    int code = db_exec(db,
                       "PRAGMA cell_size_check=ON;"
                       "PRAGMA mmap_size=0;" /* an I/O error must be an error, not SIGBUS */
                       "PRAGMA temp_store=MEMORY;"
                       "PRAGMA foreign_keys=ON;",
                       e);
    if (code || !write)
        return code;
    struct sqlite3_stmt *q = db_query(db, e, "PRAGMA journal_mode=WAL", "");
    if (db_row(q, e) < 0) {
        db_end(q);
        return e ? e->code : ERR_IO;
    }
    bool wal = strcmp(db_text(q, 0), "wal") == 0;
    db_end(q);
    if (!wal)
        return err_set(e, ERR_IO,
                       "%s: this file system cannot hold a write-ahead log "
                       "(shared memory is needed); use a local one",
                       sqlite3_db_filename(db, "main"));
    return db_exec(db,
                   "PRAGMA synchronous=FULL;"
                   "PRAGMA wal_autocheckpoint=0;" /* the store checkpoints between two groups */
                   "PRAGMA journal_size_limit=67108864;",
                   e);
}

struct sqlite3 *db_open(const char *path, const char *vfs, bool write, struct err *e)
{
    struct err own = ERR_INIT;
    if (!e)
        e = &own;
    if (db_init(e))
        return NULL;
    if (write && !vfs) {
        char *folder = folder_of(path);
        int code = check_folder(folder, e);
        if (!code)
            code = check_file(path, folder, e);
        mem_free(folder);
        if (code)
            return NULL;
    } else if (!vfs && access(path, R_OK) < 0) {
        err_set(e,
                errno == ENOENT   ? ERR_NOT_FOUND
                : errno == EACCES ? ERR_AUTH
                                  : ERR_IO,
                "%s: %s", path, strerror(errno));
        return NULL;
    }
    struct sqlite3 *db = NULL;
    int flags = (write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY) |
                SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    int rc = sqlite3_open_v2(path, &db, flags, vfs);
    if (rc) {
        db_fail(db, rc, e);
        err_wrap(e, "cannot open %s", path);
    } else if (set_up(db, write, e) == 0) {
        return db;
    }
    db_close(db);
    return NULL;
}

void db_close(struct sqlite3 *db)
{
    if (!db)
        return;
    sqlite3_stmt *st;
    while ((st = sqlite3_next_stmt(db, NULL)))
        sqlite3_finalize(st);
    sqlite3_close(db);
}

/* Statements. */

int db_exec(struct sqlite3 *db, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    return rc ? db_fail(db, rc, e) : 0;
}

static sqlite3_stmt *kept(struct sqlite3 *db, const char *sql)
{
    for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(db, st));)
        if (!sqlite3_stmt_busy(st) && strcmp(sqlite3_sql(st), sql) == 0)
            return st;
    return NULL;
}

static struct sqlite3_stmt *query(struct sqlite3 *db, struct err *e, const char *sql,
                                  const char *types, va_list ap)
{
    sqlite3_stmt *st = kept(db, sql);
    int rc = SQLITE_OK;
    if (!st)
        rc = sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &st, NULL);
    for (int i = 1; !rc && *types; i++, types++) {
        if (*types == 'i') {
            rc = sqlite3_bind_int64(st, i, va_arg(ap, int64_t));
        } else if (*types == 't') {
            rc = sqlite3_bind_text(st, i, va_arg(ap, const char *), -1, SQLITE_STATIC);
        } else {
            const void *p = va_arg(ap, const void *);
            size_t len = va_arg(ap, size_t);
            rc = p ? sqlite3_bind_blob64(st, i, p, len, SQLITE_STATIC)
                   : sqlite3_bind_zeroblob(st, i, 0);
        }
    }
    if (rc) {
        db_fail(db, rc, e);
        return NULL;
    }
    return st;
}

struct sqlite3_stmt *db_query(struct sqlite3 *db, struct err *e, const char *sql, const char *types,
                              ...)
{
    va_list ap;
    va_start(ap, types);
    struct sqlite3_stmt *q = query(db, e, sql, types, ap);
    va_end(ap);
    return q;
}

int db_row(struct sqlite3_stmt *q, struct err *e)
{
    if (!q)
        return e && e->code ? e->code : ERR_IO;
    int rc = sqlite3_step(q);
    if (rc == SQLITE_ROW)
        return 1;
    return rc == SQLITE_DONE ? 0 : db_fail(sqlite3_db_handle(q), rc, e);
}

int64_t db_int(struct sqlite3_stmt *q, int column)
{
    return sqlite3_column_int64(q, column);
}

const char *db_text(struct sqlite3_stmt *q, int column)
{
    const char *s = (const char *)sqlite3_column_text(q, column);
    return s ? s : "";
}

const void *db_blob(struct sqlite3_stmt *q, int column, size_t *len)
{
    const void *p = sqlite3_column_blob(q, column);
    *len = (size_t)sqlite3_column_bytes(q, column);
    return p ? p : "";
}

void db_end(struct sqlite3_stmt *q)
{
    if (!q)
        return;
    sqlite3_reset(q);
    sqlite3_clear_bindings(q);
}

int db_run(struct sqlite3 *db, struct err *e, int64_t *changed, const char *sql, const char *types,
           ...)
{
    struct err own = ERR_INIT;
    va_list ap;
    va_start(ap, types);
    struct sqlite3_stmt *q = query(db, e ? e : &own, sql, types, ap);
    va_end(ap);
    int r = db_row(q, e ? e : &own);
    db_end(q);
    if (r < 0)
        return r;
    if (changed)
        *changed = sqlite3_changes64(db);
    return 0;
}

bool db_in_transaction(struct sqlite3 *db)
{
    return !sqlite3_get_autocommit(db);
}

void db_reset_all(struct sqlite3 *db)
{
    for (sqlite3_stmt *st = NULL; (st = sqlite3_next_stmt(db, st));)
        db_end(st);
}
