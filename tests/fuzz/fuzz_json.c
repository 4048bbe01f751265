/* Fuzz target: what json_parse accepts prints, reads back equal, and has one canonical form. */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "fuzz.h"

const char *const fuzz_seeds[] = {
    "{\"a\":[1,2.5,-3e10,{\"b\":null}],\"c\":\"\\u20ac\\ud83d\\ude00\\n\",\"d\":true}",
    "[[[[[[[[]]]]]]]]",
    "{\"k\":1,\"l\":{\"k\":2},\"m\":[{\"k\":3},{\"k\":4}]}",
    "\"text \xc3\xa9 \\\\ \\\" \\/\"",
    "[0.1,1e-7,123456789012345678901234567890,9007199254740993,-0]",
    " [ true , false , null , \"\" , { } ] ",
    NULL,
};
const char *const fuzz_words[] = {
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\u0000",
    "\\ud800",
    "\\udc00",
    "\\",
    "\"k\":",
    "null",
    "true",
    "1e999",
    "1e308",
    "0.",
    "-",
    "00",
    "\xff",
    "\xc0\x80",
    "\xed\xa0\x80",
    "\xef\xbb\xbf",
    "\n",
    "[[[[[[[[[[[[[[[[",
    "]]]]]]]]]]]]]]]]",
    "111111111111111111111111111111111111111111",
    "\"\\u006b\":",
    "e+",
    NULL,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    struct json *j = json_parse((const char *)data, size, 1 << 20, &e);

    if (j == NULL) {
        FUZZ_CHECK((e.code == ERR_INPUT || e.code == ERR_LIMIT) && e.text[0] != '\0');
        return 0;
    }
    char *text = json_print(j), *pretty = json_print_pretty(j),
         *canonical = json_print_canonical(j);
    struct json *a = json_parse(text, strlen(text), 1 << 24, &e);
    struct json *b = json_parse(pretty, strlen(pretty), 1 << 24, &e);
    struct json *c = json_parse(canonical, strlen(canonical), 1 << 24, &e);
    char *again = json_print_canonical(c), *same = json_print(a);

    FUZZ_CHECK(a != NULL && b != NULL && c != NULL);
    FUZZ_CHECK(json_equal(j, a) && json_equal(j, b) && json_equal(c, j));
    FUZZ_CHECK(strcmp(canonical, again) == 0 && strcmp(text, same) == 0);
    mem_free(text);
    mem_free(pretty);
    mem_free(canonical);
    mem_free(again);
    mem_free(same);
    json_free(a);
    json_free(b);
    json_free(c);
    json_free(j);
    return 0;
}
