/* The log: each event one escaped, masked line and one write to stderr, which never holds the agent
 * up: a pipe that is not read is polled for, a file on a disk that hangs is left to a thread. */
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/units.h"
#include "base/utf8.h"

#define TEXT_MAX 16384u /* of an event before it is escaped */
/* PIPE_BUF: a line of this size is not mixed with another's, and fits once poll says so. */
#define LINE_MAX_LEN 4096u
#define WAIT_MS 50
#define QUEUE_MAX (256u * 1024u) /* of lines that wait for the writer */
#define LAST_WAIT_MS 1000
#define SECRETS 256u
#define SECRET_MIN 6u

static atomic_int threshold = LOG_LVL_INFO;
static _Thread_local bool muted;
static _Atomic(log_clock) clock_fn;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all below */
static log_sink sink_fn;
static void *sink_arg;
static char *secrets[SECRETS]; /* a ring: credentials that rotate push out the oldest */
static size_t secrets_used, secrets_next, secret_longest;
static unsigned long lost;
/* The writer's: one buffer fills up while the other is written. */
static char queue[2][QUEUE_MAX];
static size_t queued;
static int filling;
static bool writer_on, writing;
static atomic_bool left_behind; /* the writer is to give up what it still has */
static pthread_t writer;
static pthread_cond_t to_write = PTHREAD_COND_INITIALIZER, written = PTHREAD_COND_INITIALIZER;

static const char *const words[] = {"debug", "info", "warn", "error"};
static const char *const priorities[] = {"<7>", "<6>", "<4>", "<3>"}; /* sd-daemon(3) */

static int64_t system_wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct line {
    char data[LINE_MAX_LEN];
    size_t len;
    bool cut;
};

#define TAIL 4u /* "..." and the newline */

static void line_add(struct line *l, const char *s, size_t n)
{
    if (l->cut || n > sizeof(l->data) - TAIL - l->len) {
        l->cut = true;
        return;
    }
    memcpy(l->data + l->len, s, n);
    l->len += n;
}

/* Characters that end a line, move the cursor or turn the direction of text, in any program that
 * shows logs. */
static bool is_unsafe(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x2028 || c == 0x2029 ||
           (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

static void line_add_escaped(struct line *l, const char *s, size_t n)
{
    for (size_t i = 0; i < n && !l->cut;) {
        char escape[16];
        uint32_t c = 0;
        size_t len = utf8_next(s + i, n - i, &c);

        if (len > 0 && !is_unsafe(c)) {
            line_add(l, s + i, len);
        } else {
            if (len > 0 && (c == '\n' || c == '\t' || c == '\r'))
                snprintf(escape, sizeof(escape), "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
            else if (len > 1)
                snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)c);
            else
                snprintf(escape, sizeof(escape), "\\x%02x", (unsigned)(unsigned char)s[i]);
            line_add(l, escape, strlen(escape));
        }
        i += len > 0 ? len : 1;
    }
}

static size_t longest_secret_at(const char *s, size_t n)
{
    size_t best = 0;

    for (size_t i = 0; i < secrets_used; i++) {
        if (secrets[i][0] != s[0])
            continue;
        size_t len = strlen(secrets[i]);
        if (len > best && len <= n && memcmp(secrets[i], s, len) == 0)
            best = len;
    }
    return best;
}

/* In place: "***" is shorter than any secret. */
static size_t mask(char *text, size_t n)
{
    size_t out = 0;

    for (size_t i = 0; i < n;) {
        size_t len = secrets_used > 0 ? longest_secret_at(text + i, n - i) : 0;
        if (len > 0) {
            memcpy(text + out, "***", 3);
            out += 3;
            i += len;
        } else {
            text[out++] = text[i++];
        }
    }
    text[out] = '\0';
    return out;
}

/* systemd says in JOURNAL_STREAM which device and inode its stream has; a stderr that was
 * redirected since is not it (sd-daemon(3)). */
static bool is_journal(void)
{
    const char *v = getenv("JOURNAL_STREAM");
    char ours[48];
    struct stat st;

    if (v == NULL || fstat(STDERR_FILENO, &st) != 0)
        return false;
    snprintf(ours, sizeof(ours), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    return strcmp(v, ours) == 0;
}

/* One write, if stderr takes it soon: a log reader that hangs must not hang the agent. */
static bool write_line(const char *data, size_t len, int wait_ms)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    ssize_t n;

    if (poll(&p, 1, wait_ms) != 1 || p.revents != POLLOUT)
        return false; /* POLLERR is a reader that left: writing would be SIGPIPE */
    if (wait_ms < 0 && atomic_load(&left_behind))
        return false;
    n = send(STDERR_FILENO, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK)
        n = write(STDERR_FILENO, data, len);
    return n >= 0;
}

/* After a loss it is not waited for again. */
static bool put(const char *data, size_t len, int wait_ms)
{
    if (!writer_on)
        return write_line(data, len, wait_ms);
    if (len > QUEUE_MAX - queued)
        return false;
    memcpy(queue[filling] + queued, data, len);
    queued += len;
    pthread_cond_signal(&to_write);
    return true;
}

/* Line by line: what others write to the same file must not come in between. The lines that are
 * lost. */
static unsigned long write_lines(const char *data, size_t len)
{
    unsigned long failed = 0;

    for (const char *end = data + len; data < end;) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        size_t n = newline ? (size_t)(newline - data) + 1 : (size_t)(end - data);
        if (!write_line(data, n, -1))
            failed++; /* so are all the rest once it is left behind */
        data += n;
    }
    return failed;
}

static void *write_queued(void *arg)
{
    (void)arg;
    (void)pthread_setname_np(pthread_self(), "log");
    pthread_mutex_lock(&lock);
    while (writer_on || queued > 0) {
        int full = filling;
        size_t n = queued;
        unsigned long failed;

        if (n == 0) {
            pthread_cond_wait(&to_write, &lock);
            continue;
        }
        filling = !filling;
        queued = 0;
        writing = true;
        pthread_mutex_unlock(&lock);
        failed = write_lines(queue[full], n);
        pthread_mutex_lock(&lock);
        if (!atomic_load(&left_behind))
            lost += failed;
        writing = false;
        pthread_cond_broadcast(&written);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

void log_start_writer(void)
{
    sigset_t all, was;

    pthread_mutex_lock(&lock);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &was); /* signals are the loop's */
    writer_on = pthread_create(&writer, NULL, write_queued, NULL) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &was, NULL);
    pthread_mutex_unlock(&lock);
}

void log_stop_writer(void)
{
    struct timespec until;
    int rc = 0;

    pthread_mutex_lock(&lock);
    if (!writer_on) {
        pthread_mutex_unlock(&lock);
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += LAST_WAIT_MS / 1000;
    while ((queued > 0 || writing) && rc == 0)
        rc = pthread_cond_timedwait(&written, &lock, &until);
    writer_on = false;
    if (rc)
        queued = 0;
    atomic_store(&left_behind, rc != 0);
    pthread_cond_signal(&to_write);
    pthread_mutex_unlock(&lock);
    if (rc)
        (void)pthread_detach(writer); /* it hangs in a write, and ends with the process */
    else
        (void)pthread_join(writer, NULL);
}

static void start_line(struct line *l, enum log_level level, bool journal)
{
    l->len = 0;
    l->cut = false;
    if (journal) {
        line_add(l, priorities[level], strlen(priorities[level]));
    } else {
        log_clock clock = atomic_load(&clock_fn);
        char when[UNIT_TEXT];
        time_format_iso_ms(when, sizeof(when), clock != NULL ? clock() : system_wall_ms());
        line_add(l, when, strlen(when));
        line_add(l, " ", 1);
    }
    line_add(l, words[level], strlen(words[level]));
    line_add(l, " ", 1);
}

static void end_line(struct line *l)
{
    if (l->cut) {
        memcpy(l->data + l->len, "...", 3);
        l->len += 3;
    }
    l->data[l->len++] = '\n';
}

static void emit(enum log_level level, const char *part, const char *text, size_t len)
{
    struct line l;
    bool journal = is_journal();

    if (lost > 0) {
        char note[64];
        int n = snprintf(note, sizeof(note), "log: %lu lines were lost: stderr was not read", lost);
        start_line(&l, LOG_LVL_WARN, journal);
        line_add(&l, note, (size_t)n);
        end_line(&l);
        if (!put(l.data, l.len, 0)) {
            lost++;
            return;
        }
        lost = 0;
    }
    start_line(&l, level, journal);
    line_add_escaped(&l, part, strlen(part));
    line_add(&l, ": ", 2);
    line_add_escaped(&l, text, len);
    end_line(&l);
    if (!put(l.data, l.len, WAIT_MS))
        lost = 1;
}

static void emit_to_sink(enum log_level level, const char *part, const char *text, size_t len)
{
    struct line l = {.len = 0, .cut = false};

    line_add_escaped(&l, text, len);
    end_line(&l);
    l.data[l.len - 1] = '\0';
    sink_fn(level, part, l.data, sink_arg);
}

void log_at(enum log_level level, const char *part, const char *fmt, va_list ap)
{
    char text[TEXT_MAX];
    int saved = errno;

    if (muted || (int)level < atomic_load_explicit(&threshold, memory_order_relaxed))
        return;
    if ((unsigned)level > LOG_LVL_ERROR)
        level = LOG_LVL_ERROR;
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n;

    pthread_mutex_lock(&lock);
    if (len >= sizeof(text)) { /* the cut may have left the first half of a secret, which no
                                  comparison would find */
        len = sizeof(text) - 1;
        len = mask(text, len);
        size_t drop = secret_longest > 0 ? secret_longest - 1 : 0;
        len = len > drop ? len - drop : 0;
    } else {
        len = mask(text, len);
    }
    if (part == NULL)
        part = "-";
    if (sink_fn != NULL)
        emit_to_sink(level, part, text, len);
    else
        emit(level, part, text, len);
    pthread_mutex_unlock(&lock);
    errno = saved;
}

#define LOG_FUNCTION(name, level)                                                                  \
    void name(const char *part, const char *fmt, ...)                                              \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        log_at(level, part, fmt, ap);                                                              \
        va_end(ap);                                                                                \
    }

LOG_FUNCTION(log_debug, LOG_LVL_DEBUG)
LOG_FUNCTION(log_info, LOG_LVL_INFO)
LOG_FUNCTION(log_warn, LOG_LVL_WARN)
LOG_FUNCTION(log_error, LOG_LVL_ERROR)

void log_set_level(enum log_level level)
{
    atomic_store(&threshold, (int)level);
}

void log_mute(void)
{
    muted = true;
}

int log_level_parse(const char *word)
{
    for (int i = LOG_LVL_DEBUG; word != NULL && i <= LOG_LVL_ERROR; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    return -1;
}

void log_set_clock(log_clock wall_ms)
{
    atomic_store(&clock_fn, wall_ms);
}

void log_set_sink(log_sink sink, void *arg)
{
    pthread_mutex_lock(&lock);
    sink_fn = sink;
    sink_arg = arg;
    pthread_mutex_unlock(&lock);
}

static bool is_hidden(const char *secret)
{
    for (size_t i = 0; i < secrets_used; i++) {
        if (strcmp(secrets[i], secret) == 0)
            return true;
    }
    return false;
}

static void forget(char *secret)
{
    if (secret != NULL)
        explicit_bzero(secret, strlen(secret));
    mem_free(secret);
}

void log_hide(const char *secret)
{
    size_t len = secret != NULL ? strlen(secret) : 0;

    if (len < SECRET_MIN)
        return;
    pthread_mutex_lock(&lock);
    if (!is_hidden(secret)) {
        forget(secrets[secrets_next]);
        secrets[secrets_next] = mem_strdup(secret);
        secrets_next = (secrets_next + 1) % SECRETS;
        if (secrets_used < SECRETS)
            secrets_used++;
        if (len > secret_longest)
            secret_longest = len;
    }
    pthread_mutex_unlock(&lock);
}
