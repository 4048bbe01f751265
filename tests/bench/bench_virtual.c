/* Virtual hours a second: the shipped policy for groups, through Lua, over simulated days with a
 * spike each. bench_virtual [DAYS] */
#include <stdio.h>
#include <stdlib.h>
#include "bench.h"
#include "harness/number.h"
#include "model.h"

static double traffic(const struct sim *s, int group, int64_t at_ms)
{
    bool spike = group == at_ms / DAY % GROUPS && at_ms % DAY / HOUR / 2 == 5;

    return spike ? 8 * 85.0 : 8 * (32 + 8 * sim_daily(at_ms) + 2 * sim_noise(s, group, at_ms));
}

int main(int argc, char **argv)
{
    static const struct scenario sc = {.traffic = traffic, .mode = MODE_ENFORCE};
    static struct sim s;
    int days = argc > 1 ? number_in(argv[1]) : 60;
    double begin;

    sim_begin(&s, &sc, RB_SOURCE_DIR "/policies/asg_cpu_high.lua", 1);
    sim_start(&s);
    begin = bench_now_s();
    sim_until(&s, days * DAY);
    printf("virtual: %d days, %d groups, %d acts: %.0f virtual hours a second\n", days, GROUPS,
           s.acts, days * 24 / (bench_now_s() - begin));
    sim_end(&s);
    return 0;
}
