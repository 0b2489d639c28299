"""policy/RULES.md, "Deciding a request": the first rule that does not hold."""

import hashlib

from . import keys, names
from .names import Permitted, Unfit
from .policy import seconds


def decide(policy, request, asked, now, message_hash, claims):
    """The id of the rule that refuses, and the names that are permitted where none does."""
    try:
        permitted = Permitted(policy, claims)
    except Unfit:
        permitted = None
    for check in (head, challenge, renewal, algorithms, subject, alternative_names, extensions):
        rule = check(policy, request, permitted, {"asked": asked, "now": now, "hash": message_hash}, claims)
        if rule:
            return rule, None
    rule = keys.check(policy, request.spki)
    return rule, None if rule else permitted


def head(policy, request, permitted, facts, claims):
    if facts["asked"] != policy.name:
        return "POL-01"
    if not policy.not_before <= facts["now"] < policy.expires:
        return "POL-02"
    return "REQ-01" if request.malformed else None


def challenge(policy, request, permitted, facts, claims):
    kind, entry = claims["kind"], claims.get("entry")
    if kind not in (policy.challenge, "renewal"):
        return "CHA-01"
    if kind != "renewal" and claims["profile"] != policy.name:
        return "CHA-02"
    if kind == "one-time":
        if facts["now"] >= claims["expires"]:
            return "CHA-03"
        if not (permitted and permitted.equal(claims) and permitted.issuable()):
            return "CHA-04"
    if policy.inventory and kind != "one-time" and not (entry and permitted and permitted.issuable()):
        return "CHA-05"
    if entry and entry["pin"] and entry["pin"] != hashlib.sha256(request.spki).hexdigest():
        return "CHA-06"
    if kind == "static" and entry:
        if not entry["pin"] and not policy.accept_shared_secret:
            return "CHA-07"
        if entry["issued"]:
            return "CHA-08"
    return None


def renewal(policy, request, permitted, facts, claims):
    if claims["kind"] != "renewal":
        return None
    if policy.renewal is None:
        return "REN-01"
    if claims["profile"] != policy.name:
        return "REN-02"
    if facts["now"] > claims["not_after"] + seconds(policy.renewal.get("grace", "")):
        return "REN-03"
    if facts["now"] < claims["not_after"] - seconds(policy.renewal["window"]):
        return "REN-04"
    same = hashlib.sha256(request.spki).hexdigest() == claims["old_key"]
    if same and not policy.renewal.get("same_key", False):
        return "REN-05"
    if not (permitted and permitted.equal(claims) and permitted.issuable()):
        return "REN-06"
    return "REN-07" if policy.renewal.get("once", False) and claims["successor"] is not None else None


def algorithms(policy, request, permitted, facts, claims):
    sha1 = ["sha1"] if policy.quirk("allow_sha1", facts["now"]) else []
    if facts["hash"] not in policy.message_digests + sha1:
        return "ALG-01"
    return None if request.digest in policy.csr_digests + sha1 else "ALG-02"


def subject(policy, request, permitted, facts, claims):
    attributes = [attribute for rdn in request.subject for attribute in rdn]
    if any(tag not in names.TAGS.values() for _, tag, _ in attributes):
        return "SUB-01"
    for _, tag, content in attributes:
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError:
            return "SUB-02"
        if not (names.admits(tag, text) and names.clean(text)):
            return "SUB-02"
    plain = [sorted((oid, names.folded_attribute(oid, content.decode())) for oid, _, content in rdn) for rdn in request.subject]
    types = [sorted(oid for oid, _, _ in rdn) for rdn in request.subject]
    if any(len(set(rdn)) < len(rdn) for rdn in types) or any(plain.count(rdn) > 1 for rdn in plain):
        return "SUB-03"
    listed = permitted.rules if permitted else policy.subject
    rules = [{names.attribute_type(rule["type"]): rule for rule in rdn} for rdn in listed]
    if types != [sorted(rdn) for rdn in rules]:
        return "SUB-04"
    wanted = permitted and [
        sorted((oid, names.folded_attribute(oid, text)) for oid, text, _ in rdn) for rdn in permitted.subject
    ]
    if plain != wanted:
        return "SUB-05"
    for rdn, accepted in zip(request.subject, rules, strict=True):
        if any(tag not in [names.TAGS[word] for word in accepted[oid]["accept"]] for oid, tag, _ in rdn):
            return "SUB-06"
    return None


def alternative_names(policy, request, permitted, facts, claims):
    requested = request.sans or []
    if any(kind not in [rule["type"] for rule in policy.sans] for kind, _ in requested):
        return "SAN-01"
    if not all(map(names.is_well_formed, requested)):
        return "SAN-02"
    folded = names.folded_set(requested)
    if len(set(folded)) < len(folded):
        return "SAN-03"
    asked = [names.folded_san(san) for san in requested]
    wanted = permitted and [
        san for san in permitted.sans if names.folded_san(san) in asked or names.folded_san(san) not in permitted.added
    ]
    equal = permitted and folded == names.folded_set(wanted)
    return None if equal and request.sans != [] else "SAN-04"


def extensions(policy, request, permitted, facts, claims):
    if request.key_usage is not None and request.key_usage != policy.key_usage:
        return "EXT-01"
    requested = request.extended_key_usage
    if requested is not None and sorted(requested) != sorted(policy.extended_key_usage):
        return "EXT-02"
    if request.ca:
        return "EXT-03"
    return "EXT-04" if set(request.other) - set(policy.ignored_extensions) else None
