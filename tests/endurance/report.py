"""The report of a run, for people."""

from __future__ import annotations

from collections import Counter

from tests.endurance.collect import Load
from tests.endurance.judge import Evidence


def report(evidence: Evidence, load: Load, rate: float) -> str:
    """Return what was sent, how it was answered, recovery of each fault, memory and latency."""
    ledger, kept = load.ledger, [line for line in evidence.lines if line.is_kept]
    lines = [
        f"{len(evidence.sent):,} payments to the API and {len(evidence.sent_to_stream):,} to the "
        f"stream, {rate:,.0f} a second; {len(load.labels):,} labels",
        f"{sum(ledger.errors.values()):,} attempts of callers failed and were repeated "
        f"({counts(ledger.errors)}); {len(ledger.marked):,} payments were first answered without "
        "history, marked as such",
        f"{len(evidence.messages) - len(evidence.sent_to_stream):,} further messages: broken, or "
        f"sent twice; {len(evidence.dead_letters):,} dead letters",
        f"{len(kept) - len({line.transaction_id for line in kept}):,} repeated lines in the "
        f"decision log; {len(evidence.lines_lost_in_kills):,} lines lost with a killed worker",
        "", "| fault | times | recovered after, s |", "| --- | ---: | ---: |"]
    for name in dict.fromkeys(window.name for window in evidence.windows):
        seconds = [window.seconds for window in evidence.windows if window.name == name]
        lines.append(f"| {name} | {len(seconds)} | {max(seconds):.1f} |")
    if evidence.growths:
        lines += ["", "| program | MiB, warm | MiB, at the end | ratio |",
                  "| --- | ---: | ---: | ---: |"]
        lines += [f"| {each.program} | {each.warm:.0f} | {each.last:.0f} | {each.ratio:.2f} |"
                  for each in evidence.growths]
    if evidence.latency:
        lines += ["", f"99 % of answers within {evidence.latency.before:.1f} ms before the first "
                  f"fault, {evidence.latency.outside:.1f} ms outside of faults after it"]
    return "\n".join(lines)


def counts(causes: Counter[str]) -> str:
    return ", ".join(f"{count:,} {cause}" for cause, count in causes.most_common()) or "none"
