/* Runs a fuzz target without libFuzzer: over the files that are named, or over mutations of its
 * seeds, the same ones each time. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 4096u
#define ROUNDS 30000

static uint64_t state = 88172645463325252u;
static uint8_t input[INPUT_MAX];
static size_t input_len;

/* xorshift64 (Marsaglia 2003): good enough here, and the same on every machine. */
static size_t draw(size_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return below > 0 ? (size_t)(state % below) : 0;
}

static size_t count(const char *const *list)
{
    size_t n = 0;

    while (list[n] != NULL)
        n++;
    return n;
}

/* Puts bytes in at a place, moving the rest up. */
static void put_in(size_t at, const void *data, size_t len)
{
    if (len > INPUT_MAX - input_len)
        return;
    memmove(input + at + len, input + at, input_len - at);
    memcpy(input + at, data, len);
    input_len += len;
}

static void take_out(size_t at, size_t len)
{
    memmove(input + at, input + at + len, input_len - at - len);
    input_len -= len;
}

static void mutate(void)
{
    uint8_t copy[INPUT_MAX];
    size_t at = draw(input_len + 1), len = draw(input_len - at + 1);
    const char *word;

    switch (draw(7)) {
    case 0:
        if (at < input_len)
            input[at] = (uint8_t)draw(256);
        break;
    case 1:
        if (at < input_len)
            input[at] ^= (uint8_t)(1u << draw(8));
        break;
    case 2:
        take_out(at, len < 8 ? len : draw(8));
        break;
    case 3: /* a piece once more, somewhere else */
        memcpy(copy, input + at, len);
        put_in(draw(input_len + 1), copy, len);
        break;
    case 4:
        input_len = at;
        break;
    default:
        word = fuzz_words[draw(count(fuzz_words))];
        put_in(at, word, strlen(word));
        break;
    }
}

static void run(void)
{
    uint8_t *exact = malloc(
        input_len > 0 ? input_len : 1); /* so that a sanitizer sees the first byte read too far */

    if (exact == NULL)
        abort();
    memcpy(exact, input, input_len);
    LLVMFuzzerTestOneInput(exact, input_len);
    free(exact);
}

static void on_abort(int sig)
{
    if (write(STDERR_FILENO, "input was:\n", 11) == 11 &&
        write(STDERR_FILENO, input, input_len) == (ssize_t)input_len)
        (void)!write(STDERR_FILENO, "\n", 1);
    signal(sig, SIG_DFL);
    raise(sig);
}

int main(int argc, char **argv)
{
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    for (int i = 1; i < argc; i++) {
        FILE *f = fopen(argv[i], "rb");
        if (f == NULL) {
            perror(argv[i]);
            return 1;
        }
        input_len = fread(input, 1, sizeof(input), f);
        fclose(f);
        run();
    }
    size_t seeds = count(fuzz_seeds);
    if (seeds == 0) {
        fputs("no seeds\n", stderr);
        return 1;
    }
    for (size_t i = 0; argc == 1 && i < ROUNDS; i++) {
        const char *seed = fuzz_seeds[i % seeds];
        input_len = strlen(seed);
        memcpy(input, seed, input_len);
        for (size_t n = i < seeds ? 0 : 1 + draw(6); n > 0; n--)
            mutate();
        run();
    }
    return 0;
}
