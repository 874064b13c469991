"""Sets FaceGraft up and shows it at work. Needs nothing but Python 3.11 or later.

    python3 install/install.py demo      everything, then a face swap rendered by Blender
    python3 install/install.py test      everything, then all tests
    python3 install/install.py env       the engine and the command line, in .venv
    python3 install/install.py blender   the add-on in Blender, or in a bpy environment
    python3 install/install.py doctor    what is there, and what to do about the rest

Every command can be run again; what is done is not done twice.
"""

import argparse
import sys
from pathlib import Path

OLDEST = (3, 11)


def main() -> int:
    # the parts use what old Pythons lack; ask before they are read
    if sys.version_info < OLDEST:
        version = sys.version.split()[0]
        print(f"error: FaceGraft needs Python 3.11 or later, this is {version}; run this with")
        print("such a Python, for example: python3.11 install/install.py ...")
        return 1
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {
        "demo": "make demo/result.mp4 and demo/sheet.png from nothing, in under 20 minutes",
        "test": "run every test and check",
        "env": "make .venv with the engine and the detector's networks",
        "blender": "install the add-on",
        "doctor": "look at the installation",
    }
    parsers = {name: commands.add_parser(name, help=text) for name, text in helps.items()}
    for name in ("demo", "env", "blender", "test"):
        text = "packages for the CPU, though there is a GPU"
        parsers[name].add_argument("--cpu", action="store_true", help=text)
    for name in ("demo", "blender"):
        text = "the Blender program to use, where it is not found"
        parsers[name].add_argument("--blender", type=Path, metavar="PATH", help=text)
    text = "add the face-alignment library, for --backend face-alignment"
    parsers["env"].add_argument("--fan", action="store_true", help=text)
    arguments = parser.parse_args()
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("stopped; run it again to go on", file=sys.stderr)
        return 130


def _run(arguments: argparse.Namespace) -> int:
    import blender
    import checks
    import demo_run
    import doctor
    import environment

    try:
        if arguments.command == "demo":
            demo_run.demo(arguments.blender, arguments.cpu)
        elif arguments.command == "env":
            environment.ensure(fan=arguments.fan, cpu=arguments.cpu)
        elif arguments.command == "blender":
            blender.ensure(arguments.blender, environment.ensure(cpu=arguments.cpu))
        elif arguments.command == "test":
            with environment.stage("environment"):
                python = environment.ensure(fan=True, cpu=arguments.cpu)
            with environment.stage("bpy"):
                blender.ensure_bpy(python)
            return checks.run_all(environment.python_of(blender.VENV_BLENDER))
        else:
            return doctor.report()
    except environment.InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
