/* A loopback HTTP server that plays a script, and a loop with a limit, for the tests of calls. */
#ifndef RB_TESTS_AWS_HELP_SERVER_H
#define RB_TESTS_AWS_HELP_SERVER_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "io/http.h"
#include "io/loop.h"

#define MAX_REQUESTS 16

enum act { SAY, RESET, SILENT }; /* answer; close with RST after the request; never answer */

struct line {
    enum act act;
    int status;
    const char *headers;       /* each with CRLF, or NULL */
    const char *body;          /* NULL: empty */
    void (*before)(void *arg); /* run by the server's thread before it answers */
    void *arg;
};

struct server {
    int fd, port;
    char url[64];
    const struct line *script; /* its last line is played for all further requests */
    size_t nscript;
    atomic_int requests, stopping;
    char *request[MAX_REQUESTS]; /* head and body as they came */
    pthread_t thread;
};

void server_start(struct server *s, const struct line *script, size_t nscript);
void server_stop(struct server *s);
/* Whether request n (from 0) has this text. */
bool server_saw(struct server *s, int n, const char *text);

struct world {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
};
void world_open(struct world *w);
void world_close(struct world *w);
void world_run(struct world *w, const int *count, int n, int64_t max_ms); /* until *count >= n */
void world_wait(struct world *w, int64_t ms);

/* Takes away every AWS_ variable and HOME, so that only what a test sets is there. */
void clear_environment(void);
void write_file(const char *path, const char *text);

#endif
