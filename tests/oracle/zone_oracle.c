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
    char line[256], days[64], from[16], to[16];
    int64_t t, begin, end;

    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] == 'Z') {
            z = zone_load(a, line + 2, &e);
            if (!z) {
                fprintf(stderr, "%s\n", e.text);
                return 1;
            }
        } else if (z && sscanf(line, "t %" SCNd64, &t) == 1) {
            int offset = zone_offset(z, t, &begin, &end);
            printf("%d %" PRId64 " %" PRId64 "\n", offset, begin, end);
        } else if (z && sscanf(line, "w %63s %15s %15s %" SCNd64, days, from, to, &t) == 4) {
            struct window w = {.zone = z};
            if (window_days(days, &w.days) || window_time(from, false, &w.from_min) ||
                window_time(to, true, &w.to_min))
                return 1;
            printf("%d", window_open(&w, t, &begin, &end));
            printf(" %" PRId64 " %" PRId64 "\n", begin, end);
        } else {
            fprintf(stderr, "what is \"%s\"?\n", line);
            return 1;
        }
    }
    arena_free(a);
    return 0;
}
