"""Translate SAM templates to CloudFormation, JSON lists in and out; runs in .venv-tools."""

import json
import sys

from samtranslator.translator.transform import transform
from samtranslator.yaml_helper import yaml_parse


class NoManagedPolicies:
    """The template names its policies itself."""

    def load(self):
        return {}


if __name__ == "__main__":
    json.dump([transform(yaml_parse(text), {}, NoManagedPolicies())
               for text in json.load(sys.stdin)], sys.stdout)
