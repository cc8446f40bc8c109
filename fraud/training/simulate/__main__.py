"""Simulate a month of mobile-money payments with labelled frauds, after PaySim's facts.

    python -m fraud.training.simulate --rows 1000000 --seed 7 --out data/transactions.parquet

The same rows and seed give the same file.
"""

from __future__ import annotations

from pathlib import Path

from fraud.command_line import Arguments, command, parser
from fraud.training.simulate.simulator import DEFAULT_ROWS, create


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m fraud.training.simulate", __doc__)
    options.add_argument("--rows", type=int, default=DEFAULT_ROWS,
                         help="number of payments (default %(default)s)")
    options.add_argument("--seed", type=int, default=7,
                         help="each seed gives another month (default %(default)s)")
    options.add_argument("--out", type=Path, default=Path("data/transactions.parquet"),
                         help="the Parquet file to write (default %(default)s)")
    chosen = options.parse_args(arguments)
    create(chosen.rows, chosen.seed, chosen.out)
    print(f"{chosen.rows:,} payments in {chosen.out}")


if __name__ == "__main__":
    main()
