"""`cases GROUP`: bad messages, one JSON object a line. What they are made with is a JSON object on standard input."""

import json
import sys

from . import cases
from .scene import Scene


def main():
    command, argument = sys.argv[1:]
    given = json.load(sys.stdin)
    if command == "cases":
        scene = Scene(
            ra_enc=bytes.fromhex(given["ra_enc"]),
            ra_sign=bytes.fromhex(given["ra_sign"]),
            ca=bytes.fromhex(given["ca"]),
            challenge=given["challenge"],
            static_challenge=given["static_challenge"],
        )
        for case in cases.make(argument, scene):
            print(json.dumps(case))
    else:
        sys.exit(f"{command} is neither `cases` nor `enrol`")


main()
