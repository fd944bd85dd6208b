"""`python -m syncd.sandbox`: serve the simulated upstreams until the process is told to end."""

import argparse
import asyncio
import sys

from syncd.sandbox import FAULTS, Sandbox, config_text, parse_fault, serve


def _arguments() -> argparse.Namespace:
    known = "\n".join(f"  {name:<28}{description}" for name, description in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m syncd.sandbox",
        description="Serve the simulated upstreams on the loopback interface.",
        epilog=f"faults, as NAME[:API[.STREAM]][@TIMES]:\n{known}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same records")
    parser.add_argument("--customers", type=int, default=400, help="number of CycleSoftware customers")
    parser.add_argument("--fault", action="append", default=[], metavar="SPEC", help="arm a fault; may be repeated")
    parser.add_argument(
        "--evolve", type=float, default=0.0, metavar="SECONDS", help="let the world change every so often"
    )
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    sandbox = Sandbox(seed=arguments.seed, customers=arguments.customers)
    for spec in arguments.fault:
        sandbox.faults.add(**parse_fault(spec))
    async with serve(sandbox, port=arguments.port) as address:
        sys.stdout.write(f"# the sandbox serves at {address.url}\n{config_text(sandbox, address)}\n")
        sys.stdout.flush()
        while True:
            await asyncio.sleep(arguments.evolve or 3_600)
            if arguments.evolve:
                sandbox.evolve()


def main() -> int:
    """Run until interrupted; 2 for a fault that there is not."""
    try:
        asyncio.run(_serve(_arguments()))
    except KeyboardInterrupt:
        return 0
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
