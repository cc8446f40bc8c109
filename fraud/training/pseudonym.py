"""Print the pseudonym of an account, as stores, logs and lists have it.

    python -m fraud.training.pseudonym C1231006815

FRAUD_ACCOUNT_KEY is the key of the service.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from fraud.command_line import Arguments, command, parser
from fraud.pseudonym import pseudonym
from fraud.settings import SettingsError, from_environment
from fraud.transaction import clean_name


def pseudonym_of(account: str, environment: Mapping[str, str]) -> str:
    """Return the pseudonym of an account under FRAUD_ACCOUNT_KEY.

    Raises:
        SettingsError: the key is not set.
        InvalidTransaction: the account is not a name.
    """
    key = from_environment(environment).account_key
    if not key:
        raise SettingsError("FRAUD_ACCOUNT_KEY is not set: pseudonyms would not be those of the "
                            "service; set its key")
    return pseudonym(key.encode(), clean_name("account", account))


@command
def main(arguments: Arguments) -> None:
    options = parser("python -m fraud.training.pseudonym", __doc__)
    options.add_argument("account", help="name of the account")
    print(pseudonym_of(options.parse_args(arguments).account, os.environ))


if __name__ == "__main__":
    main()
