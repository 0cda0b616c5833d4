"""What both ends of a lab's VPN agree on, under AWS's names and strongSwan's.

The one source for it: `infra/network` asks AWS for these, and the lab's gateway offers just these.
Knows names and numbers. Does not know tunnels, keys, or any file.
"""

from __future__ import annotations

from dataclasses import dataclass

IKE_VERSIONS = ("ikev2",)
"""AWS: `tunnelN_ike_versions`. strongSwan: `version = 2`."""
PHASE1_LIFETIME_S = 28_800
PHASE2_LIFETIME_S = 3_600
"""AWS's longest. At the end of either AWS takes the tunnel down unless it was rekeyed before."""
AWS_REKEY_MARGIN_S = 540
"""AWS rekeys so long before a lifetime ends, by its fuzz of 100 % up to twice as long before. Newer
connections have 270 s; the longer one stands here, so that the gateway is first with either."""
DPD_TIMEOUT_S = 30
"""AWS gives a silent peer up after this."""
MTU = 1399
"""Of the tunnels' interfaces. AWS's User Guide, `your-cgw`; see MSS."""
MSS = 1359
"""What AWS's User Guide (`your-cgw`) advises for SHA2-384 and SHA2-512, which have the longest
trailer of all that may be agreed on here, so it fits behind NAT and with any of them."""


@dataclass(frozen=True)
class Cipher:
    """An encryption algorithm."""

    aws: str
    strongswan: str
    aead: bool
    """Whether it protects integrity by itself: only a PRF stands beside it then, in phase 1."""


@dataclass(frozen=True)
class Hash:
    """An integrity algorithm, and the PRF of phase 1 that goes with it."""

    aws: str
    strongswan: str
    prf: str


@dataclass(frozen=True)
class Group:
    """A Diffie-Hellman group."""

    aws: int
    strongswan: str


@dataclass(frozen=True)
class Suite:
    """The algorithms of a phase: any cipher with any hash and any group, as AWS combines them."""

    ciphers: tuple[Cipher, ...]
    hashes: tuple[Hash, ...]
    groups: tuple[Group, ...]

    def aws_encryption(self) -> list[str]:
        """Return AWS's `tunnelN_phaseN_encryption_algorithms`, sorted: they are sets there."""
        return sorted(cipher.aws for cipher in self.ciphers)

    def aws_integrity(self) -> list[str]:
        """Return AWS's `tunnelN_phaseN_integrity_algorithms`."""
        return sorted(hash_.aws for hash_ in self.hashes)

    def aws_groups(self) -> list[int]:
        """Return AWS's `tunnelN_phaseN_dh_group_numbers`."""
        return sorted(group.aws for group in self.groups)

    def ike(self) -> list[str]:
        """Return strongSwan's `proposals`, the best first: one for each cipher."""
        return [
            _proposal(self, cipher, [hash_.prf for hash_ in self.hashes]) for cipher in self.ciphers
        ]

    def esp(self) -> list[str]:
        """Return strongSwan's `esp_proposals`, the best first: one for each cipher."""
        return [_proposal(self, cipher, []) for cipher in self.ciphers]


AES256_GCM = Cipher("AES256-GCM-16", "aes256gcm16", aead=True)
AES256 = Cipher("AES256", "aes256", aead=False)
SHA384 = Hash("SHA2-384", "sha384", "prfsha384")
SHA512 = Hash("SHA2-512", "sha512", "prfsha512")
ECP256 = Group(19, "ecp256")
ECP384 = Group(20, "ecp384")
ECP521 = Group(21, "ecp521")

STRONG = Suite((AES256_GCM, AES256), (SHA384, SHA512), (ECP384, ECP521, ECP256))
"""For both phases, the best first. Left out: AES128, SHA1 and SHA2-256, and all groups of integers
modulo a prime (2, 14 to 18, 22 to 24) that AWS would also take."""


def _proposal(suite: Suite, cipher: Cipher, prfs: list[str]) -> str:
    """Return one proposal. A cipher without integrity of its own takes hashes, which imply PRFs."""
    beside = prfs if cipher.aead else [hash_.strongswan for hash_ in suite.hashes]
    return "-".join([cipher.strongswan, *beside, *(group.strongswan for group in suite.groups)])
