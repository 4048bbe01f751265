/* Answers what the zone code knows, a line each, for zone_oracle.py to compare: "Z NAME" loads a
 * zone, "t UTC" gives its offset and the bounds of it, "w DAYS FROM TO UTC_MS" whether that window
 * is open and the bounds of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/window.h"

int main(void)
{
    struct arena *a = arena_new();
    struct zone *z = NULL;
    struct err e = ERR_INIT;
    char line[256];
    int64_t begin, end;

    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 'Z') {
            z = zone_load(a, line + 2, &e);
            if (!z) {
                fprintf(stderr, "%s\n", e.text);
                return 1;
            }
        } else if (z && strncmp(line, "t ", 2) == 0) {
            int offset = zone_offset(z, strtoll(line + 2, NULL, 10), &begin, &end);
            printf("%d %" PRId64 " %" PRId64 "\n", offset, begin, end);
        } else if (z && strncmp(line, "w ", 2) == 0) { /* DAYS FROM TO TIME */
            struct window w = {.zone = z};
            char *word[4] = {0}, *rest = NULL;
            for (int i = 0; i < 4; i++)
                word[i] = strtok_r(i ? NULL : line + 2, " ", &rest);
            if (!word[3] || window_days(word[0], &w.days) ||
                window_time(word[1], false, &w.from_min) || window_time(word[2], true, &w.to_min))
                return 1;
            printf("%d", window_open(&w, strtoll(word[3], NULL, 10), &begin, &end));
            printf(" %" PRId64 " %" PRId64 "\n", begin, end);
        } else {
            fprintf(stderr, "what is \"%s\"?\n", line);
            return 1;
        }
    }
    arena_free(a);
    return 0;
}
