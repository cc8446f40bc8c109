"""Simulate mobile-money payments with labelled frauds, after PaySim's facts.

    python -m fraud.training.simulate --rows 1000000 --seed 7 --out data/transactions.parquet
    python -m fraud.training.simulate --rows 6000000 --days 180 --reused-mules 0.5

The same options give the same file.
"""

from __future__ import annotations

from pathlib import Path

from fraud.command_line import Arguments, command, parser
from fraud.training.simulate.behaviour import DEFAULT, MEANINGS, Behaviour
from fraud.training.simulate.population import DAYS
from fraud.training.simulate.simulator import DEFAULT_ROWS, create


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m fraud.training.simulate", __doc__)
    options.add_argument("--rows", type=int, default=DEFAULT_ROWS,
                         help="number of payments (default %(default)s)")
    options.add_argument("--seed", type=int, default=7,
                         help="each seed gives other payments (default %(default)s)")
    options.add_argument("--days", type=int, default=DAYS,
                         help="days of the payments, up to 180 (default %(default)s)")
    options.add_argument("--out", type=Path, default=Path("data/transactions.parquet"),
                         help="the Parquet file to write (default %(default)s)")
    shares = options.add_argument_group("shares from 0 to 1")
    for name, meaning in MEANINGS.items():
        shares.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="SHARE",
                            default=getattr(DEFAULT, name),
                            help=f"{meaning} (default %(default)s)")
    chosen = options.parse_args(arguments)
    behaviour = Behaviour(**{name: getattr(chosen, name) for name in MEANINGS})
    create(chosen.rows, chosen.seed, chosen.out, chosen.days, behaviour)
    print(f"{chosen.rows:,} payments in {chosen.out}")


if __name__ == "__main__":
    main()
