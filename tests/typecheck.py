"""The type checker of the test run: as the language has it, a whole number is welcome where a float is asked
for.
"""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
