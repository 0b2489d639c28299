"""RSA keys that no device may have: each of a known weakness, and yet able to sign."""

import secrets

from .build import Key

EXPONENT = 65537
HALF = 1024
# Rounds of Miller and Rabin; these primes only have to fool nobody but a test.
ROUNDS = 8


def is_prime(number):
    if number % 2 == 0 or any(number % small == 0 for small in range(3, 1000, 2)):
        return False
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_witness_passes(secrets.randbelow(number - 3) + 2, number, odd, twos) for _ in range(ROUNDS))


def _witness_passes(base, number, odd, twos):
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(twos - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def usable(number):
    return number % EXPONENT != 1 and is_prime(number)


def prime(bits):
    while True:
        number = secrets.randbits(bits) | 3 << bits - 2 | 1
        if usable(number):
            return number


def small_factor():
    """A modulus of 2,048 bits that 751 divides."""
    return Key.from_primes(prime(2038), 751)


def close_primes():
    """Fermat's method splits the modulus at once."""
    first = prime(HALF)
    second = first + 2
    while not usable(second):
        second += 2
    return Key.from_primes(second, first)


def roca():
    """CVE-2017-15361: both primes are k·M + (65537^a mod M), M the product of the first 126 primes (2,048 bits)."""
    primes = [number for number in range(2, 702) if all(number % d for d in range(2, number))]
    assert len(primes) == 126
    modulus = 1
    for number in primes:
        modulus *= number

    def fingerprinted():
        low, high = (3 << HALF - 2) // modulus + 1, (1 << HALF) // modulus
        while True:
            number = (low + secrets.randbelow(high - low)) * modulus + pow(EXPONENT, secrets.randbits(256), modulus)
            if number.bit_length() == HALF and usable(number):
                return number

    return Key.from_primes(fingerprinted(), fingerprinted())
