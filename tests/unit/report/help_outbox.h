/* The toy pager and webhook of the outbox's tests, and an outbox over a journal in memory. */
#ifndef RB_TESTS_HELP_OUTBOX_H
#define RB_TESTS_HELP_OUTBOX_H

#include "help_io.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "report/outbox.h"
#include "world/memory_journal.h"

#define MAX_EVENTS 4096

enum { RESET = -1, SILENT = -2, HANG = -3 };

/* The toy pager */
struct pager {
    struct server server;
    pthread_mutex_t lock;
    int answers[MAX_EVENTS], nanswers; /* for the first events that match, in order; then 202 */
    const char *only;   /* answers are for events with this text in them; NULL: all */
    const char *header; /* of every answer that is no 2xx */
    int blanks; /* behind each answer's body */
    int matched;
    char *seen[MAX_EVENTS];   /* all that came, "ACTION KEY SUMMARY" */
    char ids[MAX_EVENTS][64]; /* webhook-id */
    int codes[MAX_EVENTS], nseen;
    int always; /* the answer where none is told; 0: 202 */
    int taken;  /* 2xx answers, for the loop to wait on */
};

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
    struct http *http;
    struct memory_disk *disk;
    struct journal *journal;
    struct outbox *outbox;
    struct loop_timer *pump;
    struct pager pager, hook;
    int64_t answer_ms; /* 0: 5 s, which a busy machine does not reach */
    bool fast;         /* backoffs of 1 to 5 ms */
    bool hooked;       /* the outbox has the webhook, too */
    size_t waiting_max;
    char dir[64], key_file[96], secret_file[96], shadow_file[96];
    int row;
};

void write_secret(const char *path, const char *text);
int outbox_setup(void **state);
int outbox_teardown(void **state);
void report(struct fixture *f, const char *kind, const char *key, const char *summary, bool shadow);
void wait_until_idle(struct fixture *f);
int open_rows(struct fixture *f);
void taken_of_sink(struct pager *p, const char *key, char *out, size_t size);
void taken_of(struct fixture *f, const char *key, char *out, size_t size);
void restart(struct fixture *f);
void with_webhook(struct fixture *f);
int64_t steady(void *arg);

#define TEST(name) cmocka_unit_test_setup_teardown(name, outbox_setup, outbox_teardown)

#endif
