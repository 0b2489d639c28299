"""Rules KEY-01 to KEY-07 over a SubjectPublicKeyInfo."""

from math import isqrt

from . import der

RSA, EC = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1"
# SEC 2: octets of a coordinate, p and b of y² = x³ - 3x + b.
CURVES = {
    "1.2.840.10045.3.1.7": (
        32,
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "1.3.132.0.34": (
        48,
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
    "1.3.132.0.35": (
        66,
        2**521 - 1,
        int(
            "0051953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF07"
            "3573DF883D2C34F1EF451FD46B503F00",
            16,
        ),
    ),
}
SMALL_PRIMES = [n for n in range(2, 752) if all(n % d for d in range(2, isqrt(n) + 1))]
# The primes at which the fingerprint of CVE-2017-15361 shows.
ROCA_PRIMES = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157]


def check(policy, spki):
    """The rule that does not hold, or None."""
    try:
        kind, parts = read(spki)
    except (der.Malformed, ValueError):
        return "KEY-01"
    if kind == "ec":
        curve, point = parts
        if curve not in policy.curves:
            return "KEY-01"
        return None if on_curve(curve, point) else "KEY-07"
    if policy.rsa is None:
        return "KEY-01"
    modulus, exponent = parts
    if not policy.rsa["min_bits"] <= modulus.bit_length() <= policy.rsa["max_bits"]:
        return "KEY-02"
    if exponent % 2 == 0 or not 65537 <= exponent < 2**256:
        return "KEY-03"
    if any(modulus % prime == 0 for prime in SMALL_PRIMES):
        return "KEY-04"
    if all(modulus % prime in {pow(65537, e, prime) for e in range(prime)} for prime in ROCA_PRIMES):
        return "KEY-05"
    return "KEY-06" if fermat(modulus) else None


def read(spki):
    """The parts of a key whose DER is the canonical one."""
    algorithm, key = der.whole(der.inside(spki, der.SEQUENCE))
    (_, oid), *parameters = der.elements(der.inside(algorithm, der.SEQUENCE))
    bits = der.inside(key, der.BIT_STRING)
    if bits[:1] != b"\0":
        raise der.Malformed("unused bits")
    if der.dotted(oid) == EC:
        ((_, curve),) = parameters
        curve = der.dotted(curve)
        canonical = der.tlv(der.SEQUENCE, der.oid(EC), der.oid(curve))
        kind, parts = "ec", (curve, bits[1:])
    elif der.dotted(oid) == RSA:
        numbers = der.elements(der.inside(bits[1:], der.SEQUENCE))
        modulus, exponent = (int.from_bytes(content, "big", signed=True) for _, content in numbers)
        canonical = der.tlv(der.SEQUENCE, der.oid(RSA), b"\x05\0")
        bits = b"\0" + der.tlv(der.SEQUENCE, der.number(modulus), der.number(exponent))
        if modulus < 0 or exponent < 0:
            raise der.Malformed("a negative number")
        kind, parts = "rsa", (modulus, exponent)
    else:
        raise der.Malformed("another algorithm")
    if der.tlv(der.SEQUENCE, canonical, der.tlv(der.BIT_STRING, bits)) != spki:
        raise der.Malformed("another encoding than the canonical one")
    return kind, parts


def on_curve(curve, point):
    size, p, b = CURVES[curve]
    if len(point) != 1 + 2 * size or point[0] != 4:
        return False
    x, y = int.from_bytes(point[1 : 1 + size], "big"), int.from_bytes(point[1 + size :], "big")
    return x < p and y < p and (y * y - x * x * x + 3 * x - b) % p == 0


def fermat(modulus):
    root = isqrt(modulus)
    root += root * root < modulus
    for a in range(root, root + 100):
        rest = a * a - modulus
        if isqrt(rest) ** 2 == rest:
            return True
    return False
