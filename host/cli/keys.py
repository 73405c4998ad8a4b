"""`llamachat keys`: make, list and revoke the keys that let others in."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from host.access.keys import KeyFile
from host.access.principal import Role
from host.cli.arguments import Commands, add_data_dir, add_root, data_dir_of


def add_to(commands: Commands) -> None:
    """Its parser."""
    keys = commands.add_parser("keys", help="make, list or revoke the keys that let others in")
    actions = keys.add_subparsers(required=True, metavar="ACTION")

    add = actions.add_parser("add", help="make a key, and print it once")
    add.add_argument("name", metavar="NAME", help="whose it is, such as anna or office-gpu")
    add.add_argument(
        "--role",
        action="append",
        choices=[role.value for role in Role],
        dest="roles",
        help="chat (the default), operator (everything of everybody), or module (work for the "
        "host); may be given several times",
    )
    _finish(add, _add)
    _finish(actions.add_parser("list", help="whose keys there are"), _list)
    revoke = actions.add_parser("revoke", help="take a key back, at once")
    revoke.add_argument("name", metavar="NAME", help="its name, or its id")
    _finish(revoke, _revoke)


def _finish(parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    add_data_dir(parser, "the data directory of the host")
    add_root(parser)
    parser.set_defaults(run=run)


def _file(arguments: argparse.Namespace) -> KeyFile:
    folder: Path | None = arguments.data_dir
    return KeyFile(folder or data_dir_of(arguments.root))


def _add(arguments: argparse.Namespace) -> int:
    file = _file(arguments)
    roles = [Role(one) for one in arguments.roles or [Role.CHAT]]
    is_first = not file.path.exists()
    made, shown = file.add(arguments.name, roles)
    print(f"{shown}\n")
    print(f"This is the key of {made.name} ({_words(roles)}). It is shown this once.")
    if is_first:
        print("From now on the host lets nobody in without a key, on this machine too.")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    for one in _file(arguments).all():
        print(f"{one.id}  {one.made_at}  {_words(one.roles):<22}  {one.name}")
    return 0


def _revoke(arguments: argparse.Namespace) -> int:
    file = _file(arguments)
    gone = file.revoke(arguments.name)
    print(f"The key of {gone.name} lets nobody in any more.")
    if not file.all():
        print(f"No key is left, and the host stays closed. To open it, remove {file.path}")
    return 0


def _words(roles: Iterable[Role]) -> str:
    return ", ".join(sorted(one.value for one in roles))
