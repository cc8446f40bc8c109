"""Lists of accounts and rules next to the model: what a team decides without training.

`rule_set` is the content of a published file, `ruling` applies it to scored payments, and `active`
follows the pointer to the file in force.
"""
