"""Who presents a credential: only what may be right is compared, and only so often.

Standards: OWASP ASVS 5.0 6.3.1 (no brute force), RFC 6750 section 3.1 (invalid_token).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from .api_keys import KeyRing
from .attempts import Attempts
from .credentials import Caller, Credential, NotAuthenticated, TooManyFailures, proof_of

TokenVerifier = Callable[[str], tuple[Any, ...] | None]  # a name, scopes, and more of a Caller


class Identification:
    """:param verify_token: judges bearer tokens that are not a key; None: there are none.
    :param attempts: how many credentials that are wrong may be tried.
    """

    def __init__(
        self, keys: KeyRing, verify_token: TokenVerifier | None, attempts: Attempts
    ) -> None:
        self.keys = keys
        self.verify_token = verify_token
        self.attempts = attempts

    def caller(self, credential: Credential, address: str) -> Caller:
        """Who presents this credential.

        :raises NotAuthenticated: nobody we know.
        :raises TooManyFailures: this kind of credential was wrong too often from that address.
        """
        proof = proof_of(credential.text, address)
        if caller := self.known(credential, proof):
            return caller
        if not credential.is_possible:
            self.refuse(f"{address} malformed")
        if self.is_signed(credential):
            self.refuse(f"{address} token")
        if self.attempts.was_wrong(proof):
            self.refuse(proof.hex())
        name = self.keys.claimed_by(credential.text)
        wait, hand_back = self.attempts.take(f"{address} as {name}" if name else address)
        if wait and not self.attempts.was_right_elsewhere(proof):
            raise TooManyFailures(wait)
        return self.compare(credential, proof, hand_back)

    def known(self, credential: Credential, proof: bytes) -> Caller | None:
        """Whom a credential names that is not a guess: it was right before, or it is signed."""
        was_right, caller = self.attempts.recall(proof)
        if caller is None and (was_right or self.is_signed(credential)):
            return self.judge(credential)
        return caller

    def is_signed(self, credential: Credential) -> bool:
        """Whether it has the form of a signed token, and signatures are verified."""
        return credential.is_signed_token and getattr(self.verify_token, "checks_signatures", False)

    def compare(
        self, credential: Credential, proof: bytes, hand_back: Callable[[], object]
    ) -> Caller:
        holder = self.keys.holder_of(credential.text)
        is_wrong = False
        try:
            caller = holder or self.judge(credential)
            is_wrong = caller is None
        finally:  # also where it could not be judged, because the identity provider is away
            if not is_wrong:
                hand_back()
        if caller is None:
            if not (credential.is_bearer and self.verify_token):  # a token may become valid
                self.attempts.remember_wrong(proof)
            self.refuse(proof.hex())
        self.attempts.remember_right(proof, holder)
        return caller

    def judge(self, credential: Credential) -> Caller | None:
        if self.verify_token is None or not credential.is_bearer:
            return None
        found = self.verify_token(credential.text)
        return Caller(*found) if found else None

    def refuse(self, bucket: str) -> NoReturn:
        """401; 429 when that has been said too often."""
        wait, _ = self.attempts.take(bucket)
        if wait:
            raise TooManyFailures(wait)
        raise NotAuthenticated(
            "unknown_credential", "The credential is not valid.", error="invalid_token"
        )
