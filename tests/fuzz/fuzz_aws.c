/* Fuzz target: AWS's ini files and the plans made of them, error bodies, command lines, canonical
 * requests. The first byte chooses. */
#include <string.h>

#include "aws/fault.h"
#include "aws/fetch_parts.h"
#include "aws/profile.h"
#include "aws/sigv4.h"
#include "base/mem.h"
#include "fuzz.h"

const char *const fuzz_seeds[] = {
    "0[default]\naws_access_key_id = AK\naws_secret_access_key = SK\n[profile a]\nrole_arn = "
    "arn:aws:iam::1:role/x\nsource_profile = default\nduration_seconds = 900\n",
    "0[profile 'b c']\ns3 =\n  max = 1\ncredential_process = /bin/x \"y z\"\n# comment\n[profile "
    "d]\nrole_arn : r\ncredential_source=Environment\n",
    "1<ErrorResponse><Error><Code>Throttling</Code><Message>m</Message></Error></ErrorResponse>",
    "1<Response><Errors><Error><Code>C</Code></Error></Errors><RequestID>i</RequestID></Response>",
    "2{\"__type\":\"a#B\",\"message\":\"m\"}",
    "3/usr/bin/x 'a b' \"c \\\" d\" e\\ f",
    "4/a/../b//c/%20?b=1&a=%2f&a&=x",
    "5http://127.0.0.1:81/x",
    NULL,
};
const char *const fuzz_words[] = {
    "[",    "]",  "=",          ":",           "\n",
    " ",    "\t", "[default]",  "[profile a]", "source_profile = a",
    "\r\n", "#",  ";",          "\xff",        "%",
    "%2F",  "..", "//",         "&",           "?",
    "'",    "\"", "\\\\",       "<",           "</a",
    "{",    "}",  "\"__type\"", "http://",     "[::1]",
    NULL,
};

static void profiles(const char *text)
{
    static const char *const names[] = {"default", "a", "b c", "d"};
    struct err e = ERR_INIT;
    struct aws_profiles *p = aws_profiles_parse(text, "config", text, "credentials", &e);

    FUZZ_CHECK((p != NULL) == (e.code == 0));
    for (size_t i = 0; p && i < sizeof names / sizeof *names; i++) {
        struct aws_plan plan;
        e = (struct err)ERR_INIT;
        int rc = aws_profile_plan(p, names[i], &plan, &e);
        FUZZ_CHECK(rc == e.code && plan.nroles <= AWS_MAX_ROLES);
        FUZZ_CHECK(rc == 0 || (plan.nroles == 0 && !plan.secret_key && e.text[0]));
        FUZZ_CHECK(plan.base != AWS_BASE_KEYS || (plan.access_key && plan.secret_key));
        aws_plan_clear(&plan);
    }
    aws_profiles_free(p);
}

static void fault(enum aws_protocol protocol, const char *text)
{
    struct aws_fault f;

    aws_fault_read(&f, protocol, protocol == AWS_JSON ? text : NULL, NULL, text, strlen(text));
    FUZZ_CHECK(f.known == (f.code[0] != '\0'));
    for (const char *c = f.message; *c; c++)
        FUZZ_CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
}

static void sign(char *text)
{
    char *query = strchr(text, '?'), date[SIGV4_DATE];
    struct sigv4_header h = {"X-Any", text};
    struct sigv4_request r = {.method = "GET",
                              .host = "h",
                              .path = text,
                              .headers = &h,
                              .nheaders = 1,
                              .service = "s",
                              .region = "r"};
    struct aws_keys k = {"AK", "SK", NULL};
    struct buf b;

    if (query) {
        *query = '\0';
        r.query = query + 1;
    }
    buf_init(&b, 65536);
    FUZZ_CHECK(sigv4_sign(&r, &k, 1440938160000, date, &b, NULL) == 0);
    FUZZ_CHECK(strcmp(date, "20150830T123600Z") == 0 && !b.overflow);
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text, **words;

    if (size == 0)
        return 0;
    text = mem_strndup((const char *)data + 1, size - 1);
    switch (data[0]) {
    case '0':
        profiles(text);
        break;
    case '1':
        fault(AWS_QUERY, text);
        break;
    case '2':
        fault(AWS_JSON, text);
        break;
    case '3':
        words = aws_words(text);
        for (size_t i = 0; words && words[i]; i++)
            FUZZ_CHECK(strlen(words[i]) <= size);
        aws_words_free(words);
        break;
    case '4':
        sign(text);
        break;
    default:
        mem_free(aws_container_url(NULL, text, NULL));
        break;
    }
    mem_free(text);
    return 0;
}
