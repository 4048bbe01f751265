/* Fuzz target: what xml_parse accepts is a tree without gaps, below its caps, with trimmed texts.
 */
#include <string.h>

#include "base/xml.h"
#include "fuzz.h"

const char *const fuzz_seeds[] = {
    "<?xml version=\"1.0\"?>\n<R xmlns=\"http://x/\"><A><member>1</member><member> 2 &amp; 3 "
    "</member></A><E/></R>",
    "<n:a xmlns:n=\"u\" at=\"v\">t<b>x</b>u<![CDATA[<raw>]]><!-- c --><?pi d?></n:a>",
    "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate "
    "exceeded</Message></Error></ErrorResponse>",
    "<a><a><a><a><a><a><a><a>&#65;&#x20ac;</a></a></a></a></a></a></a></a>",
    NULL,
};
const char *const fuzz_words[] = {
    "<",
    ">",
    "</",
    "/>",
    "<a>",
    "</a>",
    "&",
    "&amp;",
    "&lt;",
    "&#0;",
    "&#xD800;",
    "]]>",
    "<![CDATA[",
    "<!--",
    "-->",
    "<?",
    "?>",
    "\"",
    "=",
    ":",
    "\xff",
    "\xc3\xa9",
    "<!DOCTYPE a [<!ENTITY x \"y\">]>",
    "&x;",
    "xmlns",
    "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
    "\n",
    "\xef\xbb\xbf",
    "encoding=\"UTF-16\"",
    "<:>",
    NULL,
};

static size_t walk(const struct xml *x, size_t depth)
{
    const char *text = xml_text(x, NULL);
    size_t n = 1, len = strlen(text);

    FUZZ_CHECK(depth <= 32 && xml_name(x) != NULL && strchr(xml_name(x), ':') == NULL);
    FUZZ_CHECK(len == 0 ||
               (strchr(" \t\r\n", text[0]) == NULL && strchr(" \t\r\n", text[len - 1]) == NULL));
    for (const struct xml *c = xml_child(x, NULL); c != NULL; c = xml_next(c, NULL)) {
        FUZZ_CHECK(xml_count(x, xml_name(c)) >= 1);
        n += walk(c, depth + 1);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    struct xml *x = xml_parse((const char *)data, size, 1 << 20, &e);

    if (x == NULL)
        FUZZ_CHECK((e.code == ERR_INPUT || e.code == ERR_LIMIT) && e.text[0] != '\0');
    else
        FUZZ_CHECK(walk(x, 1) <= 200000);
    xml_free(x);
    return 0;
}
