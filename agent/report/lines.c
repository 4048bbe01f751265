/* Reports as JSON lines in a file, or in the log: what shadow runs say, and what is said where no
 * pager is configured. A thread of its own writes the file, so that a hung disk holds up nobody. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "report/sink.h"

#define MAX_WAITING 1000 /* lines; more are told to come again */

struct line {
    struct lines *self;
    char *text;
    size_t len;
    sink_fn *fn; /* NULL: cancelled */
    void *arg;
    int failed; /* errno */
    struct line *next;
};

struct lines {
    struct sink_env env;
    char *path; /* NULL: the log */
    pthread_t thread;
    bool threaded;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct line *first, **last; /* for the thread */
    size_t waiting;
    bool stop;
    int refs; /* the loop's and the thread's */
};

static void lines_unref(struct lines *l)
{
    bool gone;

    pthread_mutex_lock(&l->lock);
    gone = --l->refs == 0;
    pthread_mutex_unlock(&l->lock);
    if (!gone)
        return;
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    mem_free(l->path);
    mem_free(l);
}

static void complete(void *arg)
{
    struct line *x = arg;
    char *why = NULL;
    struct sink_answer a = {x->failed ? SINK_RETRY : SINK_DELIVERED, -1, true, "written"};

    if (x->fn) { /* else the sink may be gone */
        if (x->failed)
            a.text = why =
                mem_printf("%s cannot be written: %s", x->self->path, strerror(x->failed));
        x->fn(x->arg, &a);
    }
    mem_free(why);
    mem_free(x->text);
    mem_free(x);
}

/* The file is opened for each line: it can be rotated at any time. */
static int write_line(const char *path, const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600),
        e = 0;

    if (fd < 0)
        return errno;
    while (len > 0 && !e) {
        ssize_t n = write(fd, text, len);
        if (n < 0 && errno != EINTR)
            e = errno;
        if (n > 0) {
            text += n;
            len -= (size_t)n;
        }
    }
    if (close(fd) && !e)
        e = errno;
    return e;
}

static void *writer(void *arg)
{
    struct lines *l = arg;

    pthread_mutex_lock(&l->lock);
    for (;;) {
        struct line *x;
        while (!l->first && !l->stop)
            pthread_cond_wait(&l->work, &l->lock);
        if (l->stop)
            break;
        x = l->first;
        l->first = x->next;
        if (!l->first)
            l->last = &l->first;
        l->waiting--;
        pthread_mutex_unlock(&l->lock);
        x->failed = write_line(l->path, x->text, x->len);
        pthread_mutex_lock(&l->lock);
        if (l->stop) { /* the loop may be gone: the report is delivered once more after the start */
            mem_free(x->text);
            mem_free(x);
            break;
        }
        loop_post(l->env.loop, complete, x);
    }
    while (l->first) {
        struct line *x = l->first;
        l->first = x->next;
        mem_free(x->text);
        mem_free(x);
    }
    pthread_mutex_unlock(&l->lock);
    lines_unref(l);
    return NULL;
}

static void *lines_send(void *self, const struct json *report, int trim, sink_fn *fn, void *arg)
{
    struct lines *l = self;
    struct line *x = mem_alloc(sizeof(*x));
    char *text = json_print(report);

    (void)trim;
    x->self = l;
    x->fn = fn;
    x->arg = arg;
    if (!l->path) {
        log_info(json_get_bool(report, "shadow", false) ? "shadow" : "report", "%s", text);
        mem_free(text);
        loop_defer(l->env.loop, complete, x);
        return x;
    }
    x->text = mem_printf("%s\n", text);
    x->len = strlen(x->text);
    mem_free(text);
    pthread_mutex_lock(&l->lock);
    if (l->waiting >= MAX_WAITING) {
        x->failed = EAGAIN;
        loop_defer(l->env.loop, complete, x);
    } else {
        *l->last = x;
        l->last = &x->next;
        l->waiting++;
        pthread_cond_signal(&l->work);
    }
    pthread_mutex_unlock(&l->lock);
    return x;
}

static void lines_cancel(void *self, void *sending)
{
    struct line *x = sending;

    (void)self;
    x->fn = NULL;
}

static void lines_close(void *self)
{
    struct lines *l = self;

    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    if (l->threaded)
        pthread_detach(l->thread);
    lines_unref(l);
}

static void *lines_open(const struct sink_env *env, const struct json *config, struct err *e)
{
    struct lines *l = mem_alloc(sizeof(*l));
    int rc;

    l->env = *env;
    l->path = mem_strdup(json_get_str(config, "file", NULL));
    l->last = &l->first;
    l->refs = 1;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    if (!l->path)
        return l;
    l->refs = 2;
    rc = pthread_create(&l->thread, NULL, writer, l);
    if (rc) {
        err_set(e, ERR_IO, "cannot start a thread to write %s: %s", l->path, strerror(rc));
        l->refs = 1;
        lines_unref(l);
        return NULL;
    }
    l->threaded = true;
    return l;
}

const struct sink_type lines_sink = {
    .name = "log",
    .summary = "JSON lines in a file or in the log",
    .open = lines_open,
    .close = lines_close,
    .send = lines_send,
    .cancel = lines_cancel,
};
