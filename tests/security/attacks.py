"""The table of attacks: what is tried, with which credential, and what must come back.

A row's name says what must hold. Nothing here is run; `test_attacks` does that, against a live server.
"""

from tests.security.attacks_on_administration import ADMINISTRATION
from tests.security.attacks_on_borders import BORDERS
from tests.security.attacks_on_logins import HEADERS, PASSWORD_ROWS, TOKEN_ROWS
from tests.security.attacks_on_secrecy import EXISTENCE, LISTS, ORACLES
from tests.security.attacks_on_token_service import TOKEN_SERVICE
from tests.security.attacks_with_jwts import JWTS

ATTACKS = [
    *HEADERS,
    *PASSWORD_ROWS,
    *TOKEN_ROWS,
    *JWTS,
    *EXISTENCE,
    *ORACLES,
    *LISTS,
    *TOKEN_SERVICE,
    *BORDERS,
    *ADMINISTRATION,
]
