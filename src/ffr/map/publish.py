"""`python -m ffr.map.publish`, which `freeflow policy set` and `unset` become: the policy that all hosts of an etcd share."""

import argparse
import asyncio
import sys

from ffr.map import static
from ffr.map.client import Client, EtcdError
from ffr.map.records import policy_key
from ffr.map.settings import Settings
from ffr.policy.registry import content_of, settings_in


def main(arguments=None):
    """Exit status: 0, or 1 with one line on stderr."""
    options = _parse(arguments)
    try:
        content = _read(options.file) if options.file else None
        settings = _settings(options)
        asyncio.run(_write(settings, content))
    except (OSError, ValueError, EtcdError) as error:
        text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else error
        sys.exit(f"freeflow: {text}")


def _read(path):
    content = content_of(path)
    settings_in(content, path)  # what is wrong is told here, and not by every host
    return content


def _settings(options):
    if options.etcd:
        return Settings.of_table({"endpoints": options.etcd.split(",")})
    _, settings = static.load(options.hosts)
    if settings is None:
        raise ValueError(f"{options.hosts} has no table [etcd]: a map that is written down has a policy file for each host")
    return settings


async def _write(settings, content):
    """To the first that answers."""
    for number, endpoint in enumerate(settings.endpoints, 1):
        client = Client(endpoint, settings)
        try:
            await client.authenticate()
            key = policy_key(settings.prefix)
            await client.write(0, {key: content} if content is not None else {}, [key] if content is None else [])
            return
        except EtcdError:
            if number == len(settings.endpoints):
                raise
        finally:
            await client.close()


def _parse(arguments):
    parser = argparse.ArgumentParser(prog="freeflow policy set", usage="freeflow policy set [OPTIONS] FILE")
    parser.add_argument("--file")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--etcd")
    where.add_argument("--hosts")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
