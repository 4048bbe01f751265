"""Every zone of the system's database, compared with Python's zoneinfo: offsets from 1970 to 2100 and at each change, and
windows of the week around the changes, by what a clock on a wall there shows.

usage: zone_oracle.py ZONE_ORACLE"""

import datetime
import random
import subprocess
import sys
import zoneinfo

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
FIRST, LAST = 0, 4102444800  # 1970 to 2100
STEP = 29 * 86400  # a change that falls between two of these is met by the bounds of their answers


def local(zone, t):
    return (EPOCH + datetime.timedelta(seconds=t)).astimezone(zone)


def offset(zone, t):
    return int(local(zone, t).utcoffset().total_seconds())


def listed(words):
    chosen = set()
    for part in words.split(","):
        first, _, last = part.partition("-")
        a, b = DAYS.index(first), DAYS.index(last or first)
        while True:
            chosen.add(a)
            if a == b:
                break
            a = (a + 1) % 7
    return chosen


def minutes(text):
    return int(text[:2]) * 60 + int(text[3:])


def is_open(zone, words, start, end, t):
    now = local(zone, t)
    seconds = now.hour * 3600 + now.minute * 60 + now.second
    first, last, days = minutes(start) * 60, minutes(end) * 60, listed(words)
    today, before = now.weekday() in days, (now.weekday() - 1) % 7 in days
    if first < last:
        return today and first <= seconds < last
    return (today and seconds >= first) or (before and seconds < last)


def ask(program, lines):
    run = subprocess.run([program], input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    if run.returncode != 0:
        sys.exit(f"{program}: {run.stderr}")
    return [[int(w) for w in line.split()] for line in run.stdout.splitlines()]


def main(program):
    rng = random.Random(20260918)
    names = sorted(n for n in zoneinfo.available_timezones() if n not in ("localtime", "posixrules"))
    zones = {n: zoneinfo.ZoneInfo(n) for n in names}
    wrong = compared = windows = 0

    lines = []
    for n in names:
        lines.append(f"Z {n}")
        lines += [f"t {t}" for t in range(FIRST, LAST, STEP)]
    answers = iter(ask(program, lines))
    edges = {n: set() for n in names}
    for n in names:
        for t in range(FIRST, LAST, STEP):
            got, begin, end = next(answers)
            compared += 1
            if got != offset(zones[n], t) or not begin <= t < end:
                wrong += 1
                print(f"{n} at {t}: {got} from {begin} until {end}, zoneinfo says {offset(zones[n], t)}")
            edges[n] |= {e for e in (begin, end) if FIRST < e < LAST}

    lines, wanted = [], []
    for n in names:
        lines.append(f"Z {n}")
        for e in sorted(edges[n]):
            for t in (e - 1, e):
                lines.append(f"t {t}")
                wanted.append((n, "offset", t, offset(zones[n], t)))
        for e in rng.sample(sorted(edges[n]), min(12, len(edges[n]))) + [rng.randrange(FIRST, LAST) for _ in range(6)]:
            words = rng.choice(["mon-sun", "mon-fri", "sat,sun", "fri-mon", "wed", "sun", "tue,thu-sat"])
            start = f"{rng.randrange(24):02}:{rng.choice((0, 0, 30, 59)):02}"
            end = rng.choice([f"{rng.randrange(24):02}:{rng.choice((0, 0, 15, 30)):02}", "24:00"])
            if start == end:
                continue
            for t in (e - 1, e, e + rng.randrange(-90000, 90000), e + rng.randrange(-7200, 7200)):
                if t >= FIRST:
                    lines.append(f"w {words} {start} {end} {t * 1000}")
                    wanted.append((n, f"{words} {start}-{end}", t, is_open(zones[n], words, start, end, t)))
    for (n, what, t, want), got in zip(wanted, ask(program, lines), strict=True):
        compared += 1
        windows += what != "offset"
        ok = got[0] == want
        if what != "offset":  # the answer holds for all of its time
            begin, until = got[1] // 1000, got[2] // 1000
            words, hours = what.split(" ")
            start, _, end = hours.partition("-")
            ok = ok and begin <= t < until and all(is_open(zones[n], words, start, end, x) == want for x in (begin, until - 1, rng.randrange(begin, until)) if x >= FIRST)
        if not ok:
            wrong += 1
            print(f"{n} {what} at {t}: {got}, zoneinfo says {want}")
    print(f"{len(names)} zones, {compared} answers ({windows} windows) compared, {wrong} differ")
    return 1 if wrong or len(names) < 400 or windows < 10000 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
