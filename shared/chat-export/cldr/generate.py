"""Writes the two CLDR tables of this crate from Unicode's own JSON packages.

    npm pack cldr-core@48.2.0 cldr-dates-full@48.2.0 cldr-numbers-full@48.2.0 cldr-cal-japanese-full@39.0.0
    (unpack each into DIRECTORY/<package name>)
    python3 generate.py DIRECTORY

words.tsv            what the reader knows: day periods, month names, Japanese eras, connecting words
../tests/exports/formats.tsv what the tests write: the short date and time formats of every locale
"""

import json
import pathlib
import re
import sys
import unicodedata

VERSION = "48.2.0"
ROOT = pathlib.Path(sys.argv[1])
HERE = pathlib.Path(__file__).parent
DATES = ROOT / "cldr-dates-full" / "main"
CORE = ROOT / "cldr-core"


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def locales():
    levels = load(CORE / "coverageLevels.json")["effectiveCoverageLevels"]
    names = sorted(path.name for path in DATES.iterdir())
    return [name for name in names if levels.get(name) in ("modern", "moderate", "basic")]


def gregorian(locale):
    calendars = load(DATES / locale / "ca-gregorian.json")["main"][locale]["dates"]["calendars"]
    return calendars["gregorian"]


def language(locale):
    """Languages in two scripts are two languages here."""
    parts = locale.split("-")
    return "-".join(part for part in parts if part == parts[0] or len(part) == 4)


def minutes(clock):
    hours, rest = clock.split(":")
    return int(hours) * 60 + int(rest)


def rules_of(locale, rules):
    parts = locale.split("-")
    while parts:
        if "-".join(parts) in rules:
            return rules["-".join(parts)]
        parts.pop()
    return {}


def span(period, rules):
    if period in ("am", "pm"):
        return period
    rule = rules.get(period)
    if rule is None:
        return None
    if "_at" in rule:
        return f"{minutes(rule['_at'])}-{minutes(rule['_at'])}"
    return f"{minutes(rule['_from'])}-{minutes(rule['_before'])}"


def pattern(value):
    return value if isinstance(value, str) else value["_value"]


def literals(text):
    """The words of a pattern that are not fields."""
    quoted = re.findall(r"'([^']+)'", text)
    bare = re.sub(r"'[^']*'", " ", text)
    bare = re.sub(r"\{\d\}|[A-Za-z]+", " ", bare)
    words = []
    for piece in quoted + [bare]:
        for word in re.split(r"[\s\u200e\u200f]+", piece):
            word = word.strip(".,،;:/-()·、։፣")
            if word and all(unicodedata.category(c)[0] in "LM" or c in "’'-." for c in word):
                words.append(word)
    return words


def words_table():
    rules = load(CORE / "supplemental" / "dayPeriods.json")["supplemental"]["dayPeriodRuleSet"]
    periods, months, connectors = {}, {}, set()
    for locale in locales():
        calendar = gregorian(locale)
        tongue = language(locale)
        own = rules_of(locale, rules)
        for context in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                for period, word in calendar["dayPeriods"][context][width].items():
                    where = span(period.removesuffix("-alt-variant"), own)
                    if where:
                        periods.setdefault((tongue, where), set()).add(word)
                for month, word in calendar["months"][context][width].items():
                    if not re.fullmatch(r"[\d\s.]+", word):
                        months.setdefault((tongue, int(month)), set()).add(word)
        formats = [calendar["dateFormats"], calendar["timeFormats"]]
        formats += [value for key, value in calendar.items() if key.startswith("dateTimeFormats")]
        for group in formats:
            flat = {**group, **group.get("availableFormats", {}), **group.get("standard", {}), **group.get("atTime", {})}
            for key, value in flat.items():
                if isinstance(value, str) and not key.startswith(("M", "E", "yQ", "yw", "G", "Q")):
                    connectors.update(literals(value))
    lines = [f"# Unicode CLDR {VERSION}, © Unicode, Inc., Unicode License v3. Made by generate.py; do not edit."]
    for (tongue, where), words in sorted(periods.items()):
        lines.append(f"period\t{tongue}\t{where}\t" + "\t".join(sorted(words)))
    for (tongue, month), words in sorted(months.items()):
        lines.append(f"month\t{tongue}\t{month}\t" + "\t".join(sorted(words)))
    lines += eras()
    lines.append("connector\t\t\t" + "\t".join(sorted(connectors)))
    (HERE / "words.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def eras():
    """The Japanese eras that WhatsApp has seen: by the year before their first."""
    japanese = load(CORE / "supplemental" / "calendarData.json")["supplemental"]["calendarData"]["japanese"]["eras"]
    names = {}
    root = ROOT / "cldr-cal-japanese-full" / "main"
    for path in sorted(root.iterdir()):
        found = load(path / "ca-japanese.json")["main"][path.name]["dates"]["calendars"]["japanese"]["eras"]
        for width in ("eraNames", "eraAbbr", "eraNarrow"):
            for number in ("235", "236"):
                word = found[width].get(number)
                if word and not re.fullmatch(r"\d+", word):
                    names.setdefault(number, set()).add(word)
    return [
        f"era\t\t{int(japanese[number]['_start'].split('-')[0]) - 1}\t" + "\t".join(sorted(words))
        for number, words in sorted(names.items())
    ]


def formats_table():
    rules = load(CORE / "supplemental" / "dayPeriods.json")["supplemental"]["dayPeriodRuleSet"]
    systems = load(CORE / "supplemental" / "numberingSystems.json")["supplemental"]["numberingSystems"]
    lines = [f"# Unicode CLDR {VERSION}, © Unicode, Inc., Unicode License v3. Made by generate.py; do not edit."]
    seen = {}
    for locale in locales():
        calendar = gregorian(locale)
        numbers = load(ROOT / "cldr-numbers-full" / "main" / locale / "numbers.json")["main"][locale]["numbers"]
        digits = systems[numbers["defaultNumberingSystem"]].get("_digits", "0123456789")
        date = pattern(calendar["dateFormats"]["short"])
        times = calendar["dateTimeFormats"]["availableFormats"]
        glue = pattern(calendar["dateTimeFormats"]["short"])
        own = rules_of(locale, rules)
        names = calendar["dayPeriods"]["format"]["abbreviated"]
        words = [f"{where}={names[period]}" for period in names if "-" not in period and (where := span(period, own))]
        medium = pattern(calendar["dateFormats"]["medium"])
        months = "|".join(calendar["months"]["format"]["abbreviated"].values())
        fields = [date, medium, glue, times["Hm"], times["Hms"], times["hm"], times["hms"], times["Bhm"], times["Bhms"],
                  digits, months, "|".join(words)]
        line = "\t".join(fields)
        if line not in seen:
            seen[line] = locale
            lines.append(f"{locale}\t{line}")
    (HERE.parent / "tests" / "exports" / "formats.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


words_table()
formats_table()
